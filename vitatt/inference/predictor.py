"""Diagnosis of a lesion from its image and answers about the patient, by one model or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vitatt.inference.ensemble import Ensemble
from vitatt.inference.images import CaseInput, image_name, read_case
from vitatt.inference.results import Explanation, Prediction
from vitatt.models.build import load_network
from vitatt.models.checkpoint_files import find_checkpoint
from vitatt.types import LesionBatch, LesionTask, Pixels, UsageError

if TYPE_CHECKING:
    from vitatt.data.datasets.schema import DatasetSpec
    from vitatt.data.metadata.encoding import EncodedMetadata, Value
    from vitatt.inference.answers import AnswerReader, Answers

RUNS = Path("runs") / "vitatt"
"""Folder of the runs that the checkpoints ``best`` and ``last`` are looked for in."""


class Predictor:
    """One trained model, or the mean of several, for single images with answers; see `load`.

    Several threads may use it: images are read in parallel, and networks run one call after the
    other.

    Args:
        ensemble: The networks.

    Attributes:
        ensemble: The networks.
        classes: Class names, in the order of the logits.
        features: Columns that a network uses.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self.classes = ensemble.models[0].task.classes
        names = [feature.name for task in self._tasks for feature in task.features]
        self.features = tuple(dict.fromkeys(names))

    @classmethod
    def load(
        cls,
        *checkpoints: str | Path | Sequence[str | Path],
        device: str | torch.device | None = None,
    ) -> Predictor:
        """Return the model of a checkpoint, or the mean of several models.

        Args:
            checkpoints: Files of `vitatt fit`, folders of runs (their best checkpoint), or ``best``
                or ``last`` for that of the latest run below ``runs/vitatt``. Several must be of one
                dataset with the same classes; features, encoders and image sizes may differ.
            device: Where the networks run, such as ``cpu`` or ``cuda:1``; by default the GPU if
                there is one, else the CPU.

        Raises:
            UsageError: If a checkpoint does not exist or cannot be used, several are of different
                datasets or classes, or there is no such device.
        """
        paths = [
            find_checkpoint(path, RUNS)
            for given in checkpoints
            for path in ([given] if isinstance(given, str | Path) else given)
        ]
        return cls(Ensemble([load_network(path) for path in paths], device))

    def predict(self, image: CaseInput, answers: Answers | None = None) -> Prediction:
        """Return the class probabilities of a lesion.

        Args:
            image: Path of an image file, its content, a Pillow image, or an array of RGB pixels
                (H, W, 3) uint8. If the model was trained on cases of several views, those of the
                case by their names, such as ``{"close-up": "a.jpg", "dermoscopic": "b.jpg"}``; one
                that is left out or None is absent.
            answers: Published values by column of the dataset, such as ``{"age": 55, "itch":
                "yes"}``, in any spelling that its files may have. What is absent, None or ``UNK``
                is missing. Columns that no model uses are checked and left aside.

        Raises:
            UsageError: If an image cannot be read or is of no view, the dataset has no such column,
                or a value is not one that the column can have.
        """
        return self.predict_batch([image], [answers])[0]

    def predict_batch(
        self,
        images: Sequence[CaseInput],
        answers: Sequence[Answers | None] | None = None,
        *,
        batch_size: int = 16,
    ) -> list[Prediction]:
        """Return the class probabilities of several lesions, in their order, see `predict`.

        Args:
            images: An image (or images by view) for each lesion.
            answers: The answers for each lesion; by default none.
            batch_size: Images that are in memory and run at a time.

        Raises:
            UsageError: As `predict` does, or if images and answers are not equally many, or the
                batch size is below 1.
        """
        if batch_size < 1:
            raise UsageError(f"Expected argument `batch_size` to be at least 1, got {batch_size}.")
        if isinstance(images, Mapping | str | bytes | Path):
            raise UsageError(
                "Expected argument `images` to be a list with an image, or images by view, for "
                f"each lesion, but got a {type(images).__name__}."
            )
        encoded = self._answers.encode(self._read(images, answers))
        rows: list[list[float]] = []
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            batches = self._batches(images[part], encoded, part)
            rows += self.ensemble.probabilities(batches).tolist()
        return [self._prediction(row, encoded, number) for number, row in enumerate(rows)]

    def explain(
        self,
        image: CaseInput,
        answers: Answers | None = None,
        *,
        method: str = "tmme",
        target: str | None = None,
        contrast: str | None = None,
    ) -> Explanation:
        """Return the relevance of image patches and features to a prediction.

        Args:
            image: As for `predict`.
            answers: As for `predict`.
            method: Any of `vitatt.explain.methods.METHODS`.
            target: Name of the class to explain; by default the predicted one.
            contrast: Name of a second class. The relevance is then to the difference of the two
                logits: why the first class and not the second.

        Raises:
            UsageError: As `predict` does; if method or class is unknown, or the method does not
                apply to the network or, with `contrast`, does not depend on the class; or if there
                are several models. Their relevance is not averaged: it is on the scale of each
                model's own logits, and on its own grid of patches.
        """
        from vitatt.inference.explaining import explain_case  # imports Captum

        models = self.ensemble.models
        if len(models) > 1:
            raise UsageError(
                f"Expected one model to explain, but this is the mean of {len(models)}: load one "
                f"of them by itself, such as Predictor.load('{models[0].path}')."
            )
        values = self._read([image], [answers])
        encoded = self._answers.encode(values)
        batches = self._batches([image], encoded, slice(1))
        (row,) = self.ensemble.probabilities(batches).tolist()
        with self.ensemble.lock:
            return explain_case(
                models[0],
                self.ensemble.moved(batches[0]),
                values[0],
                self._prediction(row, encoded, 0),
                method=method,
                target=target,
                contrast=contrast,
            )

    @property
    def spec(self) -> DatasetSpec:
        """The dataset of the networks: its classes, columns and their published values.

        Raises:
            UsageError: If it is not registered.
        """
        return self._answers.spec

    @cached_property
    def _answers(self) -> AnswerReader:
        from vitatt.inference.answers import AnswerReader  # imports Polars; loading does not

        return AnswerReader(self._tasks)

    @property
    def _tasks(self) -> list[LesionTask]:
        return [model.task for model in self.ensemble.models]

    def _read(
        self, images: Sequence[CaseInput], answers: Sequence[Answers | None] | None
    ) -> list[dict[str, Value]]:
        """Checked values of all features for each image."""
        answers = [None] * len(images) if answers is None else answers
        if len(answers) != len(images):
            raise UsageError(
                f"Expected answers for each of {len(images)} images, but got {len(answers)}."
            )
        many = len(images) > 1
        return [
            self._answers.read(one, f"the answers of image {number}" if many else "the answers")
            for number, one in enumerate(answers)
        ]

    def _batches(
        self, images: Sequence[CaseInput], encoded: Sequence[EncodedMetadata], rows: slice
    ) -> list[LesionBatch]:
        """A batch for each model, of some of the cases."""
        views = self._tasks[0].views
        pixels = {}
        for size in {task.image_size for task in self._tasks}:
            read, absent = zip(*(read_case(image, views, size) for image in images), strict=True)
            values = torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2)
            pixels[size] = Pixels(values, torch.tensor(absent) if views else None)
        return [
            LesionBatch(
                pixels[task.image_size],
                torch.from_numpy(metadata.soft_one_hot[rows]),
                torch.from_numpy(metadata.missing[rows]),
                torch.full((len(images),), -1),
                [image_name(image) for image in images],
            )
            for task, metadata in zip(self._tasks, encoded, strict=True)
        ]

    def _prediction(
        self, row: Sequence[float], encoded: Sequence[EncodedMetadata], case: int
    ) -> Prediction:
        """A case's probabilities, with the features that a network would use but are missing."""
        names = {
            feature.name
            for task, metadata in zip(self._tasks, encoded, strict=True)
            for feature, absent in zip(task.features, metadata.missing[case], strict=True)
            if absent
        }
        return Prediction(
            dict(zip(self.classes, row, strict=True)),
            tuple(name for name in self.features if name in names),
        )
