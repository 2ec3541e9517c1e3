"""Predictions on file: of new cases, and of the outer fold with its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import lightning
import numpy as np
import polars as pl
import torch
import torch.distributed
import wandb
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from numpy.typing import NDArray
from torch import Tensor

from vitatt.callbacks.drawing import drawing
from vitatt.callbacks.tracking import run_folder, run_logger
from vitatt.data.datamodule import LesionDataModule, Part
from vitatt.evaluation.summary import summarise
from vitatt.explain.heatmap import heatmap
from vitatt.explain.methods import explain
from vitatt.files import whole_file
from vitatt.models.classifier import LesionClassifier, StepOutput
from vitatt.types import LesionBatch

_Batch = TypeVar("_Batch")


class PredictionWriter(Callback):
    """Writes class probabilities of every predicted case into a CSV file.

    Args:
        path: The file; written whole or not at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._batches: list[tuple[list[str], Tensor]] = []

    def on_predict_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's predictions."""
        del trainer, pl_module, batch, batch_idx, dataloader_idx
        case_ids, probabilities = outputs
        self._batches.append((case_ids, probabilities.cpu()))

    def on_predict_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write the file, in the order of the input, from the first process."""
        assert isinstance(pl_module, LesionClassifier)
        datamodule = _datamodule(trainer)
        probabilities = {
            case_id: row
            for case_ids, rows in _gather(self._batches)
            for case_id, row in zip(case_ids, rows.double().tolist(), strict=True)
        }
        if not trainer.is_global_zero:
            return
        write_published(datamodule, probabilities, self.path)


class TestReport(Callback):
    """After a test: figures with intervals, all predictions on file, and a table in W&B."""

    __test__ = False  # no test case, whatever pytest thinks of its name

    def __init__(self) -> None:
        self._batches: list[tuple[list[str], Tensor]] = []
        self._maps: list[tuple[list[str], list[NDArray[np.uint8]]]] = []

    def on_test_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Forget what an earlier test left."""
        self._batches, self._maps = [], []

    def on_test_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: StepOutput,
        batch: LesionBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's predictions, and the TMME map of each predicted class."""
        del batch_idx, dataloader_idx
        assert isinstance(pl_module, LesionClassifier)
        probabilities = outputs["probabilities"]
        self._batches.append((outputs["case_id"], probabilities.cpu()))
        if run_logger(trainer) is None or not pl_module.network.layouts:
            return
        with drawing("the maps of the test cases"), trainer.precision_plugin.forward_context():
            relevance = explain(pl_module.network, batch, probabilities.argmax(1, keepdim=True))
            maps = relevance.patches[:, 0].cpu().numpy()
            pixels = batch.image.permute(0, 2, 3, 1).cpu().numpy()
            pictures = [heatmap(*pair) for pair in zip(pixels, maps, strict=True)]
            self._maps.append((outputs["case_id"], pictures))

    def on_test_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write ``predictions.parquet`` and the table, and print the figures."""
        assert isinstance(pl_module, LesionClassifier)
        predictions, maps = _gather(self._batches), _gather(self._maps)
        if not trainer.is_global_zero:
            return
        datamodule = _datamodule(trainer)
        classes = datamodule.task.classes
        frame = prediction_frame(datamodule, "test", predictions)
        path = run_folder(trainer) / "predictions.parquet"
        _write(frame, path)
        summary = summarise(frame, classes, [f.name for f in datamodule.task.features])
        split = datamodule.split
        rank_zero_info(
            f"Held-out fold {split.fold} of {split.num_folds}: {frame.height} cases of "
            f"{frame['group'].n_unique()} {datamodule.spec.group}s; intervals are 95 %, resampling "
            f"{datamodule.spec.group}s.\n"
            + "\n".join(f"  {line}" for line in summary.lines())
            + f"\nPredictions: {path}"
        )
        if (logger := run_logger(trainer)) is None:
            return
        logger.log_metrics(summary.figures())
        pictures = {
            case_id: wandb.Image(picture)
            for case_ids, batch in maps
            for case_id, picture in zip(case_ids, batch, strict=True)
        }
        table = wandb.Table(columns=[*frame.columns, "tmme"])
        for row in frame.iter_rows(named=True):
            table.add_data(*row.values(), pictures.get(row["case_id"]))
        logger.log_metrics({"test/cases": table})


def write_published(
    datamodule: LesionDataModule, probabilities: Mapping[str, Sequence[float]], path: Path
) -> None:
    """Predictions of `predict_root` as a CSV file, in the order of the input.

    The columns are the published ones: the id of each case and a probability for each class.

    Args:
        datamodule: The data.
        probabilities: Of each case, (C,).
        path: The file; written whole or not at all.
    """
    spec = datamodule.spec
    order = datamodule.part("predict")["case_id"].to_list()
    frame = pl.DataFrame(
        {
            spec.id_column: order,
            **{
                name: [probabilities[case_id][number] for case_id in order]
                for number, name in enumerate(spec.classes)
            },
            **({spec.unknown_class: [0.0] * len(order)} if spec.unknown_class else {}),
        }
    )
    _write(frame, path)
    rank_zero_info(f"Wrote the probabilities of {frame.height} cases to {path}")


def prediction_frame(
    datamodule: LesionDataModule, part: Part, predictions: Sequence[tuple[list[str], Tensor]]
) -> pl.DataFrame:
    """Cases of a part with id, group, true and predicted class, probabilities and metadata.

    Args:
        datamodule: The data.
        part: Which part was predicted.
        predictions: Case ids and probabilities (B, C), batch by batch.
    """
    classes = list(datamodule.task.classes)
    probabilities = torch.cat([rows for _, rows in predictions]).double().numpy()
    case_ids = [case_id for ids, _ in predictions for case_id in ids]
    predicted = [classes[number] for number in probabilities.argmax(1)]
    scores = pl.DataFrame(
        {
            "case_id": case_ids,
            "predicted": predicted,
            **{f"p_{name}": probabilities[:, n] for n, name in enumerate(classes)},
        }
    )
    cases = datamodule.part(part).rename({"diagnosis": "true"}).drop("image")
    frame = cases.select("case_id", "group", "true").join(
        scores, on="case_id", how="left", maintain_order="left"
    )
    if absent := frame["predicted"].null_count():
        rank_zero_warn(f"{absent} of {frame.height} {part} cases were not predicted.")
        frame = frame.drop_nulls("predicted")
    features = [feature.name for feature in datamodule.task.features]
    return frame.join(cases.select("case_id", *features), on="case_id", maintain_order="left")


def _datamodule(trainer: lightning.Trainer) -> LesionDataModule:
    datamodule = trainer.datamodule
    assert isinstance(datamodule, LesionDataModule)
    return datamodule


def _gather(batches: list[_Batch]) -> list[_Batch]:
    """The batches of all processes."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return batches
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, batches)
    return [batch for part in parts for batch in part]


def _write(frame: pl.DataFrame, path: Path) -> None:
    with whole_file(path) as part:
        if path.suffix == ".parquet":
            frame.write_parquet(part)
        else:
            frame.write_csv(part)
