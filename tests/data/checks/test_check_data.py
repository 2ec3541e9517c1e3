from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from vitatt.data.checks.check_data import Report, check
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import DATASETS
from vitatt.types import DataError

PAD_UFES_20 = DATASETS["pad_ufes_20"]

pytestmark = pytest.mark.long

Make = Callable[..., LesionDataModule]


@pytest.fixture(scope="module")
def sound(pad_demo: Path, demo_cache: Path) -> Report:
    """The report on the synthetic data as they are."""
    return check(
        LesionDataModule(
            "pad_ufes_20",
            root=str(pad_demo),
            image_size=32,
            num_folds=2,
            num_workers=0,
            cache_dir=str(demo_cache),
        )
    )


def test_a_sound_dataset_has_no_problems(sound: Report) -> None:
    text, problems = sound
    assert problems == []
    for part in ("240 rows", "Images absent: 0", "Images unreadable: 0", "Problems: 0", "biopsed"):
        assert part in text
    assert all(title in text for title in PAD_UFES_20.spec.class_titles.values())
    assert all(feature.name in text for feature in PAD_UFES_20.spec.features)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_names_what_would_spoil_a_training(pad_copy: Path, make_module: Make) -> None:
    table = PAD_UFES_20.read(pad_copy, labelled=True).cases
    first = {
        name: table.filter(pl.col("diagnosis") == name).row(0, named=True)
        for name in ("ACK", "BCC")
    }
    shutil.copy(first["ACK"]["image"], first["BCC"]["image"])
    others = [p for p in table["image"] if p not in {row["image"] for row in first.values()}]
    Path(others[0]).write_text("no image")
    Path(others[1]).unlink()
    text, problems = check(make_module(root=str(pad_copy), num_folds=2))
    assert len(problems) == 2
    assert problems[0] == "Image files that cannot be read: 1."
    assert problems[1].startswith("Images that stand under two names with different diagnoses: 1.")
    assert f"{Path(others[0])} is no image" in text
    assert f"Images absent: 1\n  {Path(others[1]).name}" in text
    pair = sorted((table["image"].to_list().index(row["image"]), row) for row in first.values())
    names = " = ".join(f"{row['case_id']} ({row['diagnosis']})" for _, row in pair)
    assert f"{names}: the labels disagree" in text


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_empty_files_are_no_image_under_two_names(pad_copy: Path, make_module: Make) -> None:
    table = PAD_UFES_20.read(pad_copy, labelled=True).cases
    for path in table.unique(["diagnosis"])["image"]:
        Path(path).write_bytes(b"")
    text, problems = check(make_module(root=str(pad_copy), num_folds=2))
    assert problems == ["Image files that cannot be read: 6."]
    assert "Images identical under several names: 0" in text
    assert "images under two names: none under two patients" in text


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_image_in_many_places(pad_copy: Path, make_module: Make) -> None:
    first, *others = PAD_UFES_20.read(pad_copy, labelled=True).cases["image"]
    for path in others[:29]:
        shutil.copy(first, path)
    text, _ = check(make_module(root=str(pad_copy), num_folds=2))
    (line,) = section(text, "Images identical under several names")
    assert line.count(" = ") == 20
    assert line.endswith(" = ... (30 in all): the labels disagree")
    (line,) = [line for line in text.splitlines() if line.startswith("  images under two names")]
    assert line.endswith(" = ... (30 in all): one image; their patients are kept together")


def test_names_folds_that_cannot_be(pad_copy: Path, make_module: Make) -> None:
    path = pad_copy / "metadata.csv"
    frame = pl.read_csv(path, infer_schema=False)
    frame.filter(pl.col("diagnostic") != "MEL").write_csv(path)
    _, problems = check(make_module(root=str(pad_copy), num_folds=2))
    assert len(problems) == 2
    assert all("MEL (0 in all)" in problem for problem in problems)


def change(root: Path, column: str, values: dict[int, str]) -> None:
    path = root / "metadata.csv"
    frame = pl.read_csv(path, infer_schema=False)
    new = [values.get(row, value) for row, value in enumerate(frame[column])]
    frame.with_columns(pl.Series(column, new)).write_csv(path)


def section(text: str, title: str) -> list[str]:
    (found,) = [part for part in text.split("\n\n") if part.startswith(title)]
    return [line.strip() for line in found.splitlines()[1:]]


def test_lists_categories_and_ranges(sound: Report, pad_demo: Path) -> None:
    cases = PAD_UFES_20.read(pad_demo, labelled=True).cases
    text = sound.text
    categories = dict(line.split(": ") for line in section(text, "Categories per feature"))
    for feature in PAD_UFES_20.spec.features:
        column = cases[feature.name].drop_nulls()
        if feature.kind == "categorical":
            listed = dict(one.rsplit(" ", 1) for one in categories[feature.name].split(", "))
            expected = dict(column.value_counts().iter_rows())
            assert {name: int(count) for name, count in listed.items()} == expected
        else:
            line = (
                f"{feature.name}: least {column.min():g}, median {column.median():g}, most "
                f"{column.max():g} {feature.unit}"
            )
            assert line in section(text, "Numbers per feature")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_asks_about_the_odd_and_the_rare(pad_copy: Path, make_module: Make) -> None:
    change(pad_copy, "region", {0: "FACEE", 1: "MOON", 2: "face", 3: "Face"})
    change(pad_copy, "age", {0: "550"})
    change(pad_copy, "itch", {0: "1", 1: "0", 2: "yes", 3: "?"})
    text, problems = check(make_module(root=str(pad_copy), num_folds=2))
    assert problems == []
    asked = "\n".join(section(text, "Worth a look"))
    assert "'region' has 2 categories that PAD-UFES-20 does not have: FACEE (1), MOON (1)" in asked
    assert "'region' is MOON in 1 row only: is it meant?" in asked
    assert re.search(r"'region' is FACE in \d+ rows and FACEE in 1 row: are they one cat", asked)
    assert "'age' is not at least 0 and at most 120 years in 1 row: 550" in asked
    assert "'itch'" not in asked
    itch = next(line for line in section(text, "Categories") if line.startswith("itch: "))
    assert itch.count(",") == 1
    assert text.count("550 (first") == 1, "once, not in the notes as well"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tells_of_unknown_groups(isic_demo: Path, tmp_path: Path, make_module: Make) -> None:
    own = Path(shutil.copytree(isic_demo, tmp_path / "own"))
    path = own / "ISIC_2019_Training_Metadata.csv"
    frame = pl.read_csv(path, infer_schema=False)
    count = frame["lesion_id"].null_count()
    settings = {"dataset": "isic_2019", "root": str(own), "num_folds": 2}
    text, problems = check(make_module(**settings))
    assert problems == []
    assert f"Images without lesion_id: {count}" in text
    assert f"{count} of {frame.height} images have no lesion_id" in "\n".join(
        section(text, "Notes")
    )
    frame.drop("lesion_id").write_csv(path)
    with pytest.raises(DataError, match="no column lesion_id"):
        check(make_module(**settings))
    text, problems = check(make_module(**settings, allow_ungrouped=True))
    assert f"Images without lesion_id: {frame.height}" in text
    (problem,) = problems
    assert (
        problem == f"{path} has no column lesion_id, so that {frame.height} images have no lesion."
    )
