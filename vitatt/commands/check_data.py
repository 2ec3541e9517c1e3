"""check-data: what is in a dataset, and what would spoil a training."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from vitatt.commands.parsing import add_data_arguments
from vitatt.data.checks.check_data import check
from vitatt.data.datamodule import LesionDataModule


def check_data(options: list[str]) -> int:
    """Print the report; 1 if something in the data would spoil a training, else 0."""
    parser = ArgumentParser(prog="vitatt check-data", description=(__doc__ or "").split(": ")[1])
    add_data_arguments(parser)
    datamodule: LesionDataModule = parser.instantiate_classes(parser.parse_args(options)).data
    report = check(datamodule)
    print(report.text)
    return 1 if report.problems else 0
