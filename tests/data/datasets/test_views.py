"""Descriptions of datasets whose cases have several images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from vitatt.data.datasets import find_dataset
from vitatt.data.datasets.description import parse_description
from vitatt.data.datasets.table import LesionTable
from vitatt.types import DataError, UsageError

Write = Callable[..., Path]

COMMON: dict[str, Any] = {
    "name": "clinic",
    "table": "cases.csv",
    "id": "lesion",
    "group": "person",
    "label": "finding",
    "classes": {"MEL": "melanoma", "NEV": "nevus"},
    "positive": "MEL",
    "features": {"age": "numeric", "sex": "sex"},
}
ONE_ROW = {**COMMON, "views": {"close-up": "photo", "dermoscopic": "derm/{scope}.jpg"}}
ROWS = {
    **COMMON,
    "image": "file",
    "view": "kind",
    "views": {"close-up": ["clinical: close-up"], "dermoscopic": None},
    "features": {
        "age": "numeric",
        "sex": "sex",
        "hair": {"kind": "numeric", "per_view": True, "label": "hair seen"},
    },
}
TABLE = """lesion,person,finding,age,sex,photo,scope
L1,P1,MEL,40,f,a.jpg,1
L2,P1,NEV,,m,b.jpg,
L3,P2,NEV,50,,gone.jpg,3
L4,P3,MEL,60,f,gone.jpg,
"""
LONG = """file,lesion,kind,person,finding,age,sex,hair
a.jpg,L1,Clinical: Close-up,P1,MEL,40,f,0.5
1.jpg,L1,dermoscopic,P1,MEL,40,,0.25
b.jpg,L2,close-up,P1,NEV,41,m,0
3.jpg,L3,DERMOSCOPIC,P2,NEV,50,m,1
"""


@pytest.fixture
def root(tmp_path: Path, save_image: Write) -> Path:
    folder = tmp_path / "data"
    for name in ("a.jpg", "b.jpg", "derm/1.jpg", "derm/3.jpg"):
        save_image(folder / name)
    return folder


def read(root: Path, plain: dict[str, Any], table: str, **options: Any) -> LesionTable:
    (root / "cases.csv").write_text(table)
    path = root.parent / "clinic.yaml"
    path.write_text(yaml.safe_dump(plain))
    return find_dataset(str(path), "x").read(root, **{"labelled": True, **options})


def names(table: LesionTable) -> dict[str, list[str | None] | None]:
    """The names of each case's images."""
    return {
        case: images and [path and Path(path).name for path in images]
        for case, images in table.cases.select("case_id", "image").rows()
    }


def test_both_images_in_one_row(root: Path) -> None:
    table = read(root, ONE_ROW, TABLE)
    assert table.spec.views == ("close-up", "dermoscopic")
    assert names(table) == {
        "L1": ["a.jpg", "1.jpg"],
        "L2": ["b.jpg", None],
        "L3": [None, "3.jpg"],
        "L4": None,
    }
    assert table.absent == ["L4"]
    (note,) = table.notes
    assert "2 images that cases.csv names have no file below" in note
    assert note.endswith("their views are absent, the first being gone.jpg.")


def test_a_row_for_each_image(root: Path) -> None:
    table = read(root, ROWS, LONG)
    assert names(table) == {
        "L1": ["a.jpg", "1.jpg"],
        "L2": ["b.jpg", None],
        "L3": [None, "3.jpg"],
    }
    assert table.notes == ()
    columns = ["case_id", "group", "diagnosis", "age", "sex"]
    assert table.cases.select(columns).rows() == [
        ("L1", "P1", "MEL", 40.0, "female"),
        ("L2", "P1", "NEV", 41.0, "male"),
        ("L3", "P2", "NEV", 50.0, "male"),
    ]
    labels = {feature.name: feature.label for feature in table.spec.features}
    assert labels["hair.close-up"] == "hair seen (close-up)"
    assert table.cases.select("hair.close-up", "hair.dermoscopic").rows() == [
        (0.5, 0.25),
        (0.0, None),
        (None, 1.0),
    ]
    assert "kind" in table.spec.barred


