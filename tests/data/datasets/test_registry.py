"""The registry of datasets: what `data.dataset` can name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import DATASETS, Dataset, find_dataset
from vitatt.data.synthetic.demo import write_demo
from vitatt.types import UsageError

PAD_UFES_20 = DATASETS["pad_ufes_20"]


def test_names_are_those_of_the_specifications() -> None:
    assert {name: dataset.spec.name for name, dataset in DATASETS.items()} == {
        name: name for name in DATASETS
    }


def test_a_name_that_is_not_registered() -> None:
    said = (
        r"Expected `data.dataset` to name a dataset among derm7pt, ham10000, isic_2019, isic_2020, "
        r"isic_2024, isic_archive, milk10k, pad_ufes_20, or a description "
        r"\(a file that ends in \.yaml\), but got 'pad_"
    )
    with pytest.raises(UsageError, match=rf"{said}ufes_02'\. Did you mean pad_ufes_20\?"):
        LesionDataModule("pad_ufes_02")
    with pytest.raises(UsageError, match=r"`dataset` of x\.json to name a dataset among"):
        find_dataset("", "`dataset` of x.json")


def test_a_dataset_is_added_by_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = dataclasses.replace(PAD_UFES_20.spec, name="own", title="Own")
    monkeypatch.setitem(DATASETS, "own", Dataset(spec, PAD_UFES_20.read))
    write_demo(tmp_path / "data", num_cases=60, image_size=32)
    module = LesionDataModule(
        "own", str(tmp_path / "data"), image_size=32, cache_dir=str(tmp_path / "cache")
    )
    assert module.task.dataset == "own"
    assert len(module.dataset_of("train")) > 20
