"""One case whose image is encoded once, while the answers about it change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vitatt.data.metadata.encoding import EncodedMetadata, Value, encode_rows
from vitatt.inference.answers import AnswerReader
from vitatt.inference.ensemble import Ensemble
from vitatt.inference.images import CaseInput, read_case
from vitatt.inference.predictor import Predictor
from vitatt.inference.results import Prediction
from vitatt.models.build import TrainedNetwork
from vitatt.types import LesionBatch, LesionTask, Pixels, Tokens, UsageError, class_index
from vitatt.words import did_you_mean

_ROWS = 64
"""Versions of a case that run at once."""

_SMALLEST = 1e-9
"""Of probabilities in log-odds."""


class OpenQuestion(NamedTuple):
    """A feature without an answer, and what an answer could change.

    Attributes:
        feature: Column of the dataset.
        answer: The value that would change the probabilities most.
        change: By how much: half the sum of absolute differences (total variation), in [0, 1].
        prediction: With that answer.
    """

    feature: str
    answer: Value
    change: float
    prediction: Prediction


class CaseInHand:
    """A case, for questions of the kind "what if the answer were another".

    Its image is encoded once, if metadata joins after the encoder; only the fusion runs again for
    other answers.

    Args:
        predictor: One model or several.
        image: Of the case, or its images by view.

    Attributes:
        image: As given.

    Raises:
        UsageError: If the image cannot be read, or the model is an ONNX export.
    """

    def __init__(self, predictor: Predictor, image: CaseInput) -> None:
        self.image = image
        self.predictor = predictor
        self._reader: AnswerReader = predictor.reader
        self._classes = predictor.classes
        self._ensemble = ensemble = require_networks(predictor)
        self._images = []
        with ensemble.lock, torch.inference_mode():
            for model in ensemble.models:
                self._images.append(_kept(model, image, ensemble.device))

    def predict(self, answers: Mapping[str, object] | None = None) -> Prediction:
        """Return the prediction with some answers, see `Predictor.predict`.

        Raises:
            UsageError: If the dataset has no such column, or a value is not possible.
        """
        values = self._reader.read(answers)
        (row,) = self._probabilities([values])
        return self._prediction(row, values)

    def evidence(
        self,
        answers: Mapping[str, object] | None = None,
        *,
        target: str | None = None,
        contrast: str | None = None,
    ) -> dict[str, float]:
        """Return how much each answer speaks for a class (positive) or against it (negative).

        It is the change of the class's log-odds, ``log(p / (1 - p))``, if the answer is taken away,
        other answers staying; with a contrast, of ``log(p_target / p_contrast)``.

        Args:
            answers: See `predict`.
            target: Name of the class; by default the predicted one.
            contrast: Name of a second class: what speaks for the first and not the second.

        Returns:
            A number for each feature of the models that has an answer, by its column.

        Raises:
            UsageError: As `predict` does, or if a class is unknown or both are the same.
        """
        values = self._reader.read(answers)
        answered = [name for name in self.predictor.features if values[name] is not None]
        rows = self._probabilities([values, *({**values, name: None} for name in answered)])
        index = class_index(self._classes)
        chosen = self._classes[int(rows[0].argmax())] if target is None else target
        for name in (chosen, contrast):
            if name is not None and name not in index:
                raise UsageError(
                    f"Expected a class among {', '.join(self._classes)}, but got '{name}'."
                    f"{did_you_mean(name, self._classes)}"
                )
        if chosen == contrast:
            raise UsageError(f"Expected two different classes to contrast, but both are {chosen}.")
        other = None if contrast is None else index[contrast]
        scores = [_log_odds(row, index[chosen], other) for row in rows]
        return dict(zip(answered, [scores[0] - score for score in scores[1:]], strict=True))

    def open_questions(self, answers: Mapping[str, object] | None = None) -> list[OpenQuestion]:
        """Return the features without an answer, first the one that could change most.

        Every category, or the centre of every bin of a number, is tried as the answer.

        Raises:
            UsageError: As `predict` does.
        """
        values = self._reader.read(answers)
        tried: list[tuple[str, Value]] = []
        for name, known in _possible(self.predictor.tasks).items():
            if values[name] is None and name in self.predictor.features:
                tried += [(name, answer) for answer in known]
        versions = [values, *({**values, name: answer} for name, answer in tried)]
        rows = self._probabilities(versions)
        best: dict[str, OpenQuestion] = {}
        for (name, answer), version, row in zip(tried, versions[1:], rows[1:], strict=True):
            change = float(np.abs(row - rows[0]).sum() / 2)
            if name not in best or change > best[name].change:
                best[name] = OpenQuestion(name, answer, change, self._prediction(row, version))
        return sorted(best.values(), key=lambda one: -one.change)

    def _probabilities(self, versions: Sequence[Mapping[str, Value]]) -> list[NDArray[np.float64]]:
        """Probabilities of the case with several sets of answers, mean over the models."""
        total: list[NDArray[np.float64]] = []
        ensemble = self._ensemble
        for start in range(0, len(versions), _ROWS):
            rows = versions[start : start + _ROWS]
            part = np.zeros((len(rows), len(self._classes)))
            with ensemble.lock, torch.inference_mode():
                for model, image in zip(ensemble.models, self._images, strict=True):
                    batch = _versions(model.task, image, rows, ensemble.device)
                    logits = model.network(batch).logits.cpu().double()
                    part += logits.softmax(-1).numpy() / len(ensemble.models)
            total += list(part)
        return total

    def _prediction(self, row: NDArray[np.float64], values: Mapping[str, Value]) -> Prediction:
        missing = {
            feature.name
            for task in self.predictor.tasks
            for feature, absent in zip(
                task.features, _encoded(task, [values]).missing[0], strict=True
            )
            if absent
        }
        return Prediction(
            dict(zip(self._classes, row.tolist(), strict=True)),
            tuple(name for name in self.predictor.features if name in missing),
        )


def require_networks(predictor: Predictor) -> Ensemble:
    """Return the networks of a predictor, if PyTorch runs them.

    Raises:
        UsageError: If ONNX Runtime runs them.
    """
    ensemble = predictor.ensemble
    if ensemble.runtime == "onnx":
        raise UsageError(
            f"{ensemble.models[0].path} is an ONNX export, whose images cannot be encoded by "
            "themselves and whose results gradients cannot explain. Name the checkpoint that it "
            "was made from, or its export of the format safetensors."
        )
    return ensemble


def _kept(model: TrainedNetwork, image: CaseInput, device: torch.device) -> Pixels | Tokens:
    """The image as tokens, or as pixels if metadata joins inside the encoder."""
    task, network = model.task, model.network
    pixels, absent = read_case(image, task.views, task.image_size)
    if network.encoder is None:
        return Tokens(torch.zeros(1, 0, 0, device=device))
    given = Pixels(
        torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0).to(device),
        torch.tensor([absent], device=device) if task.views else None,
    )
    return network.encoder.encoded(given) if network.encodes_alone else given


def _versions(
    task: LesionTask,
    image: Pixels | Tokens,
    rows: Sequence[Mapping[str, Value]],
    device: torch.device,
) -> LesionBatch:
    encoded = _encoded(task, rows)
    count = len(rows)
    absent = None if image.absent is None else image.absent.expand(count, -1)
    values = image.values.expand(count, *image.values.shape[1:])
    return LesionBatch(
        image._replace(values=values, absent=absent),
        torch.from_numpy(encoded.soft_one_hot).to(device),
        torch.from_numpy(encoded.missing).to(device),
        torch.full((count,), -1, device=device),
        ["case"] * count,
    )


def _encoded(task: LesionTask, rows: Sequence[Mapping[str, Value]]) -> EncodedMetadata:
    return encode_rows(rows, task.features, smoothing=task.smoothing)


def _possible(tasks: Sequence[LesionTask]) -> dict[str, list[Value]]:
    """Answers that the models know, by feature: categories, or centres of bins."""
    found: dict[str, dict[Value, None]] = {}
    for feature in (one for task in tasks for one in task.features):
        known = feature.categories if feature.kind == "categorical" else feature.centres
        found.setdefault(feature.name, {}).update(dict.fromkeys(known))
    return {name: list(known) for name, known in found.items()}


def _log_odds(row: NDArray[np.float64], target: int, contrast: int | None) -> float:
    against = 1 - row[target] if contrast is None else row[contrast]
    return math.log(max(row[target], _SMALLEST)) - math.log(max(against, _SMALLEST))
