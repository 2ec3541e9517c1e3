"""Tables of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.files import write_frame


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
    order = datamodule.cases("predict")["case_id"].to_list()
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
    write_frame(frame, path)


def prediction_frame(
    datamodule: LesionDataModule, split: SplitName, predictions: Sequence[tuple[list[str], Tensor]]
) -> pl.DataFrame:
    """Cases of a split with id, group, true and predicted class, probabilities and metadata.

    Args:
        datamodule: The data.
        split: Which split was predicted.
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
    cases = datamodule.cases(split).rename({"diagnosis": "true"}).drop("image")
    frame = cases.select("case_id", "group", "true").join(
        scores, on="case_id", how="left", maintain_order="left"
    )
    if absent := frame["predicted"].null_count():
        rank_zero_warn(f"{absent} of {frame.height} {split} cases were not predicted.")
        frame = frame.drop_nulls("predicted")
    features = [feature.name for feature in datamodule.task.features]
    return frame.join(cases.select("case_id", *features), on="case_id", maintain_order="left")
