"""Real cases of a checkpoint's data, for calibration and measurements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.export.quantization import LabelledCases
from vitatt.inference.arrays import CaseArrays
from vitatt.types import LesionBatch

_BATCH = 16


def real_cases(
    data: LesionDataModule, split: SplitName, *, most: int | None = None
) -> Iterator[LabelledCases]:
    """Yield cases of a split in batches, without augmentation, spread over its rows.

    Args:
        data: With the task of the checkpoint.
        split: Which cases.
        most: Number of cases; by default all.
    """
    cases = data.cases(split)
    if most is not None and cases.height > most:
        cases = cases[np.linspace(0, cases.height - 1, most).astype(np.int64).tolist()]
    for batch in data.make_dataset(split, cases).batches(_BATCH):
        yield LabelledCases(as_arrays(batch), batch.target.numpy())


def as_arrays(batch: LesionBatch) -> CaseArrays:
    """Return a batch of pixels as arrays."""
    absent = None if batch.image.absent is None else batch.image.absent.numpy()
    return CaseArrays(
        np.ascontiguousarray(batch.pixels.numpy()),
        batch.metadata.numpy(),
        batch.missing.numpy(),
        absent,
        batch.case_id,
    )
