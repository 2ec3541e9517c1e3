from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from vitatt.data.datamodule import LesionDataModule
from vitatt.types import FeatureEncoding, FoldSpec, LesionTask

TASK = LesionTask(
    dataset="pad_ufes_20",
    classes=("ACK", "BCC"),
    class_counts=(7, 3),
    features=(
        FeatureEncoding("itch", "itches", "categorical", categories=("False", "True", "é")),
        FeatureEncoding("age", "age", "numeric", "years", centres=(1 / 3, 5.0)),
    ),
    smoothing=0.1,
    image_size=224,
    fold_spec=FoldSpec(1, 5, 42, 3),
    seen="1f",
)


def through_checkpoint(plain: dict[str, Any], folder: Path) -> Any:
    torch.save(plain, folder / "task.pt")
    return torch.load(folder / "task.pt", weights_only=True)


WAYS: dict[str, Callable[[dict[str, Any], Path], Any]] = {
    "dict": lambda plain, _: plain,
    "json": lambda plain, _: json.loads(json.dumps(plain)),
    "yaml": lambda plain, _: yaml.safe_load(yaml.safe_dump(plain)),
    "checkpoint": through_checkpoint,
}


@pytest.mark.parametrize("way", WAYS)
def test_round_trip(way: str, tmp_path: Path) -> None:
    assert LesionTask.from_plain(WAYS[way](TASK.to_plain(), tmp_path)) == TASK


@pytest.mark.parametrize("way", ["yaml", "checkpoint"])  # the others accept every scalar
@pytest.mark.long
def test_round_trip_of_a_fitted_task(
    way: str, tmp_path: Path, make_module: Callable[..., LesionDataModule]
) -> None:
    task = make_module().task
    assert LesionTask.from_plain(WAYS[way](task.to_plain(), tmp_path)) == task


def test_reading_leaves_the_dict_as_it_is() -> None:
    plain = TASK.to_plain()
    LesionTask.from_plain(plain)
    assert plain == TASK.to_plain()


def test_cardinalities() -> None:
    assert TASK.cardinalities == (3, 2)


def broken(**changes: object) -> dict[str, Any]:
    plain = {**TASK.to_plain(), **changes}
    return {key: value for key, value in plain.items() if value is not ...}


@pytest.mark.parametrize(
    "plain",
    [
        {},
        broken(classes=...),
        broken(features=...),
        broken(fold_spec=...),
        broken(smoothing=...),
        broken(colour="red"),
        broken(fold_spec={"fold": 0, "num_folds": 5}),
        broken(fold_spec=None),
        broken(features=[{"name": "itch"}]),
        broken(features=[{**TASK.to_plain()["features"][0], "colour": "red"}]),
        broken(features=None),
        broken(classes=None),
        [1, 2],
    ],
)
def test_keys_that_are_wrong(plain: Any) -> None:
    with pytest.raises(ValueError, match=r"keys \['dataset', 'classes'.*another version"):
        LesionTask.from_plain(plain)
