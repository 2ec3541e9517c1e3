from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from vitatt.data import pad_ufes_20
from vitatt.data.check import check
from vitatt.data.datamodule import LesionDataModule

Make = Callable[..., LesionDataModule]


@pytest.fixture
def own_pad(pad_demo: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pad_demo, tmp_path / "own"))


def test_a_sound_dataset_has_no_problems(make_module: Make) -> None:
    text, problems = check(make_module(num_folds=2))
    assert problems == []
    for part in ("240 rows", "Images absent: 0", "Images unreadable: 0", "Problems: 0", "biopsed"):
        assert part in text
    assert all(title in text for title in pad_ufes_20.SPEC.class_titles.values())
    assert all(feature.name in text for feature in pad_ufes_20.SPEC.features)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_names_what_would_spoil_a_training(own_pad: Path, make_module: Make) -> None:
    table = pad_ufes_20.read(own_pad, labelled=True).cases
    first = {
        name: table.filter(pl.col("diagnosis") == name).row(0, named=True)
        for name in ("ACK", "BCC")
    }
    shutil.copy(first["ACK"]["image"], first["BCC"]["image"])
    others = [p for p in table["image"] if p not in {row["image"] for row in first.values()}]
    Path(others[0]).write_text("no image")
    Path(others[1]).unlink()
    text, problems = check(make_module(root=str(own_pad), num_folds=2))
    assert len(problems) == 2
    assert problems[0] == "1 image files cannot be read."
    assert problems[1].startswith("1 images stand under two names with different diagnoses")
    assert f"{Path(others[0])} is no image" in text
    assert f"Images absent: 1\n  {Path(others[1]).name}" in text
    pair = sorted((table["image"].to_list().index(row["image"]), row) for row in first.values())
    names = " = ".join(f"{row['case_id']} ({row['diagnosis']})" for _, row in pair)
    assert f"{names}: the labels disagree" in text


def test_names_folds_that_cannot_be(own_pad: Path, make_module: Make) -> None:
    path = own_pad / "metadata.csv"
    frame = pl.read_csv(path, infer_schema=False)
    frame.filter(pl.col("diagnostic") != "MEL").write_csv(path)
    _, problems = check(make_module(root=str(own_pad), num_folds=2))
    assert len(problems) == 2
    assert all("MEL (0 in all)" in problem for problem in problems)
