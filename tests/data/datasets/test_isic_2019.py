from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from vitatt.data.datasets import DATASETS
from vitatt.types import DataError

ISIC_2019 = DATASETS["isic_2019"]

Write = Callable[..., Path]
CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")


def one_hot(image: str, **values: str) -> dict[str, str]:
    return {"image": image, **dict.fromkeys((*CLASSES, "UNK"), "0.0"), **values}


@pytest.mark.parametrize(("newline", "bom"), [("\n", False), ("\r\n", True)], ids=["LF", "CRLF"])
def test_published_form(newline: str, bom: bool, write_isic: Write) -> None:
    rows = [{"diagnosis": name, "lesion_id": f"L{n}"} for n, name in enumerate(CLASSES)]
    table = ISIC_2019.read(write_isic(*rows, newline=newline, bom=bom), labelled=True)
    names = [feature.name for feature in ISIC_2019.spec.features]
    assert table.cases.columns == ["case_id", "group", "diagnosis", "image", *names]
    assert table.cases["diagnosis"].to_list() == list(CLASSES)
    assert table.cases["group"].to_list() == [f"L{n}" for n in range(8)]
    assert table.cases.row(0)[4:] == (55.0, "female", "anterior torso")
    assert table.notes == ()


def test_other_order_and_extra_columns_do_not_matter(write_isic: Write) -> None:
    plain = ISIC_2019.read(write_isic({}, {"diagnosis": "SCC"}), labelled=True).cases
    odd = {"site": "x", "file": "1", "recorded": "no", "attribution": 'a, "b"'}
    root = write_isic({**odd, "diagnosis": "NV"}, {"diagnosis": "SCC"})
    path = root / "ISIC_2019_Training_Metadata.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *rows[::-1]]))
    assert ISIC_2019.read(root, labelled=True).cases.equals(plain)


@pytest.mark.parametrize(
    ("folder", "name", "suffix"),
    [
        ("ISIC_2019_Training_Input", "ISIC_0000005", ".jpg"),
        ("a/a", "ISIC_0000005_downsampled", ".JPG"),
        ("", "ISIC_0000005", ".jpeg"),
        ("x/ISIC_2019/y", "ISIC_0000005_downsampled", ".jpg"),
    ],
)
def test_images_are_found(
    folder: str, name: str, suffix: str, write_isic: Write, save_image: Write
) -> None:
    root = write_isic({"image": name})
    path = save_image(root / folder / f"{name}{suffix}")
    (root / folder / f"{name}_segmentation.png").write_bytes(b"mask")
    table = ISIC_2019.read(root, labelled=True)
    assert table.cases["image"].to_list() == [str(path)]


@pytest.mark.parametrize("other", ["ISIC_1.jpeg", "ISIC_1.JPG"])
def test_two_endings_of_one_name(other: str, write_isic: Write, save_image: Write) -> None:
    root = write_isic({"image": "ISIC_1"})
    one, two = save_image(root / "ISIC_1.jpg"), save_image(root / "a" / other)
    table = ISIC_2019.read(root, labelled=True)
    assert table.cases["image"].to_list() == [str(one)]
    assert table.doubles == ((str(one), str(two)),)
    save_image(two, seed=1, size=20)
    with pytest.raises(DataError, match=rf"files are named ISIC_1\.jpg and {other}: .*Keep one"):
        ISIC_2019.read(root, labelled=True)


def test_doubled_folder_counts_once(write_isic: Write, save_image: Write) -> None:
    root = write_isic({"image": "ISIC_1"})
    for folder in ("ISIC_2019_Training_Input", "ISIC_2019_Training_Input/ISIC_2019_Training_Input"):
        save_image(root / folder / "ISIC_1.jpg")
    assert ISIC_2019.read(root, labelled=True).absent == []
    save_image(root / "ISIC_1.jpg", seed=1, size=20)
    with pytest.raises(DataError, match=r"Two different files are named ISIC_1\.jpg"):
        ISIC_2019.read(root, labelled=True)


