"""Cases by id: an unknown one is said to be where it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vitatt.data.datamodule import LesionDataModule
from vitatt.studies.case_ids import cases_by_id
from vitatt.types import UsageError


@pytest.fixture
def data(demo_copy: Path, tmp_path: Path) -> LesionDataModule:
    """A folder in which one image is absent and one cannot be read."""
    images = sorted((demo_copy / "images").iterdir())
    images[0].unlink()
    images[1].write_bytes(b"no image")
    return LesionDataModule(
        "pad_ufes_20",
        str(demo_copy),
        str(demo_copy),
        image_size=32,
        cache_dir=str(tmp_path / "cache"),
    )


@pytest.mark.filterwarnings("ignore:.*cannot be read and are left out.*")
def test_where_an_id_is(data: LesionDataModule, demo_root: Path, demo_copy: Path) -> None:
    absent, unreadable = (path.name for path in sorted((demo_root / "images").iterdir())[:2])
    cases = data.cases("test")
    known = cases["case_id"].to_list()
    (other,) = data.cases("train")["case_id"][:1]
    for asked, message in (
        (
            other,
            rf"^1 of the chosen cases, {other} among them, is not in the test split of fold 0 ",
        ),
        (other, rf"has {cases.height} cases, such as {known[0]}\. {other} is in the train split"),
        (absent, rf"{absent} is in the table, but there is no image file of it\."),
        (unreadable, rf"{unreadable} is in the table, but its image file cannot be read\."),
        (known[0][:-1], rf"is nowhere in {demo_copy}\. Did you mean .*{re.escape(known[0])}"),
        ("?", rf"\? is nowhere in {demo_copy}\.$"),
        ("b, a", r"^2 of the chosen cases, a among them, are not in"),
        (["a", "b", "c", "d"], r"^4 of .* c is nowhere in .* \(Those are the first 3\.\)$"),
    ):
        with pytest.raises(UsageError) as refused:
            cases_by_id(cases, asked, data, "test")
        assert re.search(message, str(refused.value)), refused.value
    with pytest.raises(UsageError, match=rf"not in the predict split, .*{absent} is in the table"):
        cases_by_id(data.cases("predict"), absent, data, "predict")


@pytest.mark.filterwarnings("ignore:.*cannot be read and are left out.*")
def test_ids_as_given(data: LesionDataModule) -> None:
    cases = data.cases("test")
    names = cases["case_id"].to_list()
    for asked in (names[:2], f"{names[0]},{names[1]}", f"[{names[1]}, {names[0]}]"):
        assert cases_by_id(cases, asked, data, "test")["case_id"].to_list() == names[:2]
    comma = cases.with_columns(case_id=cases["case_id"].str.replace(names[0], "a,b.png"))
    assert cases_by_id(comma, "a,b.png", data, "test").height == 1
