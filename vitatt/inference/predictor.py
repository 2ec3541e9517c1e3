"""Diagnosis of a lesion from its image and answers about the patient, by one model or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitatt.inference.arrays import CaseArrays
from vitatt.inference.images import CaseInput, image_name, read_case
from vitatt.inference.loading import load_models
from vitatt.inference.results import Explanation, Prediction
from vitatt.types import LesionTask, UsageError

if TYPE_CHECKING:  # PyTorch is imported for checkpoints only: an exported model runs without it
    import torch

    from vitatt.data.datasets.schema import DatasetSpec
    from vitatt.data.metadata.encoding import EncodedMetadata, Value
    from vitatt.inference.answers import AnswerReader, Answers
    from vitatt.inference.ensemble import Ensemble
    from vitatt.inference.onnx_models import OnnxEnsemble
    from vitatt.types import LesionBatch


class Predictor:
    """One trained model, or the mean of several, for single images with answers; see `load`.

    Several threads may use it: images are read in parallel, and networks run one call after the
    other.

    Args:
        ensemble: The networks, of checkpoints or exported ones.

    Attributes:
        ensemble: The networks.
        classes: Class names, in the order of the logits.
        features: Columns that a network uses.
    """

    def __init__(self, ensemble: Ensemble | OnnxEnsemble) -> None:
        self.ensemble = ensemble
        self.classes = ensemble.models[0].task.classes
        names = [
            feature.name
            for model in ensemble.models
            if model.reads_metadata
            for feature in model.task.features
        ]
        self.features = tuple(dict.fromkeys(names))

    @classmethod
    def load(
        cls,
        *checkpoints: str | Path | Sequence[str | Path],
        device: str | torch.device | None = None,
    ) -> Predictor:
        """Return the model of a checkpoint or of an export, or the mean of several models.

        Args:
            checkpoints: Files of `vitatt fit`, folders of runs (their best checkpoint), or ``best``
                or ``last`` for that of the latest run below ``runs/vitatt``; folders of `vitatt
                export`; or ``hf:OWNER/NAME`` for a model on the Hugging Face hub, of which
                ``hf:OWNER/NAME@REVISION`` is one version. Several must be of one dataset with the
                same classes; features, encoders and image sizes may differ. A folder of the format
                ``onnx`` is run by ONNX Runtime, and nothing imports PyTorch. The address of a
                server of `vitatt serve`, such as ``http://127.0.0.1:8000``, stands for its first
                model; its token is that of the environment variable VITATT_TOKEN.
            device: Where the networks run, such as ``cpu`` or ``cuda:1``; by default the GPU if
                there is one, else the CPU.

        Raises:
            UsageError: If a checkpoint does not exist or cannot be used, several are of different
                datasets or classes or of different runtimes, or there is no such device.
        """
        paths = [
            path
            for given in checkpoints
            for path in ([given] if isinstance(given, str | Path) else given)
        ]
        if urls := [one for one in paths if str(one).startswith(("http://", "https://"))]:
            from vitatt.inference.remote import RemotePredictor

            if len(paths) > 1:
                raise UsageError(
                    f"Expected one server, or models of this machine, but got {len(paths)} of "
                    f"them, such as {urls[0]}."
                )
            return RemotePredictor(str(urls[0]))
        return cls(load_models(paths, device))

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
        encoded = self.reader.encode(self._read(images, answers))
        rows: list[list[float]] = []
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            batches = self.arrays(images[part], encoded, part)
            rows += self.ensemble.predict(batches).tolist()
        return [self.prediction(row, encoded, number) for number, row in enumerate(rows)]

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
            method: Any of `vitatt.explain.methods.METHODS`; ``attention`` if the model is an export
                of the format ``onnx``, which has no gradients.
            target: Name of the class to explain; by default the predicted one.
            contrast: Name of a second class. The relevance is then to the difference of the two
                logits: why the first class and not the second.

        Raises:
            UsageError: As `predict` does; if method or class is unknown, or the method does not
                apply to the network or, with `contrast`, does not depend on the class; or if there
                are several models. Their relevance is not averaged: it is on the scale of each
                model's own logits, and on its own grid of patches.
        """
        models = self.ensemble.models
        if len(models) > 1:
            raise UsageError(
                f"Expected one model to explain, but this is the mean of {len(models)}: load one "
                f"of them by itself, such as Predictor.load('{models[0].path}')."
            )
        (values,) = self._read([image], [answers])
        encoded = self.reader.encode([values])
        (case,) = self.arrays([image], encoded, slice(1))
        (row,) = self.ensemble.predict([case]).tolist()
        prediction = self.prediction(row, encoded, 0)
        if self.ensemble.runtime == "onnx":
            from vitatt.inference.attention_output import explain_by_attention

            return explain_by_attention(
                self.ensemble.models[0],
                case,
                values,
                prediction,
                method=method,
                target=target,
                contrast=contrast,
            )
        from vitatt.inference.ensemble import as_batch
        from vitatt.inference.explaining import explain_case  # imports Captum

        with self.ensemble.lock:
            return explain_case(
                self.ensemble.models[0],
                self.ensemble.moved(as_batch(case)),
                values,
                prediction,
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
        return self.reader.spec

    @cached_property
    def reader(self) -> AnswerReader:
        """Reads and encodes answers."""
        from vitatt.inference.answers import AnswerReader  # imports Polars; loading does not

        return AnswerReader(self.tasks)

    @property
    def tasks(self) -> list[LesionTask]:
        """The task of each network."""
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
            self.reader.read(one, f"the answers of image {number}" if many else "the answers")
            for number, one in enumerate(answers)
        ]

    def arrays(
        self, images: Sequence[CaseInput], encoded: Sequence[EncodedMetadata], rows: slice
    ) -> list[CaseArrays]:
        """Return some of the cases, as each model reads them.

        Args:
            images: Of these cases.
            encoded: Metadata of all cases, for each model.
            rows: Which of them the images are of.

        Raises:
            UsageError: As `predict` does.
        """
        views = self.tasks[0].views
        shown = {}
        for size in {task.image_size for task in self.tasks}:
            read, absent = zip(*(read_case(image, views, size) for image in images), strict=True)
            pixels = np.ascontiguousarray(np.stack(read).transpose(0, 3, 1, 2))
            shown[size] = pixels, np.array(absent) if views else None
        names = [image_name(image) for image in images]
        return [
            CaseArrays(
                shown[task.image_size][0],
                metadata.soft_one_hot[rows],
                metadata.missing[rows],
                shown[task.image_size][1],
                names,
            )
            for task, metadata in zip(self.tasks, encoded, strict=True)
        ]

    def batches(
        self, images: Sequence[CaseInput], encoded: Sequence[EncodedMetadata], rows: slice
    ) -> list[LesionBatch]:
        """Return some of the cases as a batch of PyTorch for each model, see `arrays`."""
        from vitatt.inference.ensemble import as_batch  # imports PyTorch

        return [as_batch(one) for one in self.arrays(images, encoded, rows)]

    def prediction(
        self, row: Sequence[float], encoded: Sequence[EncodedMetadata], case: int
    ) -> Prediction:
        """Return a case's probabilities and the features that a network would use but are missing.

        Args:
            row: Of each class.
            encoded: Metadata of all cases, for each model.
            case: Which of them it is.
        """
        names = {
            feature.name
            for task, metadata in zip(self.tasks, encoded, strict=True)
            for feature, absent in zip(task.features, metadata.missing[case], strict=True)
            if absent
        }
        return Prediction(
            dict(zip(self.classes, row, strict=True)),
            tuple(name for name in self.features if name in names),
        )
