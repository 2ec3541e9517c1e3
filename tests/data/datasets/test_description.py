"""A described dataset is read as a built-in one, and wrong descriptions are explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from tests.data.test_real_data import real
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import DATASETS, find_dataset, recorded_dataset
from vitatt.data.datasets.description import parse_description
from vitatt.ranges import Range
from vitatt.types import DataError, LesionTask, UsageError

PAD_UFES_20 = DATASETS["pad_ufes_20"]
ISIC_2019 = DATASETS["isic_2019"]

Write = Callable[..., Path]

CLINIC: dict[str, Any] = {
    "name": "clinic",
    "title": "My clinic",
    "table": "cases.csv",
    "image": "{file}",
    "id": "case",
    "group": "person",
    "label": "finding",
    "classes": {
        "MEL": {"title": "melanoma", "names": ["Melanoma", "malignant melanoma"]},
        "NEV": "nevus",
        "BCC": None,
    },
    "positive": "MEL",
    "features": {
        "age": {"kind": "numeric", "unit": "years", "range": [0, 120]},
        "itch": "yes_no",
        "sex": "sex",
        "body_site": {
            "label": "site",
            "categories": ["upper_limb", "trunk"],
            "spellings": {"upper_limb": ["arm", "hand"]},
        },
        "type": None,
    },
    "barred": {"biopsy": "only done if it is suspicious"},
    "subgroups": ["sex", "age"],
}
TABLE = """case;file;person;finding;age;itch;sex;body_site;type;biopsy
c1;a.jpg;P1;melanoma;44,5;perhaps;F;Arm;2.0;1
c2;sub/b.jpg;P1;NEV;61;nein;male;TRUNK;1;0
c3;c;P2;Malignant  Melanoma;;YES;;upper limb;;1
c4;gone.jpg;P3;bcc;30;;m;;;0
"""


def description(**changes: Any) -> str:
    plain = {key: value for key, value in {**CLINIC, **changes}.items() if value != "absent"}
    return yaml.safe_dump(plain, sort_keys=False)


@pytest.fixture
def clinic(tmp_path: Path, save_image: Write) -> Path:
    (tmp_path / "clinic.yaml").write_text(description())
    root = tmp_path / "data"
    for name in ("photos/a.jpg", "sub/b.jpg", "other/b.jpg", "C.PNG"):
        save_image(root / name)
    (root / "cases.csv").write_text(TABLE)
    return root


def read(root: Path, text: str, **options: Any) -> pl.DataFrame:
    path = root.parent / "read.yaml"
    path.write_text(text)
    cases: pl.DataFrame = find_dataset(str(path), "x").read(root, labelled=True, **options).cases
    return cases


def test_what_a_description_says() -> None:
    spec = parse_description(description(), "x").spec
    assert (spec.name, spec.title, spec.group, spec.group_column) == (
        *("clinic", "My clinic", "patient", "person"),
    )
    assert spec.class_titles == {"MEL": "melanoma", "NEV": "nevus", "BCC": "BCC"}
    assert spec.classes == ("MEL", "NEV", "BCC")
    age, itch, sex, site, kind = spec.features
    assert (age.kind, age.unit, age.plausible) == ("numeric", "years", Range(least=0, most=120))
    assert itch.categories == ("False", "True")
    assert sex.categories == ("female", "male")
    assert (site.label, kind.label) == ("site", "type")
    assert {"case", "person", "finding", "biopsy"} == set(spec.barred)
    assert spec.barred["biopsy"] == "only done if it is suspicious"
    assert spec.positive == "MEL"


def test_subgroups_with_bands() -> None:
    spec = parse_description(description(subgroups={"sex": None, "age": [30, 50.5, 70]}), "x").spec
    assert spec.subgroups == ("sex", "age")
    assert spec.bands == {"age": (30, 50.5, 70)}


def test_the_first_name_of_the_positive_class_is_read() -> None:
    plain = description(positive="absent", melanoma="NEV")
    found = parse_description(plain, "x")
    assert found.spec.positive_class == ("NEV", "nevus")
    assert recorded_dataset("clinic", found.text, "a checkpoint").spec == found.spec


def test_two_classes_of_which_none_is_positive_come_back_from_a_checkpoint() -> None:
    plain = {**CLINIC, "classes": {"A": None, "B": None}}
    del plain["positive"]
    assert recorded_dataset("clinic", json.dumps(plain), "a checkpoint").spec.positive is None


def test_the_cases_of_a_clinic(clinic: Path) -> None:
    table = find_dataset(str(clinic.parent / "clinic.yaml"), "x").read(clinic, labelled=True)
    cases = table.cases
    assert cases["case_id"].to_list() == ["c1", "c2", "c3", "c4"]
    assert cases["group"].to_list() == ["P1", "P1", "P2", "P3"]
    assert cases["diagnosis"].to_list() == ["MEL", "NEV", "MEL", "BCC"]
    files = [
        None if path is None else str(Path(path).relative_to(clinic)) for path in cases["image"]
    ]
    assert files == ["photos/a.jpg", "sub/b.jpg", "C.PNG", None]
    assert cases["age"].to_list() == [44.5, 61, None, 30]
    assert cases["itch"].to_list() == ["PERHAPS", "False", "True", None]
    assert cases["sex"].to_list() == ["female", "male", None, "male"]
    assert cases["body_site"].to_list() == ["upper_limb", "trunk", "upper_limb", None]
    assert cases["type"].to_list() == ["2", "1", None, None]
    assert any("separated by semicolons" in note for note in table.notes)
    assert any("1 images are named differently" in note for note in table.notes)
    assert any(
        "'itch' has 1 category that My clinic does not have: PERHAPS" in n for n in table.notes
    )


def test_images_by_a_pattern(clinic: Path) -> None:
    (clinic / "sub" / "b.jpg").rename(clinic / "NEV-c2.jpg")
    found = read(clinic, description(image="{finding}-{case}.jpg"))["image"]
    assert [path is not None for path in found] == [False, True, False, False]


def test_one_column_for_each_class(clinic: Path) -> None:
    path = clinic / "cases.csv"
    lines = path.read_text().splitlines()
    marks = ["MEL;NEV;BCC", "1;0;0", "0;1;0", "1.0;0.0;0.0", ";;"]
    path.write_text("\n".join(f"{line};{mark}" for line, mark in zip(lines, marks, strict=True)))
    text = description(label=["MEL", "NEV", "BCC"], barred={"finding": "it is the label"})
    assert read(clinic, text)["diagnosis"].to_list() == ["MEL", "NEV", "MEL"]
    path.write_text(path.read_text().replace("0;1;0", "0;1;1"))
    with pytest.raises(DataError, match=r"one class per row .*1 rows differ.*line 3, being c2"):
        read(clinic, text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("c2;", "c1;", "ids of cases more than once, the first being c1"),
        ("NEV", "wart", r"unknown class wart \(1 rows.*My clinic has: MEL, NEV, BCC"),
        ("P2", "", "1 rows of .* have no person"),
        ("61", "old", "'age' .* line 3, to hold numbers, but case c2 has 'old'"),
        ("itch;", "itches;", "lacks the column itch; it has .*separated by semicolons"),
        ("file;", "files;", "lacks the column file"),
    ],
)
def test_a_table_that_does_not_fit(old: str, new: str, message: str, clinic: Path) -> None:
    path = clinic / "cases.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read(clinic, description())


def test_predicting_needs_only_the_id(clinic: Path) -> None:
    (clinic / "cases.csv").write_text("case,file,age,finding\nc1,a.jpg,44,pending\n")
    dataset = find_dataset(str(clinic.parent / "clinic.yaml"), "x")
    table = dataset.read(clinic, labelled=False, needed=["age"])
    assert table.cases.row(0)[:3] == ("c1", "c1", None)
    assert set(table.lacking) == {"itch", "sex", "body_site", "type"}
    (clinic / "cases.csv").unlink()
    assert dataset.read(clinic, labelled=False).cases.height == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group": "absent"}, "lacks the key `group`. A description needs name, table, id, group"),
        ({"group": []}, "`group` of x to be a column, or a list of columns, but got"),
        ({"unknown_class": "MEL"}, "`unknown_class` of x to be none of the classes, but got 'MEL'"),
        ({"colour": 1}, "has the unknown key `colour`. Known are name"),
        ({"labels": 1}, "unknown key `labels`. Did you mean label"),
        ({"name": "my clinic"}, "`name` of x to be letters, digits and underscores, but got 'my"),
        ({"classes": {"MEL": None}}, "`classes` of x to name at least two classes"),
        ({"classes": ["MEL", "NEV"]}, "`classes` of x to hold values by name"),
        (
            {"classes": {"A": {"titles": "a"}, "B": None}},
            "unknown key `titles` in `classes.A`. Did you mean title",
        ),
        (
            {"classes": {"A": {"names": ["b"]}, "B": None}, "positive": None},
            "`classes.B` of x to have names that A has not, but got 'B'",
        ),
        ({"positive": "MM"}, "`positive` of x to be among MEL, NEV, BCC, but got 'MM'"),
        ({"label": ["MEL", "NEV"]}, "`label` of x to be a column, or the classes MEL, NEV, BCC"),
        ({"features": {}}, "`features` of x to name at least one column"),
        ({"features": {"age": "number"}}, r"features.age.kind` of x to be .* but got 'number'"),
        ({"features": {"age": "numeri"}}, "Did you mean numeric"),
        (
            {"features": {"age": {"kind": "numeric", "range": [9, 1]}}},
            r"`features.age.range` of x to be two numbers, the smaller first",
        ),
        (
            {"features": {"itch": {"kind": "yes_no", "unit": "mm"}}},
            "`features.itch.unit` of x only where the kind is not yes_no",
        ),
        (
            {"features": {"a": {"categories": ["x"], "spellings": {"y": ["z"]}}}},
            "`features.a.spellings` of x to be of x, but got 'y'",
        ),
        ({"features": {"biopsy": "yes_no"}}, r"not to be barred \(only done if it is susp"),
        ({"features": {"finding": None}}, r"not to be barred \(it is the label\)"),
        ({"subgroups": ["site"]}, "`subgroups` of x to be among age, itch, .*, but got 'site'"),
        ({"subgroups": "sex"}, "`subgroups` of x to be a list, but got 'sex'"),
        ({"subgroups": {"site": None}}, "unknown key `site` in `subgroups`"),
        ({"subgroups": {"sex": [1]}}, "`subgroups.sex` of x to be empty, since only numbers have"),
        *(
            ({"subgroups": {"age": wrong}}, "`subgroups.age` of x to be increasing numbers, as in")
            for wrong in ([], 50, [50, 30], [30, 30], ["30"], [True], [float("inf")])
        ),
        (
            {"positive": None, "classes": {"A": None, "B": None}},
            "x lacks the key `positive`. .* A ",
        ),
        ({"melanoma": "MEL"}, "has the unknown key `melanoma`"),
        ({"table": True}, "`table` of x to be text, but got True"),
        ({"classes": {True: None, False: None}}, "`classes` of x to have names as keys .yes, no"),
        ({"classes": {"A": None, "n/a": None}}, "`classes.n/a` of x not to be a spelling of a"),
        ({"features": {"a": {"categories": ["?"]}}}, "not to be a spelling of a missing value"),
        ({"features": {"group": None}}, "`features.group` of x not to be a column of vitatt's"),
        ({"features": {"p_x": None}}, "`features.p_x` of x not to be a column of vitatt's"),
        ({"image": "{case.jpg"}, "`image` of x to be a column, or a pattern"),
        (
            {"features": {"a": {"categories": ["arm", "Back"], "spellings": {"arm": ["back"]}}}},
            "`features.a.spellings.arm` of x to be another spelling than those of 'Back'",
        ),
        (
            {"features": {"a": {"categories": ["arm", "ARM"]}}},
            "`features.a.categories` of x to be another spelling than those of 'arm'",
        ),
    ],
)
def test_wrong_descriptions(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_description(description(**changes), "x")


def test_files_that_describe_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [1")
    with pytest.raises(UsageError, match=r"a\.yaml, line 1: this is no YAML: expected ','"):
        find_dataset(str(tmp_path / "a.yaml"), "`data.dataset`")
    (tmp_path / "a.yaml").write_text("- 1")
    with pytest.raises(UsageError, match=r"the description of .*a\.yaml to hold values by name"):
        find_dataset(str(tmp_path / "a.yaml"), "`data.dataset`")
    with pytest.raises(UsageError, match=r"gone\.yaml cannot be read: No such file"):
        find_dataset(str(tmp_path / "gone.yaml"), "`data.dataset`")
    (tmp_path / "a.yaml").write_text(description(name="isic_2019"))
    with pytest.raises(UsageError, match="'isic_2019' is a registered one"):
        find_dataset(str(tmp_path / "a.yaml"), "`data.dataset`")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nid: b\nname: c\n", "x, line 3: the key 'name' stands in line 1 already"),
        ("name: 2020-13-45\n", "x is no YAML: month must be in"),
        ("name: a\n\tid: b\n", "x, line 2: this is no YAML: found character"),
        ("barred: &a {b: *a}\n", "x is nested too deeply, or an anchor .* in it holds itself"),
        (f"classes: {'[' * 3000}", "x is nested too deeply"),
    ],
)
def test_texts_that_are_no_description(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_description(text, "x")


def test_spellings_name_their_category(clinic: Path) -> None:
    site = {"body_site": {"spellings": {"upper limb": ["arm"]}}}
    cases = read(clinic, description(features=site, subgroups=[]))
    assert cases["body_site"].to_list() == ["upper limb", "TRUNK", "upper limb", None]


@pytest.mark.parametrize("name", ["\U0001f600", "\U00020bb7", "caf\u00e9", "1e-05", "True"])
def test_every_text_comes_back_from_a_checkpoint(name: str) -> None:
    features = {"age": {"kind": "numeric", "range": [1e-05, 1e16]}, name: {"categories": [name]}}
    first = parse_description(description(features=features, subgroups=[]), "x")
    again = recorded_dataset("clinic", first.text, "a checkpoint")
    assert again.spec == first.spec
    assert again.description == first.text


def test_a_feature_that_is_named_recorded(write_isic: Write) -> None:
    root = write_isic({"recorded": "x"}, {"image": "ISIC_2", "recorded": "y"})
    plain = {**ISIC, "features": {"recorded": None}}
    (root.parent / "isic.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
    table = find_dataset(str(root.parent / "isic.yaml"), "x").read(root, labelled=True)
    assert table.cases["recorded"].to_list() == ["X", "Y"]


def test_the_text_in_a_checkpoint_describes_the_same(clinic: Path) -> None:
    path = str(clinic.parent / "clinic.yaml")
    first = find_dataset(path, "x")
    again = recorded_dataset("clinic", first.description, "a checkpoint")
    assert again.spec == first.spec
    assert again.read(clinic, labelled=True).cases.equals(first.read(clinic, labelled=True).cases)
    assert recorded_dataset("pad_ufes_20", "", "x").spec is PAD_UFES_20.spec


PAD = {
    "name": "pad_described",
    "table": "metadata.csv",
    "id": "img_id",
    "group": "patient_id",
    "label": "diagnostic",
    "classes": dict(PAD_UFES_20.spec.class_titles),
    "positive": "MEL",
    "features": {
        feature.name: {
            "numeric": {"kind": "numeric", "label": feature.label, "unit": feature.unit},
            "question": {"kind": "yes_no", "label": feature.label},
            "other": {
                "label": feature.label,
                "categories": list(feature.categories),
                "spellings": {
                    category: [k for k, v in feature.spellings.items() if v == category]
                    for category in dict.fromkeys(feature.spellings.values())
                },
            },
        }[
            "numeric"
            if feature.kind == "numeric"
            else "question"
            if feature.categories == ("False", "True")
            else "other"
        ]
        for feature in PAD_UFES_20.spec.features
    },
}


def test_a_description_of_a_built_in_dataset_gives_its_folds(
    pad_demo: Path, tmp_path: Path
) -> None:
    path = tmp_path / "pad.yaml"
    path.write_text(yaml.safe_dump(PAD, sort_keys=False))
    modules = [
        LesionDataModule(name, str(pad_demo), image_size=16, cache_dir=str(tmp_path / "cache"))
        for name in ("pad_ufes_20", str(path))
    ]
    built_in, described = modules
    assert described.labelled.frame.equals(built_in.labelled.frame)
    for one, other in zip(described.rows, built_in.rows, strict=True):
        assert one.tolist() == other.tolist()
    plain, task = built_in.task.to_plain(), described.task.to_plain()
    assert task.pop("dataset") == "pad_described"
    assert task.pop("description") == PAD
    assert plain.pop("description") == {}
    assert {**plain, "dataset": ""} == {**task, "dataset": ""}
    path.unlink()  # the checkpoint has it
    again = LesionDataModule(
        "pad_described",
        str(pad_demo),
        cache_dir=str(tmp_path / "cache"),
        task=described.task.to_plain(),
    )
    assert again.cases("test").equals(built_in.cases("test"))
    assert LesionTask.from_plain(described.task.to_plain()) == described.task


ISIC = {
    "name": "isic_described",
    "title": "ISIC 2019",
    "table": "ISIC_2019_Training_Metadata.csv",
    "id": "image",
    "group": "lesion_id",
    "group_kind": "lesion",
    "ungrouped_share": 0.2,
    "label": list(ISIC_2019.spec.classes),
    "label_table": "ISIC_2019_Training_GroundTruth.csv",
    "classes": dict(ISIC_2019.spec.class_titles),
    "features": {
        "age_approx": {"kind": "numeric", "unit": "years"},
        "sex": "sex",
        "anatom_site_general": {"categories": list(ISIC_2019.spec.features[2].categories)},
    },
}


def test_labels_in_another_table(write_isic: Write, save_image: Write) -> None:
    classes = [{"MEL": "0.0", "NV": "1.0"}, {}, {}]
    root = write_isic(*({"image": f"ISIC_{n}", **one} for n, one in enumerate(classes)))
    for n in range(3):
        save_image(root / "photos" / f"ISIC_{n}.jpg")
    path = root / "ISIC_2019_Training_Metadata.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[-1].replace("ISIC_2", "ISIC_9")]) + "\n")
    (root.parent / "isic.yaml").write_text(yaml.safe_dump(ISIC, sort_keys=False))
    dataset = find_dataset(str(root.parent / "isic.yaml"), "x")
    for labelled in (True, False):
        options = {"labelled": labelled, "allow_ungrouped": True}
        found, expected = dataset.read(root, **options), ISIC_2019.read(root, **options)
        assert found.cases.equals(expected.cases), labelled
        assert found.ungrouped == expected.ungrouped
        assert found.group_problem == expected.group_problem
    with pytest.raises(DataError, match=r"1 of 3 labelled images have no row in .*ISIC_2,"):
        dataset.read(root, labelled=True)
    frame = dataset.read(root, labelled=True, allow_ungrouped=True)
    assert any("1 labelled cases are not in ISIC_2019_Training_Metadata" in n for n in frame.notes)
    assert any("1 rows of ISIC_2019_Training_Metadata.csv have no label" in n for n in frame.notes)
    path.write_text("\n".join([*lines, lines[-1]]) + "\n")
    with pytest.raises(DataError, match="ids of cases more than once"):
        dataset.read(root, labelled=True)


@pytest.mark.parametrize("share", ["a", 2, True])
def test_a_share_is_a_share(share: object) -> None:
    with pytest.raises(UsageError, match="`ungrouped_share` of x to be 0 to 1"):
        parse_description(description(ungrouped_share=share), "x")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["isic_2019", "pad_ufes_20"])
def test_of_the_real_files(name: str, tmp_path: Path) -> None:
    root = real(name)
    path = tmp_path / "real.yaml"
    path.write_text(yaml.safe_dump({"isic_2019": ISIC, "pad_ufes_20": PAD}[name], sort_keys=False))
    for labelled in (True, False):
        found = find_dataset(str(path), "x").read(root, labelled=labelled)
        expected = find_dataset(name, "x").read(root, labelled=labelled)
        assert found.cases.equals(expected.cases)
        assert found.ungrouped == expected.ungrouped
