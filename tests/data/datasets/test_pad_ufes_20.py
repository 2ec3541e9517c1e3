from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from vitatt.data.datasets import DATASETS
from vitatt.types import DataError

PAD_UFES_20 = DATASETS["pad_ufes_20"]

Write = Callable[..., Path]

PUBLISHED_LAYOUTS = {
    "images": ("images", "images", "images"),
    "parts": ("imgs_part_1", "imgs_part_2", "imgs_part_3"),
    "doubled parts": tuple(f"imgs_part_{n}/imgs_part_{n}" for n in (1, 2, 3)),
    "parts in images": tuple(f"images/imgs_part_{n}" for n in (1, 2, 3)),
    "flat": ("", "", ""),
}


def read_one(root: Path, column: str) -> object:
    return PAD_UFES_20.read(root, labelled=True).cases[column].to_list()[0]


@pytest.mark.parametrize("folders", PUBLISHED_LAYOUTS.values(), ids=PUBLISHED_LAYOUTS)
def test_images_are_found_in_every_published_layout(
    folders: tuple[str, ...], write_pad: Write, save_image: Write
) -> None:
    root = write_pad({}, {}, {})
    paths = [save_image(root / folder / f"PAT_1_11_{n}.png") for n, folder in enumerate(folders)]
    table = PAD_UFES_20.read(root, labelled=True)
    assert table.cases["image"].to_list() == [str(path) for path in paths]
    assert table.absent == []


def test_columns_of_the_table(write_pad: Write) -> None:
    table = PAD_UFES_20.read(write_pad({}), labelled=True)
    features = [feature.name for feature in PAD_UFES_20.spec.features]
    assert table.cases.columns == ["case_id", "group", "diagnosis", "image", *features]
    numeric = {f.name for f in PAD_UFES_20.spec.features if f.kind == "numeric"}
    assert numeric == {"age", "diameter_1", "diameter_2"}
    for name in features:
        assert table.cases.schema[name] == (pl.Float64 if name in numeric else pl.String)
    assert table.cases.row(0)[:3] == ("PAT_1_11_0.png", "PAT_1", "BCC")


def test_text_form_does_not_matter(write_pad: Write) -> None:
    plain = PAD_UFES_20.read(write_pad({}, {"age": "61"}), labelled=True).cases
    # The first column carries the byte-order mark, the last one the carriage return.
    root = write_pad({}, {"age": "61"}, newline="\r\n", bom=True)
    assert PAD_UFES_20.read(root, labelled=True).cases.equals(plain)


def test_extra_columns_and_spaces_in_the_header_do_not_matter(write_pad: Write) -> None:
    plain = PAD_UFES_20.read(write_pad({}), labelled=True).cases
    root = write_pad({"fold": "3", "notes": 'said "no", then yes'})
    path = root / "metadata.csv"
    path.write_text(path.read_text().replace(",age,", ", age ,", 1))
    assert PAD_UFES_20.read(root, labelled=True).cases.equals(plain)


@pytest.mark.parametrize(
    ("column", "spellings"),
    [
        (
            "itch",
            {
                "True": ["True", "TRUE", "true", " True ", "1", "1.0", "T", "yes", "Y", "Sim"],
                "False": [
                    *("False", "FALSE", "false", "0", "0.0", "F", "no", "N", "n\xe3o", "NAO"),
                ],
                None: [
                    *("", "UNK", "unk", " ", "nan", "N/A", "?", "-", "--", ".", "not recorded"),
                    *("N.A.", "#N/A", "Not  available", "missing", "<NA>", "not_known"),
                ],
            },
        ),
        (
            "age",
            {
                55.0: ["55"],
                55.5: ["55.5"],
                None: ["", "UNK", "nan", "NaN", "?", "-", "not recorded", "#N/A"],
            },
        ),
        ("background_father", {"BRAZIL": ["BRASIL", "BRAZIL", "Brasil"]}),
        (
            "background_mother",
            {"POMERANIA": ["POMERANIA"], "NEW ZEALAND": ["new_  zealand"], "BRAZIL": ["BRASIL"]},
        ),
        (
            "gender",
            {
                "FEMALE": ["Female", "F", "f", "WOMAN", "feminino"],
                "MALE": ["MALE", "M", "m", "man", "Masculino"],
            },
        ),
        ("region", {"LIP": ["lip", "LIPS"]}),
        ("fitspatrick", {"4": ["IV"], "2": ["2.0", "2", "2.00"], None: [""]}),
        ("diameter_1", {0.0: ["0.0"]}),
        ("diagnosis", {"BCC": ["bcc"]}),
        ("group", {"PAT_7": [" PAT_7 "]}),
    ],
)
def test_values(column: str, spellings: dict[object, list[str]], write_pad: Write) -> None:
    published = {"diagnosis": "diagnostic", "group": "patient_id"}.get(column, column)
    pairs = [(text, value) for value, texts in spellings.items() for text in texts]
    root = write_pad(*({published: text} for text, _ in pairs))
    found = PAD_UFES_20.read(root, labelled=True).cases[column]
    assert [(text, value) for (text, _), value in zip(pairs, found, strict=True)] == pairs


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg"])
def test_image_formats(name: str, write_pad: Write, save_image: Write) -> None:
    root = write_pad({"img_id": name})
    path = save_image(root / "images" / name)
    assert read_one(root, "image") == str(path)