def test_downsampled_is_part_of_the_name(write_isic: Write, save_image: Write) -> None:
    root = write_isic({"image": "ISIC_1"}, {"image": "ISIC_1_downsampled"})
    path = save_image(root / "ISIC_1_downsampled.jpg")
    table = ISIC_2019.read(root, labelled=True)
    assert table.cases["image"].to_list() == [None, str(path)]
    assert table.absent == ["ISIC_1"]


def test_an_image_without_lesion_is_its_own_group(write_isic: Write) -> None:
    rows = [{"lesion_id": value} for value in ("", "L", "-", "L", *"abcdefgh")]
    table = ISIC_2019.read(write_isic(*rows), labelled=True)
    assert table.cases["group"].to_list()[:4] == ["ISIC_0000000", "L", "ISIC_0000002", "L"]
    (note,) = table.notes
    assert note == (
        "2 of 12 images have no lesion_id: each is a group of its own, so two images of one lesion "
        "among them may stand in training and test."
    )
    assert (table.ungrouped, table.group_problem) == (2, "")


@pytest.mark.parametrize(
    ("rows", "lacking", "message"),
    [
        ([{}, {}], ["lesion_id"], r"Metadata\.csv has no column lesion_id, so that 2 images have"),
        (
            [{}, {"lesion_id": ""}, {}, {}],
            [],
            r"1 rows of .*Metadata\.csv have no lesion_id \(4 images .*first is ISIC_0000001",
        ),
    ],
    ids=["column", "share"],
)
def test_too_few_known_lesions(
    rows: list[dict[str, str]], lacking: list[str], message: str, write_isic: Write
) -> None:
    root = write_isic(*rows, lacking=lacking)
    with pytest.raises(DataError, match=rf"{message}.*may stand in .*`data\.allow_ungrouped`"):
        ISIC_2019.read(root, labelled=True)
    table = ISIC_2019.read(root, labelled=True, allow_ungrouped=True)
    ungrouped = table.cases.filter(pl.col("group") == pl.col("case_id")).height
    assert table.ungrouped == ungrouped == (2 if lacking else 1)
    assert re.search(message, table.group_problem)
    assert table.notes[0].startswith(f"{ungrouped} of {len(rows)} images have no lesion_id: each")
    for name in ("lesion", "training and test"):
        assert name in table.notes[0]
    unlabelled = ISIC_2019.read(root, labelled=False)
    assert (unlabelled.notes, unlabelled.ungrouped) == ((), 0)


def test_a_labelled_image_without_metadata_needs_a_word(write_isic: Write) -> None:
    truth = [one_hot(f"ISIC_{n:07d}", NV="1.0") for n in range(3)]
    root = write_isic({}, {"lesion_id": "M"}, truth=truth)
    message = r"1 of 3 labelled images have no row in .*Metadata\.csv, the first being ISIC_0000002"
    with pytest.raises(DataError, match=message):
        ISIC_2019.read(root, labelled=True)
    table = ISIC_2019.read(root, labelled=True, allow_ungrouped=True)
    assert table.cases["group"].to_list() == ["HAM_0000001", "M", "ISIC_0000002"]
    assert re.search(message, table.group_problem)


def test_groups_count_where_there_are_images(write_isic: Write, save_image: Write) -> None:
    root = write_isic({}, {"lesion_id": ""}, *[{"lesion_id": f"L{n}"} for n in range(8)])
    save_image(root / "ISIC_0000000.jpg")
    assert ISIC_2019.read(root, labelled=True).notes == ()
    save_image(root / "ISIC_0000001.jpg", seed=1)
    with pytest.raises(DataError, match=r"1 rows of .* have no lesion_id \(2 images in all"):
        ISIC_2019.read(root, labelled=True)


@pytest.mark.parametrize(
    ("column", "spellings"),
    [
        ("age_approx", {55.0: ["55"], None: ["", "nan"]}),
        (
            "sex",
            {
                "male": ["Male", "M", "m", "MAN", "masculino"],
                "female": ["F", "FEMALE", " female ", "woman"],
                None: ["", "?", "-", "unknown", "not recorded", "N.A.", "not_known"],
            },
        ),
        (
            "anatom_site_general",
            {
                "head/neck": [
                    *("head/neck", "Head/Neck", "head and neck", "head / neck", "HEAD & NECK"),
                    "head_neck",
                ],
                "anterior torso": ["anterior_torso"],
                "left foot": ["Left Foot"],
            },
        ),
    ],
)
def test_values(column: str, spellings: dict[object, list[str]], write_isic: Write) -> None:
    pairs = [(text, value) for value, texts in spellings.items() for text in texts]
    root = write_isic(*({column: text} for text, _ in pairs))
    found = ISIC_2019.read(root, labelled=True).cases[column]
    assert [(text, value) for (text, _), value in zip(pairs, found, strict=True)] == pairs


