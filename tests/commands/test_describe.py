"""A drafted description, and what it warns of."""

from __future__ import annotations

import csv
import random
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from PIL import Image

from tests.data.test_real_data import real
from vitatt.cli import main
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import find_dataset
from vitatt.data.synthetic.images import draw

HEADER = [
    *("nr", "photo", "patient_code", "finding", "age", "itches", "sex", "site", "skin_type"),
    *("biopsy_result", "melanoma_thickness", "notes", "device", "empty", "history", "copied"),
]


def rows(count: int = 60) -> list[list[str]]:
    """A table of two classes; ``copied`` is the label by another name."""
    draw = random.Random(0)
    found = []
    for n in range(count):
        ill = n % 2
        found.append(
            [
                str(n + 1),
                f"IMG_{n:03d}.jpg",
                f"P{n // 3}",
                ("naevus", "melanoma")[ill],
                "" if ill and draw.random() < 0.8 else f"{draw.randint(20, 80)},5",
                draw.choice(["yes", "no", "n/a"]),
                draw.choice(["F", "male"]),
                draw.choice(["Arm", "arm", "Back"]),
                draw.choice(["2.0", "3.0"]),
                draw.choice(["done", "not done"]),
                f"{draw.random():.2f}" if ill else "",
                f"text {draw.random()}",
                "D90",
                "",
                draw.choice(["yes", "no"]),
                "xy"[ill],
            ]
        )
    return found


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    root = tmp_path / "clinic"
    (root / "photos").mkdir(parents=True)
    with (root / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=";").writerows([HEADER, *rows()])
    for row in rows()[:50]:
        (root / "photos" / row[1]).touch()
    return root


def described(root: Path, *words: str) -> dict[str, object]:
    output = root.parent / "clinic.yaml"
    output.unlink(missing_ok=True)
    table = str(root / "cases.csv")
    assert main(["describe", table, "--label", "finding", f"--output={output}", *words]) == 0
    plain: dict[str, object] = yaml.safe_load(output.read_text())
    return plain


