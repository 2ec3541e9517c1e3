"""Trained networks that predict together: the mean of their probabilities."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from vitatt.models.build import TrainedNetwork
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.encoders.sharing import same_tokens
from vitatt.types import LesionBatch, UsageError


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

    Raises:
        UsageError: If there is no model, they are of different datasets, classes or views, or
            there is no such device.
    """

    def __init__(
        self, models: Sequence[TrainedNetwork], device: str | torch.device | None = None
    ) -> None:
        _check_alike(models)
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

    def moved(self, batch: LesionBatch) -> LesionBatch:
        """Return a batch on the device of the networks."""
        return batch.to(self.device)


def _check_alike(models: Sequence[TrainedNetwork]) -> None:
    """Raise a `UsageError` unless the probabilities of models can be averaged."""
    if not models:
        raise UsageError("Expected at least one checkpoint, but got none.")
    first = models[0]
    for model in models[1:]:
        for what in ("dataset", "classes", "views"):
            expected, found = getattr(first.task, what), getattr(model.task, what)
            if found != expected:
                raise UsageError(
                    "Expected models of one dataset with the same classes and views, but the "
                    f"{what} of {first.path}: {_words(expected)}; of {model.path}: {_words(found)}."
                )


def _words(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value) or "none"


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