def test_tables_that_differ_are_joined_with_notes(write_isic: Write) -> None:
    truth = [
        one_hot("ISIC_0000001", MEL="1.0"),
        one_hot("ISIC_9", NV="1"),
        one_hot("ISIC_8", AK="1"),
    ]
    root = write_isic({}, {}, {}, {}, truth=truth)
    table = ISIC_2019.read(root, labelled=True, allow_ungrouped=True)
    assert table.cases["case_id"].to_list() == ["ISIC_0000001", "ISIC_9", "ISIC_8"]
    assert table.cases["group"].to_list() == ["HAM_0000001", "ISIC_9", "ISIC_8"]
    assert table.cases["age_approx"].to_list() == [55.0, None, None]
    assert table.cases["sex"].to_list() == ["female", None, None]
    bare, unlabelled, ungrouped = table.notes
    assert ungrouped.startswith("2 of 3 images have no lesion_id")
    assert bare.startswith("2 labelled cases are not in ISIC_2019_Training_Metadata.csv")
    assert unlabelled.startswith("3 rows of ISIC_2019_Training_Metadata.csv have no label")


def test_official_test_layout(write_isic: Write, save_image: Write) -> None:
    root = write_isic({}, {}, prefix="ISIC_2019_Test", lacking=["lesion_id"])
    path = save_image(root / "ISIC_2019_Test_Input" / "ISIC_0000001.jpg")
    table = ISIC_2019.read(root, labelled=False)
    assert table.cases["group"].to_list() == ["ISIC_0000000", "ISIC_0000001"]
    assert table.cases["diagnosis"].to_list() == [None, None]
    assert table.cases["image"].to_list() == [None, str(path)]
    with pytest.raises(DataError, match=r"Expected the file .*Training_Metadata\.csv"):
        ISIC_2019.read(root, labelled=True)


def test_prediction_needs_no_ground_truth(write_isic: Write) -> None:
    root = write_isic({}, {"diagnosis": "MEL"})
    assert ISIC_2019.read(root, labelled=False).cases["diagnosis"].to_list() == ["NV", "MEL"]
    (root / "ISIC_2019_Training_GroundTruth.csv").unlink()
    assert ISIC_2019.read(root, labelled=False).cases["diagnosis"].to_list() == [None, None]


def test_prediction_keeps_cases_without_ground_truth(write_isic: Write) -> None:
    truth = [one_hot("ISIC_0000001", MEL="1.0")]
    table = ISIC_2019.read(write_isic({}, {}, {}, truth=truth), labelled=False)
    found = dict(table.cases.select("case_id", "diagnosis").iter_rows())
    assert found == {"ISIC_0000000": None, "ISIC_0000001": "MEL", "ISIC_0000002": None}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (one_hot("ISIC_7"), "exactly one class per row of .*GroundTruth.* 1 rows .*line 3.*ISIC_7"),
        (one_hot("ISIC_7", MEL="1.0", NV="1.0"), "exactly one class"),
        (one_hot("ISIC_7", MEL="0.5", NV="0.5"), "exactly one class"),
        (one_hot("ISIC_7", MEL="2", NV="-1"), "exactly one class"),
        (one_hot("ISIC_7", MEL="1.0", UNK=""), "exactly one class"),
        (one_hot("ISIC_7", MEL="yes"), "'MEL' of .*GroundTruth.*, line 3,.* case ISIC_7 has 'yes'"),
        (one_hot("ISIC_7", UNK="1.0"), r"GroundTruth.* unknown class UNK \(1 rows.*ISIC_7"),
        (one_hot("", NV="1.0"), "1 rows of .*GroundTruth.* no id"),
        (one_hot("ISIC_0000000", NV="1.0"), "GroundTruth.* more than once.*ISIC_0000000"),
    ],
    ids=["none", "two", "shared", "sum", "empty", "text", "UNK", "no name", "twice"],
)
def test_bad_ground_truth(row: dict[str, str], message: str, write_isic: Write) -> None:
    root = write_isic({}, {}, truth=[one_hot("ISIC_0000000", NV="1.0"), row])
    with pytest.raises(DataError, match=message):
        ISIC_2019.read(root, labelled=True)