def test_a_table_of_a_clinic(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = described(clinic)
    assert plain["name"] == "clinic"
    assert (plain["id"], plain["group"], plain["label"]) == ("photo", "patient_code", "finding")
    assert plain["classes"] == {"melanoma": None, "naevus": None}
    assert plain["positive"] == "melanoma"
    features = plain["features"]
    assert isinstance(features, dict)
    age, site = features.pop("age"), features.pop("site")
    assert (age["kind"], age["unit"]) == ("numeric", "")
    assert 20 <= age["range"][0] < age["range"][1] <= 81
    assert [one.lower() for one in sorted(site["categories"], key=str.lower)] == ["arm", "back"]
    assert features == {
        "itches": "yes_no",
        "sex": "sex",
        "skin_type": {"categories": ["2", "3"]},
        "history": "yes_no",
        "copied": {"categories": ["x", "y"]},
    }
    reasons = plain["barred"]
    assert isinstance(reasons, dict)
    assert list(reasons) == [
        *("nr", "biopsy_result", "melanoma_thickness", "notes", "device", "empty"),
    ]
    assert reasons["nr"] == "it numbers the rows"
    assert "'biops'" in reasons["biopsy_result"]
    assert reasons["melanoma_thickness"] == "it has a value only where the label is melanoma"
    assert reasons["notes"].startswith("it is free text or a name: 60")
    assert reasons["device"] == "it is always D90"
    assert reasons["empty"] == "it is empty"
    said = capsys.readouterr().out
    assert "look: copies of the label: 'copied' alone gives the diagnosis away" in said
    assert "look: missing pattern: which values are missing reaches" in said
    assert "gaps of 'age' contribute most" in said
    assert "look: 'biopsy_result' is barred" in said
    assert "cases.csv was read as columns separated by semicolons" in said


def test_the_draft_can_be_used_as_it_is(clinic: Path) -> None:
    described(clinic)
    dataset = find_dataset(str(clinic.parent / "clinic.yaml"), "x")
    table = dataset.read(clinic, labelled=True)
    assert table.cases.height == 60
    assert len(table.absent) == 10
    assert table.cases["site"].n_unique() == 2
    assert not [note for note in table.notes if "does not have" in note]


def test_what_a_person_knows_better(clinic: Path) -> None:
    plain = described(clinic, "--id", "nr", "--group", "site")
    assert (plain["id"], plain["image"], plain["group"]) == ("nr", "photo", "site")


def test_what_is_not_there_is_said(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pl.read_csv(clinic / "cases.csv", separator=";", infer_schema=False)
    frame.drop("patient_code").write_csv(clinic / "cases.csv")
    for path in (clinic / "photos").iterdir():
        path.unlink()
    plain = described(clinic)
    assert plain["group"] == "CHANGE_ME"
    said = capsys.readouterr().out
    assert "No column seems to name the patient or the lesion: CHANGE_ME" in said
    assert "No column names the image files" in said


def test_columns_with_names_of_results(clinic: Path) -> None:
    frame = pl.read_csv(clinic / "cases.csv", separator=";", infer_schema=False)
    frame.rename({"itches": "fold", "history": "p_MEL"}).write_csv(clinic / "cases.csv")
    plain = described(clinic)
    reason = "vitatt's results have a column of this name: rename it to use it"
    assert isinstance(plain["barred"], dict)
    assert (plain["barred"]["fold"], plain["barred"]["p_MEL"]) == (reason, reason)


def test_a_lesion_that_is_not_always_named(
    clinic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pl.read_csv(clinic / "cases.csv", separator=";", infer_schema=False)
    lesion = pl.when(pl.col("nr").cast(pl.Int64) > 6).then("patient_code").alias("lesion_id")
    assert described(clinic)["group_kind"] == "patient"
    assert "is empty in" not in capsys.readouterr().out
    frame.with_columns(lesion).drop("patient_code").write_csv(clinic / "cases.csv")
    plain = described(clinic)
    assert (plain["group"], plain["group_kind"]) == ("lesion_id", "lesion")
    assert (
        "look: 'lesion_id' is empty in 6 of 60 rows, and each of these is a group of its own. Fill"
    ) in capsys.readouterr().out


def test_an_id_that_repeats(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described(clinic, "--id=patient_code", "--group=site")
    said = capsys.readouterr().out
    assert "'patient_code' repeats in 60 rows of cases.csv, the first being P0" in said


def test_images_under_two_patients(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    drawn = [Image.fromarray(draw(rng, 80, "blue_ring", 0.3).image) for _ in range(20)]
    places = [clinic / "photos" / row[1] for row in rows()]
    for image, path in zip(drawn, places[:20], strict=True):
        image.save(path, quality=95)
    described(clinic)
    assert "images under two names: not" not in (said := capsys.readouterr().out)
    assert "images under two names" not in said

    drawn[0].resize((70, 70)).save(places[12], quality=70)  # of P0 and P4
    drawn[1].save(places[2], quality=95)  # both of P0
    described(clinic)
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if "images under two names" in line]
    assert line.startswith("look: images under two names: one IMG_0")
    assert {"IMG_000.jpg (P0)", "IMG_012.jpg (P4)"} == set(
        re.findall(r"IMG_\d+.jpg \(P\d+\)", line)
    )
    assert "nearly the same image (similarity 0." in line

    shutil.copy(places[5], places[19])  # of P1 and P6
    described(clinic)
    said = capsys.readouterr().out
    assert (
        "images under two names: 2, the first being IMG_005.jpg (P1) = IMG_019.jpg (P6): one image"
    ) in said
    assert "# - images under two names: 2" in (clinic.parent / "clinic.yaml").read_text()


def test_images_that_cannot_be_read(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described(clinic)
    said = capsys.readouterr().out
    assert "images under two names: not looked for. None of the 50 image files can be" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "findings"], "--label to name a column .*'findings'. Did you mean finding"),
        (["--label", "finding", "--group", "x"], "--group to name a column of cases.csv"),
        (["--label", "device"], "'device' of cases.csv to have at least two labels"),
        (["--label", "finding", "--output", "a.txt"], "--output to end in .yaml, as descri.*a.txt"),
        (["--label", "finding", "--images", "gone"], "--images to be a folder, but got gone"),
    ],
)
def test_wrong_options(
    words: list[str], message: str, clinic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["describe", str(clinic / "cases.csv"), *words]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(message, said)


def test_no_column_can_be_the_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,x\n1,y\n1,x\n")
    assert main(["describe", str(tmp_path / "t.csv"), "--label", "b"]) == 2
    assert "No column of t.csv has another value in each row" in capsys.readouterr().err
    assert main(["describe", str(tmp_path / "gone.csv"), "--label", "b"]) == 2
    assert "Expected the table" in capsys.readouterr().err


@pytest.mark.slow
def test_of_the_real_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After one edit, PAD-UFES-20 has the folds and encoding of the built-in dataset."""
    root = real("pad_ufes_20")
    path = tmp_path / "pad.yaml"
    words = [str(root / "metadata.csv"), "--label=diagnostic", f"--output={path}"]
    assert main(["describe", *words]) == 0
    said = capsys.readouterr().out
    assert "'biopsed' is barred" in said
    assert "missing pattern: which values are missing reaches" in said
    text = path.read_text()
    edited = text.replace("    - BRASIL\n    - BRAZIL\n", "    - BRAZIL\n").replace(
        "  background_father:\n", "  background_father:\n    spellings: {BRAZIL: [BRASIL]}\n"
    )
    path.write_text(edited)
    assert edited != text
    modules = [
        LesionDataModule(name, str(root), image_size=16, cache_dir=str(tmp_path / "cache"))
        for name in ("pad_ufes_20", str(path))
    ]
    built_in, draft = (module.task for module in modules)
    assert draft.seen == built_in.seen
    assert draft.classes == built_in.classes
    assert draft.cardinalities == built_in.cardinalities
    for one, other in zip(draft.features, built_in.features, strict=True):
        assert (one.name, one.kind, one.centres) == (other.name, other.kind, other.centres)
        assert [c.upper() for c in one.categories] == [c.upper() for c in other.categories]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:3 pairs of images under two lesions")
def test_of_the_real_tables_of_isic_2019(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After three edits, ISIC 2019 has the folds and encoding of the built-in dataset."""
    root = real("isic_2019")
    path = tmp_path / "isic.yaml"
    words = [f"--label_table={root / 'ISIC_2019_Training_GroundTruth.csv'}", f"--output={path}"]
    assert main(["describe", str(root / "ISIC_2019_Training_Metadata.csv"), *words]) == 0
    said = capsys.readouterr().out
    assert re.search(r"'lesion_id' is empty in 1\d{3} of 22900 rows", said)
    plain = yaml.safe_load(path.read_text())
    plain |= {"ungrouped_share": 0.2, "positive": "MEL"}
    order = ("age_approx", "sex", "anatom_site_general")
    plain["features"] = {name: plain["features"][name] for name in order}
    path.write_text(yaml.safe_dump(plain, sort_keys=False))
    for fold in range(5):
        built_in, draft = (
            LesionDataModule(name, str(root), fold=fold, image_size=16, cache_dir=str(tmp_path))
            for name in ("isic_2019", str(path))
        )
        for one, other in zip(draft.rows, built_in.rows, strict=True):
            assert one.tolist() == other.tolist()
        assert draft.task.seen == built_in.task.seen
        assert draft.task.class_counts == built_in.task.class_counts
        for drawn, known in zip(draft.task.features, built_in.task.features, strict=True):
            assert (drawn.name, drawn.categories, drawn.centres) == (
                *(known.name, known.categories, known.centres),
            )


def test_labels_in_a_table_of_their_own(clinic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pl.read_csv(clinic / "cases.csv", separator=";", infer_schema=False)
    frame.drop("finding").write_csv(clinic / "cases.csv")
    marks = {name: (pl.col("finding") == name).cast(pl.Int64) for name in ("naevus", "melanoma")}
    truth = frame.select("photo", unused=pl.lit(0), **marks)
    truth.write_csv(clinic / "truth.csv")
    output, words = clinic.parent / "two.yaml", ["--label_table", str(clinic / "truth.csv")]
    table = str(clinic / "cases.csv")
    assert main(["describe", table, *words, f"--output={output}"]) == 0
    plain = yaml.safe_load(output.read_text())
    assert plain["label"] == ["naevus", "melanoma"]
    assert plain["label_table"] == "truth.csv"
    assert "copies of the label: 'copied'" in capsys.readouterr().out
    cases = find_dataset(str(output), "x").read(clinic, labelled=True).cases
    assert cases["diagnosis"].to_list() == frame["finding"].to_list()
    truth.with_columns(naevus=pl.lit(1)).write_csv(clinic / "truth.csv")
    assert main(["describe", table, "--label_table", "truth.csv"]) == 2  # named without its folder
    assert "Expected columns of 0 and 1, with one 1 in each row" in capsys.readouterr().err
    assert main(["describe", table]) == 2
    assert "Name the column of cases.csv that holds the label" in capsys.readouterr().err
    assert main(["describe", table, "--label_table", str(clinic.parent / "x.csv")]) == 2
    assert "Expected --label_table to be a file beside" in capsys.readouterr().err


def test_codes_are_no_answers(clinic: Path) -> None:
    frame = pl.read_csv(clinic / "cases.csv", separator=";", infer_schema=False)
    codes = {
        "stage_code": ["N", "T", "X"],
        "side": ["N", "S"],
        "asked": ["y", "n"],
        "wet": ["j", "n"],
    }
    added = [pl.Series(name, (values * 60)[:60]) for name, values in codes.items()]
    frame.drop("notes").with_columns(added).rename({"stage_code": "code"}).write_csv(
        clinic / "cases.csv"
    )
    features = described(clinic)["features"]
    assert isinstance(features, dict)
    assert features["code"] == {"categories": ["N", "T", "X"]}
    assert features["side"] == {"categories": ["N", "S"]}
    assert (features["asked"], features["wet"]) == ("yes_no", "yes_no")


def test_labels_in_two_spellings_are_one_class(clinic: Path) -> None:
    frame = pl.read_csv(clinic / "cases.csv", separator=";", infer_schema=False)
    other = pl.when(pl.int_range(pl.len()) < 4).then(pl.col("finding").str.to_uppercase())
    frame.with_columns(finding=other.otherwise("finding")).write_csv(clinic / "cases.csv")
    plain = described(clinic)
    assert plain["classes"] == {
        "melanoma": {"names": ["MELANOMA"]},
        "naevus": {"names": ["NAEVUS"]},
    }


def test_a_number_that_is_infinite(clinic: Path) -> None:
    frame = pl.read_csv(clinic / "cases.csv", separator=";", infer_schema=False)
    values = [f"{n}.5" for n in range(1, 60)]
    frame.with_columns(width=pl.Series([*values, "1e400"])).write_csv(clinic / "cases.csv")
    features = described(clinic)["features"]
    assert isinstance(features, dict)
    assert features["width"] == {"kind": "numeric", "unit": "", "range": [1.5, 59.5]}


def test_a_number_for_missing_that_is_huge(clinic: Path) -> None:
    frame = pl.read_csv(clinic / "cases.csv", separator=";", infer_schema=False)
    values = [*map(str, range(1, 60)), "8.98846567431158e307"]  # of Stata
    frame.with_columns(width=pl.Series(values)).write_csv(clinic / "cases.csv")
    features = described(clinic)["features"]
    assert isinstance(features, dict)
    assert features["width"]["kind"] == "numeric"


def test_spellings_of_a_category_do_not_give_the_label_away(
    clinic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pl.read_csv(clinic / "cases.csv", separator=";", infer_schema=False)
    site = pl.when(pl.col("finding") == "naevus").then(pl.lit("Arm")).otherwise(pl.lit("ARM "))
    site = pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.lit("Back")).otherwise(site)
    frame.with_columns(site=site).write_csv(clinic / "cases.csv")
    described(clinic)
    said = capsys.readouterr().out
    assert "'copied' alone gives the diagnosis away" in said
    assert "'site' alone gives the diagnosis away" not in said


def test_a_folder_with_another_alphabet(clinic: Path) -> None:
    other = clinic.rename(clinic.parent / "M\u00fcller \u6570")
    assert described(other)["name"] == "M_ller"
