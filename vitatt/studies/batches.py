"""Cases of a split, batch by batch, with a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
from lightning.fabric.utilities import move_data_to_device
from tqdm import tqdm

from vitatt.data.datamodule import LesionDataModule
from vitatt.models.classifier import LesionClassifier
from vitatt.types import LesionBatch

BATCH = 16
"""Cases explained at once."""


def batches_on_device(
    model: LesionClassifier,
    datamodule: LesionDataModule,
    split: Any,
    cases: pl.DataFrame,
    what: str,
) -> Iterator[LesionBatch]:
    """Some cases of a split as pixels on the model's device, in their order.

    Args:
        model: Says where the batches go.
        datamodule: Has the cases.
        split: Of the data.
        cases: Rows of that split.
        what: Is being done, for the bar.
    """
    with tqdm(total=cases.height, desc=what, unit="case") as bar:
        for batch in datamodule.make_dataset(split, cases).batches(BATCH):
            yield move_data_to_device(batch, model.device)
            bar.update(len(batch.target))
