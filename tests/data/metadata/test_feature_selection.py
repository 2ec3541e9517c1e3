"""hc-k: what is chosen, on which rows, and what cannot be asked for."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import DATASETS
from vitatt.data.metadata.association import associate
from vitatt.data.metadata.feature_selection import FeatureSelection
from vitatt.types import DataError

PAD_UFES_20 = DATASETS["pad_ufes_20"]
ISIC_2019 = DATASETS["isic_2019"]

pytestmark = pytest.mark.long

Make = Callable[..., LesionDataModule]
NAMES = [feature.name for feature in PAD_UFES_20.spec.features]


@pytest.mark.parametrize("k", [3, 21])
def test_takes_the_highest_in_the_datasets_order(k: int, make_module: Make) -> None:
    module = make_module(features=f"hc-{k}")
    table = associate(module.cases("train"), PAD_UFES_20.spec.features)
    expected = set(table["feature"].head(k))
    assert [f.name for f in module.task.features] == [n for n in NAMES if n in expected]


def test_finds_what_was_planted(make_module: Make) -> None:
    for fold in range(3):
        task = make_module(features="hc-2", fold=fold).task
        assert {f.name for f in task.features} == {"grew", "bleed"}


def test_only_training_rows_decide(make_module: Make) -> None:
    """The label, copied into a feature where training does not look, changes nothing."""
    module = make_module(features="hc-3")
    expected = module.task.features
    other = make_module(features="hc-3")
    frame = other.labelled.frame
    rest = pl.int_range(pl.len()).is_in(other.rows.train.tolist()).not_()
    planted = frame.with_columns(
        smoke=pl.when(rest).then(pl.col("diagnosis")).otherwise(pl.col("smoke"))
    )
    other.fold_data.labelled = other.labelled._replace(frame=planted)
    assert not other.cases("test")["smoke"].equals(module.cases("test")["smoke"])
    assert other.task.features == expected
    everything = associate(planted, PAD_UFES_20.spec.features)["feature"].head(3)
    assert "smoke" in everything, "had all rows decided, it would have been chosen"


def test_none(make_module: Make) -> None:
    module = make_module(features="hc-0")
    assert module.task.features == ()
    assert next(iter(module.val_dataloader())).metadata.shape == (16, 0)


def test_all_and_lists_do_not_look_at_rows() -> None:
    nothing = pl.DataFrame()
    assert FeatureSelection("all", ISIC_2019.spec).of(nothing) == ISIC_2019.spec.features
    chosen = FeatureSelection(["sex"], ISIC_2019.spec).of(nothing)
    assert [f.name for f in chosen] == ["sex"]


def test_a_checkpoint_keeps_its_own(make_module: Make) -> None:
    task = make_module(features="hc-2").task
    module = make_module(features="hc-5", task=task.to_plain())
    assert module.task.features == task.features
    assert [f.name for f in module.fold_data.chosen] == [f.name for f in task.features]


def test_other_texts_are_refused() -> None:
    for asked in ("hc-", "hc5", "HC-5", "hc--1", "hc-1.5", "age", "", "[1]"):
        with pytest.raises(DataError, match=r"`data\.features` to be all, hc-K .* but got"):
            FeatureSelection(asked, PAD_UFES_20.spec)


def test_more_than_there_are() -> None:
    with pytest.raises(DataError, match=r"hc-0 to hc-3, since ISIC 2019 .* but got hc-4"):
        FeatureSelection("hc-4", ISIC_2019.spec)