def test_mixed_spellings_are_one_category(write_pad: Write) -> None:
    answers = ["True", "1", "yes", "T", "False", "0", "no", "F", "?", "UNK"]
    sexes = ["M", "MALE", "male", "F", "FEMALE", "Female", "m", "f", "-", "not recorded"]
    rows = [{"itch": itch, "gender": sex} for itch, sex in zip(answers, sexes, strict=True)]
    table = PAD_UFES_20.read(write_pad(*rows), labelled=True)
    assert table.notes == ()
    found = table.cases.select("itch", "gender")
    assert found["itch"].to_list() == ["True"] * 4 + ["False"] * 4 + [None] * 2
    names = ["MALE"] * 3 + ["FEMALE"] * 3 + ["MALE", "FEMALE", None, None]
    assert found["gender"].to_list() == names


def test_odd_values_are_noted(write_pad: Write) -> None:
    rows = [{}, {"region": "moon"}, {"age": "-3"}, {"age": "555", "diameter_1": "1e6"}]
    notes = PAD_UFES_20.read(write_pad(*rows), labelled=True).notes
    assert [note.split(":")[0] for note in notes] == [
        "'age' is not at least 0 and at most 120 years in 2 rows",
        "'region' has 1 category that PAD-UFES-20 does not have",
        "'diameter_1' is not at least 0 and at most 500 mm in 1 row",
    ]
    assert "-3, 555 (first PAT_1_11_2.png)" in notes[0]
    assert "MOON (1)" in notes[1]


@pytest.mark.parametrize("lacking", [[], ["patient_id"]], ids=["a value", "the column"])
def test_patients_that_are_not_there(lacking: list[str], write_pad: Write) -> None:
    rows = [{}, {"patient_id": "-"}, {"patient_id": "PAT_2"}, {"patient_id": "PAT_2"}]
    root = write_pad(*rows, lacking=lacking)
    message = "has no column patient_id, so that 4 images" if lacking else "line 3.*: each is a gr"
    with pytest.raises(DataError, match=rf"{message}.*patient.*`data\.allow_ungrouped`"):
        PAD_UFES_20.read(root, labelled=True)
    allowed = PAD_UFES_20.read(root, labelled=True, allow_ungrouped=True)
    names = [f"PAT_1_11_{n}.png" for n in range(4)]
    expected = names if lacking else ["PAT_1", names[1], "PAT_2", "PAT_2"]
    assert allowed.cases["group"].to_list() == expected
    count = 4 if lacking else 1
    assert allowed.notes[0].startswith(f"{count} of 4 images have no patient_id: each is a group")
    assert allowed.group_problem
    predicted = PAD_UFES_20.read(root, labelled=False)
    assert predicted.cases["group"].to_list() == expected
    assert predicted.notes == ()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"age": "old"}, r"metadata\.csv, line 6, to hold numbers.* has 'old'"),
        ({"img_id": ""}, r"no id, which names the case, the first in line 6\. "),
        ({"patient_id": ""}, r"no patient_id \(3 images in all; the first is x\.png, line 6\)"),
        ({"diagnostic": "XYZ"}, r"unknown class XYZ \(1 rows, the first in line 6 being x\.png\)"),
        ({"img_id": "PAT_1_11_0.png"}, r"being PAT_1_11_0\.png, in line 2 and line 6\. Each row"),
    ],
)
def test_errors_name_the_line(row: dict[str, str], message: str, write_pad: Write) -> None:
    # A column that is not read holds line breaks in quotes.
    rows = [{"note": "a"}, {"note": "1\n2\n3"}, {"note": "", "img_id": "x.png", **row}]
    with pytest.raises(DataError, match=message):
        PAD_UFES_20.read(write_pad(*rows), labelled=True)


