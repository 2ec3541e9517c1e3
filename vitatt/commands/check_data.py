"""The command `vitatt check-data`."""

from __future__ import annotations

from vitatt.data.checks.check_data import check
from vitatt.options import DataSettings
from vitatt.studies.inputs import make_datamodule


def check_data(data: DataSettings) -> int:
    """Print what is in a dataset, and what would spoil a training.

    Args:
        data: Arguments of `LesionDataModule`, such as ``{"dataset": "pad_ufes_20", "root": DIR}``.

    Returns:
        1 if something in the data would spoil a training, else 0.

    Raises:
        UsageError: If a setting is unknown or out of its range.
        DataError: If the data cannot be read.
    """
    report = check(make_datamodule(data))
    print(report.text)
    return 1 if report.problems else 0
