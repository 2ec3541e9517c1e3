"""Published datasets, by registered name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from vitatt.data.datasets import isic_2019, pad_ufes_20
from vitatt.data.datasets.schema import DatasetSpec
from vitatt.data.datasets.table import LesionTable
from vitatt.types import UsageError
from vitatt.words import did_you_mean


class Dataset(NamedTuple):
    """A dataset that ``data.dataset`` can name.

    Attributes:
        spec: Its classes, features and groups.
        read: Reads its cases from a folder, with the keywords ``labelled``, ``allow_ungrouped`` and
            ``needed``, see `pad_ufes_20.read`.
    """

    spec: DatasetSpec
    read: Callable[..., LesionTable]


DATASETS: dict[str, Dataset] = {
    "pad_ufes_20": Dataset(pad_ufes_20.SPEC, pad_ufes_20.read),
    "isic_2019": Dataset(isic_2019.SPEC, isic_2019.read),
}
"""Datasets by registered name."""


def registered_dataset(name: str, setting: str) -> Dataset:
    """Return the dataset of a name.

    Args:
        name: A registered name.
        setting: Where it stands, for the message.

    Raises:
        UsageError: If it is not registered; the message lists the names that are.
    """
    if name not in DATASETS:
        raise UsageError(
            f"Expected {setting} to name a dataset among {', '.join(DATASETS)}, but got '{name}'."
            f"{did_you_mean(str(name), list(DATASETS))}"
        )
    return DATASETS[name]