def test_absent_images_are_counted_not_dropped(write_pad: Write, save_image: Write) -> None:
    root = write_pad({}, {}, {})
    save_image(root / "images" / "PAT_1_11_1.png")
    table = PAD_UFES_20.read(root, labelled=True)
    assert table.cases.height == 3
    assert table.absent == ["PAT_1_11_0.png", "PAT_1_11_2.png"]
    assert table.with_images()["case_id"].to_list() == ["PAT_1_11_1.png"]


def test_no_image_at_all(write_pad: Write) -> None:
    table = PAD_UFES_20.read(write_pad({}, {}), labelled=True)
    message = (
        r"None of the 2 cases of PAD-UFES-20 \(PAT_1_11_0\.png, PAT_1_11_1\.png\) has an image "
        r".*no image file at all below it.*mendeley.*imgs_part_1"
    )
    with pytest.raises(DataError, match=message):
        table.with_images()


def test_only_other_images(write_pad: Write, save_image: Write) -> None:
    root = write_pad({}, {}, {}, {})
    for n in range(4):
        save_image(root / f"IMG_{n}.webp")
    table = PAD_UFES_20.read(root, labelled=True)
    message = (
        r"None of the 4 cases .*PAT_1_11_2\.png, \.\.\.\) has .*There are 4 image files below it "
        r"\(IMG_0\.webp, IMG_1\.webp, IMG_2\.webp, \.\.\.\)"
    )
    with pytest.raises(DataError, match=message):
        table.with_images()


def test_hidden_and_other_files_are_no_images(write_pad: Write, save_image: Write) -> None:
    root = write_pad({"img_id": "a.png"})
    path = save_image(root / "images" / "a.png")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._a.png").write_bytes(b"fork")
    (root / "b.png").mkdir()
    (root / "images" / "a.png.txt").write_text("note")
    assert read_one(root, "image") == str(path)


def test_one_file_unpacked_twice_counts_once(write_pad: Write, save_image: Write) -> None:
    root = write_pad({"img_id": "a.png"})
    save_image(root / "imgs_part_1" / "a.png")
    save_image(root / "imgs_part_1" / "imgs_part_1" / "a.png")
    table = PAD_UFES_20.read(root, labelled=True)
    assert table.cases.height == 1
    assert table.absent == []


@pytest.mark.parametrize(("broken", "good"), [("images", "part"), ("part", "images")])
def test_a_link_to_nowhere_beside_the_file(
    broken: str, good: str, write_pad: Write, save_image: Write
) -> None:
    root = write_pad({"img_id": "a.png"})
    path = save_image(root / good / "a.png")
    (root / broken).mkdir()
    (root / broken / "a.png").symlink_to("nowhere")
    assert read_one(root, "image") == str(path)


def test_two_files_of_one_name(write_pad: Write, save_image: Write) -> None:
    root = write_pad({"img_id": "a.png"})
    save_image(root / "imgs_part_1" / "a.png", size=8)
    save_image(root / "imgs_part_2" / "a.png", size=9)
    with pytest.raises(DataError, match=r"Two different .* a\.png: .*part_1.* and .*part_2.*Keep"):
        PAD_UFES_20.read(root, labelled=True)


def test_a_name_outside_ascii(write_pad: Write, save_image: Write) -> None:
    root = write_pad({"img_id": "lesão.png", "region": "mão"})
    path = save_image(root / "images" / "lesão.png")
    assert read_one(root, "image") == str(path)
    assert read_one(root, "region") == "MÃO"


def test_unlabelled_rows_are_left_out_with_a_note(write_pad: Write) -> None:
    root = write_pad({}, {"diagnostic": ""}, {"diagnostic": "UNK"})
    table = PAD_UFES_20.read(root, labelled=True)
    assert table.cases["case_id"].to_list() == ["PAT_1_11_0.png"]
    assert table.notes == ("2 rows of metadata.csv have no label and are left out.",)
    assert PAD_UFES_20.read(root, labelled=False).cases.height == 3


def test_prediction_needs_no_labels(write_pad: Write) -> None:
    table = PAD_UFES_20.read(write_pad({}, {}, lacking=["diagnostic", "biopsed"]), labelled=False)
    assert table.cases["diagnosis"].to_list() == [None, None]
    assert table.notes == ()


