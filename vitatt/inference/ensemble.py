"""Trained networks that predict together: the mean of their probabilities."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitatt.inference.arrays import CaseArrays, check_alike
from vitatt.models.build import TrainedNetwork, load_network
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.encoders.sharing import same_tokens
from vitatt.types import LesionBatch, Pixels, UsageError


class Ensemble:
    """One network, or several of which the mean is taken, on one device.

    Networks that were trained on one frozen encoder share it: it runs once. Several threads may
    call `probabilities`: the networks run one call after the other.

    Args:
        models: Networks of one dataset with the same classes; changed in place: they move to the
            device, and equal encoders become one.
        device: Where they run, such as ``cpu`` or ``cuda:1``; by default the GPU if there is one,
            else the CPU.

    Attributes:
        models: The networks with their tasks.
        device: Where they run.
        lock: Held while a network runs.
        runtime: Which library runs them.

    Raises:
        UsageError: If there is no model, they are of different datasets, classes or views, or
            there is no such device.
    """

    runtime: Literal["torch"] = "torch"

    def __init__(
        self, models: Sequence[TrainedNetwork], device: str | torch.device | None = None
    ) -> None:
        check_alike(models)
        self.models = tuple(models)
        self.device = _device(device)
        self.lock = threading.Lock()
        for model in models:
            model.network.to(self.device)
        self._shared = _share_encoders(models)

    def probabilities(self, batches: Sequence[LesionBatch]) -> Tensor:
        """Return the class probabilities of cases, mean over the models, (B, C) float64.

        Args:
            batches: The same cases for each model, with images of its size and metadata in its
                encoding.
        """
        total: Tensor | float = 0.0
        tokens: dict[int, Tensor] = {}
        with self.lock, torch.inference_mode():
            for model, batch in zip(self.models, batches, strict=True):
                moved, encoder = self.moved(batch), model.network.encoder
                if encoder is not None and (key := id(encoder)) in self._shared:
                    if key not in tokens:
                        tokens[key] = encoder.encoded(moved.image).values
                    moved = moved.with_tokens(tokens[key])
                logits = model.network(moved).logits.cpu()  # not every device has float64
                total = total + logits.double().softmax(-1)
        assert isinstance(total, Tensor)
        return total / len(self.models)

    @classmethod
    def load(cls, paths: Sequence[Path], device: str | torch.device | None = None) -> Ensemble:
        """Return the models of checkpoints or of folders of exported weights.

        Args:
            paths: Files, or folders of `vitatt export --format safetensors`.
            device: Where they run.

        Raises:
            UsageError: If one cannot be used, they are of different datasets, classes or views, or
                there is no such device.
        """
        return cls([load_network(path) for path in paths], device)

    def predict(self, cases: Sequence[CaseArrays]) -> NDArray[np.float64]:
        """Return the class probabilities of cases, mean over the models, (B, C).

        Args:
            cases: The same cases for each model, as it reads them.
        """
        return self.probabilities([as_batch(one) for one in cases]).numpy()

    def moved(self, batch: LesionBatch) -> LesionBatch:
        """Return a batch on the device of the networks."""
        return batch.to(self.device)


def as_batch(cases: CaseArrays) -> LesionBatch:
    """Return cases as a batch without labels, on the CPU; arrays and tensors share their memory."""
    absent = None if cases.absent is None else torch.from_numpy(cases.absent)
    return LesionBatch(
        Pixels(torch.from_numpy(cases.pixels), absent),
        torch.from_numpy(cases.metadata),
        torch.from_numpy(cases.missing),
        torch.full((len(cases.pixels),), -1),
        list(cases.names),
    )


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:  # torch raises both
        raise UsageError(
            "Expected argument `device` to be one that PyTorch finds on this machine, such as cpu "
            f"or cuda:0, but got '{device}': {str(error).splitlines()[0]}"
        ) from error
    return chosen


def _share_encoders(models: Sequence[TrainedNetwork]) -> frozenset[int]:
    """Give models with equal encoders the same one; the ids of those that several models share.

    Networks in which metadata enters the encoder keep their own.
    """
    distinct: list[ImageEncoder] = []
    for network in (model.network for model in models):
        if network.encoder is None or not network.encodes_alone:
            continue
        own = network.encoder
        equal = next((one for one in distinct if same_tokens(one, own)), None)
        if equal is None:
            distinct.append(own)
        else:
            network.encoder = equal
    counts = Counter(id(model.network.encoder) for model in models if model.network.encodes_alone)
    return frozenset(key for key, count in counts.items() if count > 1)