@pytest.mark.parametrize(
    ("rows", "lacking", "message"),
    [
        ([{}], ["sex"], r"Training_Metadata\.csv lacks the column sex; it has image, age_approx"),
        ([{}], ["VASC"], r"GroundTruth\.csv lacks the column VASC"),
        ([], [], r"Metadata\.csv has a header but no rows"),
        (
            [{}, {"image": "A"}, {"image": "A"}],
            [],
            r"Metadata\.csv has 1 ids of cases more than once, .* A, in line 3 and line 4",
        ),
        ([{}, {"age_approx": "old"}], [], ", line 3, .* case ISIC_0000001 has 'old'"),
        ([{"age_approx": "inf"}], [], "'age_approx' .* case ISIC_0000000 has 'inf'"),
    ],
)
def test_bad_metadata(
    rows: list[dict[str, str]], lacking: list[str], message: str, write_isic: Write
) -> None:
    root = write_isic(*rows, lacking=lacking)
    with pytest.raises(DataError, match=message):
        ISIC_2019.read(root, labelled=True)


@pytest.mark.parametrize("name", ["GroundTruth", "Metadata"])
def test_a_table_that_is_none(name: str, write_isic: Write) -> None:
    path = write_isic({}) / f"ISIC_2019_Training_{name}.csv"
    path.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(DataError, match=rf"{path} (cannot be read as a CSV|lacks the columns)"):
        ISIC_2019.read(path.parent, labelled=True)
    path.unlink()
    with pytest.raises(DataError, match=rf"Expected the file {path}.*challenge\.isic-archive"):
        ISIC_2019.read(path.parent, labelled=True)


def test_folder_is_absent_or_a_file(tmp_path: Path) -> None:
    help_text = r"published at https://challenge\.isic-archive\.com.*GroundTruth\.csv"
    with pytest.raises(DataError, match=rf"nowhere does not exist\. .*{help_text}"):
        ISIC_2019.read(tmp_path / "nowhere", labelled=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=rf"file is a file\. .*{help_text}"):
        ISIC_2019.read(tmp_path / "file", labelled=False)


def test_the_published_truth_of_the_test_images_has_weights(write_isic: Write) -> None:
    root = write_isic({}, {"image": "ISIC_2"})
    plain = ISIC_2019.read(root, labelled=True).cases
    path = root / "ISIC_2019_Training_GroundTruth.csv"
    truth = pl.read_csv(path, infer_schema=False)
    truth.with_columns(score_weight=pl.lit("1.0"), validation_weight=pl.lit("0.0")).write_csv(path)
    assert ISIC_2019.read(root, labelled=True).cases.equals(plain)


def test_photographs_without_a_table(save_image: Write, tmp_path: Path) -> None:
    save_image(tmp_path / "photos" / "x.png")
    table = ISIC_2019.read(tmp_path, labelled=False)
    assert table.cases["case_id"].to_list() == ["photos/x.png"]
    assert table.cases["age_approx"].dtype == pl.Float64
    assert table.notes[0].endswith("from the image alone, every answer being missing.")


def test_prediction_asks_only_for_what_is_needed(write_isic: Write) -> None:
    root = write_isic({}, {"image": "ISIC_2"})
    path = root / "ISIC_2019_Training_Metadata.csv"
    pl.read_csv(path, infer_schema=False).drop("sex", "lesion_id").write_csv(path)
    cases = ISIC_2019.read(root, labelled=False, needed=["age_approx"]).cases
    assert cases["sex"].to_list() == [None, None]
    with pytest.raises(DataError, match="lacks the column sex"):
        ISIC_2019.read(root, labelled=False)