def test_rows_to_predict_need_no_label(root: Path) -> None:
    bare = "\n".join(",".join(line.split(",")[:4]) for line in LONG.splitlines())
    table = read(
        root,
        {**ROWS, "features": {"age": {"kind": "numeric", "optional": True}}},
        bare,
        labelled=False,
    )
    assert table.cases["diagnosis"].to_list() == [None] * 3
    assert names(table)["L1"] == ["a.jpg", "1.jpg"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "b.jpg,L2,close-up",
            "b.jpg,L2,close-upp",
            r"Expected the column 'kind' of .*cases.csv, line 4, to name a view, but case L2 has "
            r"'close-upp' \(1 such rows\). Views are: close-up, dermoscopic. Did you mean close-up",
        ),
        ("b.jpg,L2,close-up", "b.jpg,L2,", "to name a view, but case L2 has none .1 such rows"),
        (
            "1.jpg,L1,dermoscopic",
            "1.jpg,L1,close-up",
            r"Expected one row of .*cases.csv for each view of a case, but L1 has two of "
            r"'close-up', the second in line 3 \(1 such rows\)",
        ),
        (
            "1.jpg,L1,dermoscopic,P1,MEL",
            "1.jpg,L1,dermoscopic,P1,NEV",
            r"Expected the rows of a case to be of one patient and one label, but those of L1 have "
            r"'MEL' and 'NEV', line 2",
        ),
        (
            "1.jpg,L1,dermoscopic,P1",
            "1.jpg,L1,dermoscopic,P2",
            r"of one patient and one label, but those of L1 have 'P1' and 'P2', line 2",
        ),
        ("1.jpg,L1,", "1.jpg,,", "1 rows of .*cases.csv have no id"),
        (",P1,MEL,40,,", ",P1,XYZ,40,,", "unknown class XYZ .1 rows, the first in line 3"),
    ],
)
def test_wrong_rows(root: Path, old: str, new: str, message: str) -> None:
    assert old in LONG
    with pytest.raises(DataError, match=message):
        read(root, ROWS, LONG.replace(old, new))


def test_labels_by_a_key_that_is_of_the_image(root: Path) -> None:
    (root / "truth.csv").write_text("file,finding\na.jpg,MEL\n1.jpg,MEL\n")
    with pytest.raises(
        DataError,
        match=r"alike in the column `label_key`, by which .*, but those of L1 have 'a.jpg' and",
    ):
        read(root, {**ROWS, "label_table": "truth.csv", "label_key": "file"}, LONG)


def test_one_file_as_two_views_is_said(root: Path) -> None:
    plain = {**COMMON, "views": {"close-up": "photo", "dermoscopic": "scope"}}
    table = read(root, plain, TABLE.replace("a.jpg,1", "a.jpg,a.jpg"))
    assert names(table)["L1"] == ["a.jpg", "a.jpg"]
    assert (
        "1 cases of cases.csv have one file as several of their views, the first being L1. "
        "Correct their names if these are images of their own." in table.notes
    )


def test_answers_that_differ_between_the_rows_of_a_case(root: Path) -> None:
    table = read(root, ROWS, LONG.replace("P1,MEL,40,,", "P1,MEL,41,,"))
    assert table.cases["age"].to_list() == [None, 41.0, 50.0]
    assert table.notes == (
        "1 cases of cases.csv have rows that differ in 'age', which is taken to be missing: those "
        "of L1 have '40.0' and '41.0'.",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"views": {"one": "photo"}},
            r"Expected `views` of x to name at least two, but got \['one'\]",
        ),
        (
            {"view": "kind", "views": None},
            "Expected `view` of x only beside `views`, but got 'kind'",
        ),
        (
            {"image": "photo"},
            "Expected `image` of x to be left out, since `views` names the images, but got 'photo'",
        ),
        ({"views": {"a": "{photo", "b": "scope"}}, "Expected `views.a` of x to be a column, or"),
        (
            {"features": {"age": {"kind": "numeric", "per_view": True}}},
            "Expected `features.age.per_view` of x only where `view` names a column",
        ),
        (
            {"features": {"age": {"kind": "numeric", "per_view": "yes"}}},
            "Expected `features.age.per_view` of x to be true, or to be left out, but got 'yes'",
        ),
        (
            {"view": "kind", "views": {"a": ["x"], "b": ["X"]}},
            "Expected `views.b` of x to be another spelling than those of 'a', but got 'X'",
        ),
        (
            {"views": {"": "photo", "b": "scope"}},
            "Expected `views` of x to have plain names without spaces at their ends, but got ''",
        ),
        ({"views": {"a": "photo", "b\n": "scope"}}, r"to have plain names .*, but got 'b\\n'"),
        (
            {"views": {"Close-up": "photo", "close-up": "scope"}},
            "Expected `views.close-up` of x to be another spelling than those of 'Close-up'",
        ),
        (
            {"views": {"a": "photo", "b": "{photo}"}},
            "Expected `views.b` of x to be another image than `views.a`, but got '{photo}'",
        ),
        (
            {
                **{"view": "kind", "views": {"a": None, "b": None}},
                "features": {"hair": {"kind": "numeric", "per_view": True}, "hair.a": "numeric"},
            },
            "Expected `features.hair.a` of x to be one feature, not also one `per_view`",
        ),
    ],
)
def test_wrong_descriptions(changes: dict[str, Any], message: str) -> None:
    plain = {key: value for key, value in {**ONE_ROW, **changes}.items() if value is not None}
    with pytest.raises(UsageError, match=message):
        parse_description(yaml.safe_dump(plain), "x")


def test_photographs_alone_cannot_be_told_apart(root: Path) -> None:
    path = root.parent / "clinic.yaml"
    path.write_text(yaml.safe_dump(ONE_ROW))
    dataset = find_dataset(str(path), "x")
    with pytest.raises(DataError, match=r"which of the 4 images below .* belong to one case"):
        dataset.read(root, labelled=False)