@pytest.mark.parametrize(
    ("rows", "lacking", "message"),
    [
        ([{}], ["age"], r"metadata\.csv lacks the column age; it has .*smoke.*PAD-UFES-20 is pub"),
        ([{}], ["age", "itch"], r"lacks the columns age, itch"),
        ([{}], ["diagnostic"], r"lacks the column diagnostic"),
        ([], [], "has a header but no rows"),
        ([{"diagnostic": "NV"}], [], r"unknown class NV \(1 rows, .*0\.png\).*ACK, BCC, MEL"),
        ([{"img_id": "a"}, {"img_id": "a"}], [], "ids of cases more than once, the first being a"),
        ([{}, {"img_id": ""}], [], "1 rows of .* have no id"),
        ([{"patient_id": "UNK"}], [], "1 rows of .* have no patient"),
        (
            [{}, {"age": "sixty"}],
            [],
            r"'age' of .* case PAT_1_11_1\.png has 'sixty' \(1 such row\)",
        ),
        ([{"diameter_1": "6,5"}, {"diameter_1": "x"}], [], r"'diameter_1' .*'x' \(1 such row\)"),
        *[([{"age": bad}], [], rf"0\.png has '{bad}'.*empty") for bad in ("inf", "1e999")],
    ],
)
def test_bad_tables(
    rows: list[dict[str, str]], lacking: list[str], message: str, write_pad: Write
) -> None:
    root = write_pad(*rows, lacking=lacking)
    with pytest.raises(DataError, match=message):
        PAD_UFES_20.read(root, labelled=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(range(256)) * 40, "cannot be read as a CSV|lacks the columns"),
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "cannot be read as a CSV|lacks the columns"),
        (b"img_id,patient_id\n\xff\xfe,\xc3\n", "cannot be read as a CSV|lacks the columns"),
        (b"", "cannot be read as a CSV"),
        (b"img_id;age\na;b\n", r"has img_id, age \(.* was read as columns separated by semicolons"),
        (b"img_id,patient_id\na,b,c,d\n", "cannot be read as a CSV.*line 2 has 4 values for 2 col"),
        (b"img_id, img_id\na,b\n", "cannot be read as a CSV|lacks the columns|twice"),
    ],
    ids=["bytes", "png", "latin", "empty", "semicolons", "ragged", "column twice"],
)
def test_no_table_at_all(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        PAD_UFES_20.read(tmp_path, labelled=True)
    assert str(tmp_path / "metadata.csv") in str(error.value)


def test_folder_is_absent_a_file_or_empty(tmp_path: Path) -> None:
    help_text = r"PAD-UFES-20 is published at https://data\.mendeley.*`data\.root`.*metadata\.csv"
    with pytest.raises(DataError, match=rf"nowhere does not exist\. {help_text}"):
        PAD_UFES_20.read(tmp_path / "nowhere", labelled=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=rf"file is a file\. {help_text}"):
        PAD_UFES_20.read(tmp_path / "file", labelled=True)
    with pytest.raises(
        DataError, match=rf"Expected the file .*metadata\.csv.*not there\. {help_text}"
    ):
        PAD_UFES_20.read(tmp_path, labelled=True)


def test_prediction_asks_only_for_what_is_needed(write_pad: Write) -> None:
    rows = {"diagnostic": "pending", "itch": "1", "age": "61"}, {"diagnostic": "MEL", "itch": "no"}
    features = [feature.name for feature in PAD_UFES_20.spec.features]
    lacking = ["patient_id", *(name for name in features if name not in ("itch", "age"))]
    root = write_pad(*rows, lacking=lacking)
    table = PAD_UFES_20.read(root, labelled=False, needed=["itch", "age"])
    assert table.cases["itch"].to_list() == ["True", "False"]
    assert table.cases["diagnosis"].to_list() == [None, "MEL"]
    assert table.cases["smoke"].to_list() == [None, None]
    assert table.cases.schema["diameter_1"] == pl.Float64
    with pytest.raises(DataError, match="lacks the column smoke"):
        PAD_UFES_20.read(root, labelled=False, needed=["itch", "smoke"])
    with pytest.raises(DataError, match="unknown class pending"):
        PAD_UFES_20.read(write_pad(*rows), labelled=True)


def test_photographs_without_a_table(save_image: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Expected the file .*metadata\.csv"):
        PAD_UFES_20.read(tmp_path, labelled=False)
    paths = [save_image(tmp_path / name) for name in ("a/IMG_1.png", "b/IMG_1.png", "c.webp")]
    table = PAD_UFES_20.read(tmp_path, labelled=False)
    assert table.cases["case_id"].to_list() == ["c.webp", "a/IMG_1.png", "b/IMG_1.png"]
    assert table.cases["image"].to_list() == [str(paths[2]), str(paths[0]), str(paths[1])]
    names = [feature.name for feature in PAD_UFES_20.spec.features]
    assert table.cases.select(pl.col(names).null_count()).row(0) == (3,) * len(names)
    (note,) = table.notes
    assert f"{tmp_path / 'metadata.csv'} is not there: the 3 images below" in note
    with pytest.raises(DataError, match=r"Expected the file .*metadata\.csv"):
        PAD_UFES_20.read(tmp_path, labelled=True)
