"""Published datasets by registered name, and datasets by their description."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import resources
from typing import NamedTuple

from vitatt.data.datasets.described import read_described
from vitatt.data.datasets.description import Description, parse_description, recorded_description
from vitatt.data.datasets.schema import DatasetSpec
from vitatt.data.datasets.table import LesionTable
from vitatt.paths import user_path
from vitatt.reading import read_text
from vitatt.types import UsageError
from vitatt.words import did_you_mean


class Dataset(NamedTuple):
    """A dataset that ``data.dataset`` can name.

    Attributes:
        spec: Its classes, features and groups.
        read: Reads its cases from a folder, with the keywords ``labelled``, ``allow_ungrouped`` and
            ``needed``, see `read_described`.
        description: Text of its description, for checkpoints; empty if it is registered.
    """

    spec: DatasetSpec
    read: Callable[..., LesionTable]
    description: str = ""


def _published() -> dict[str, Dataset]:
    """The published datasets, whose descriptions come with the package."""
    folder = resources.files("vitatt.data.datasets") / "published"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        description = parse_description(file.read_text(encoding="utf-8"), file.name)
        found[description.spec.name] = _as_dataset(description)._replace(description="")
    return found


def _as_dataset(description: Description) -> Dataset:
    return Dataset(description.spec, partial(read_described, description), description.text)


DATASETS: dict[str, Dataset] = _published()
"""Published datasets by name."""


def find_dataset(name: str, setting: str) -> Dataset:
    """Return the dataset of a name, or that of a description in a file.

    Args:
        name: A registered name, or the path of a YAML file, see `Description`.
        setting: Where it stands, for the message.

    Raises:
        UsageError: If it is not registered, or the file cannot be read or describes no dataset; the
            message lists the names that are registered.
    """
    if str(name).endswith((".yaml", ".yml")):
        path = user_path(name, setting)
        return _described(parse_description(read_text(path), str(path)))
    if name not in DATASETS:
        raise UsageError(
            f"Expected {setting} to name a dataset among {', '.join(DATASETS)}, or a description "
            f"(a file that ends in .yaml), but got '{name}'."
            f"{did_you_mean(str(name), list(DATASETS))}"
        )
    return DATASETS[name]


def recorded_dataset(name: str, description: str, source: str) -> Dataset:
    """Return the dataset that a result or a checkpoint was made with.

    Args:
        name: Its name.
        description: Text of its description; empty if it is registered.
        source: Where both come from, for messages.

    Raises:
        UsageError: If it is not registered, or the text describes none.
    """
    if description:
        return _described(recorded_description(description, f"the description in {source}"))
    return find_dataset(name, source)


def _described(description: Description) -> Dataset:
    if description.spec.name in DATASETS:
        raise UsageError(
            f"Expected a name of its own for a described dataset, but '{description.spec.name}' is "
            "a registered one."
        )
    return _as_dataset(description)
