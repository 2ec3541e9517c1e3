"""Tables in every form that people have them in give the same cases."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
import xlsxwriter

from vitatt.data.datasets import DATASETS
from vitatt.data.datasets.table_files import READERS, find_table, read_table
from vitatt.types import DataError

PAD_UFES_20 = DATASETS["pad_ufes_20"]
ISIC_2019 = DATASETS["isic_2019"]

Write = Callable[..., Path]

ROWS = (
    {"background_father": "N\u00c3O-ME-TOQUE", "diameter_1": "6.5"},
    {"diameter_1": "11.0", "age": "", "itch": "True"},
    {"diameter_1": "7.25", "region": 'SAID "NECK; OR, EAR"'},
)


def text_of(rows: list[list[str]], separator: str = ",", decimal: str = ".") -> str:
    """Rows as text; numbers with another decimal sign."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    for row in rows:
        numbers = {value for value in row if value.replace(".", "", 1).isdigit()}
        writer.writerow([v.replace(".", decimal) if v in numbers else v for v in row])
    return text.getvalue()


def excel(rows: list[list[str]], folder: Path, sheets: int = 1) -> None:
    with xlsxwriter.Workbook(folder / "metadata.xlsx", {"strings_to_numbers": True}) as book:
        for number in range(sheets):
            sheet = book.add_worksheet(f"cases {number}")
            for place, row in enumerate(rows[: len(rows) if number == 0 else 1]):
                sheet.write_row(place, 0, row)


def parquet(rows: list[list[str]], folder: Path) -> None:
    frame = pl.read_csv(text_of(rows).encode())
    assert frame.schema["itch"] == pl.Boolean
    assert frame.schema["diameter_1"] == pl.Float64
    frame.write_parquet(folder / "metadata.parquet")


class Text(NamedTuple):
    """A way to write the rows as text."""

    name: str = "metadata.csv"
    separator: str = ","
    decimal: str = "."
    before: str = ""
    after: str = ""
    encoding: str = "utf-8"

    def __call__(self, rows: list[list[str]], folder: Path) -> None:
        text = self.before + text_of(rows, self.separator, self.decimal) + self.after
        (folder / self.name).write_text(text, encoding=self.encoding, newline="")


SEMICOLONS = "metadata.csv was read as columns separated by semicolons."
UTF_16 = "metadata.csv was read as UTF-16 text."
FORMS: dict[str, tuple[Callable[[list[list[str]], Path], None], str]] = {
    "semicolons, decimal commas": (Text(separator=";", decimal=","), SEMICOLONS),
    "a line for Excel": (Text(separator=";", before="sep=;\n"), SEMICOLONS),
    "tabs": (
        Text("metadata.tsv", "\t"),
        "metadata.tsv was read as columns separated by tabs.",
    ),
    "vertical bars": (
        Text("metadata.txt", "|"),
        "metadata.txt was read as columns separated by vertical bars.",
    ),
    "UTF-16": (Text(encoding="utf-16"), UTF_16),
    "UTF-16, low byte first": (Text(encoding="utf-16-le"), UTF_16),
    "UTF-16, high byte first": (Text(encoding="utf-16-be"), UTF_16),
    "UTF-16 of Excel": (
        Text(encoding="utf-16", separator="\t"),
        "metadata.csv was read as UTF-16 text with columns separated by tabs.",
    ),
    "Windows-1252": (
        Text(encoding="cp1252"),
        "metadata.csv was read as Windows-1252 text, as it is no UTF-8 (check letters with "
        "accents, or save it as UTF-8).",
    ),
    "empty last lines": (Text(after="\n\n" + "," * 25 + "\n\n"), ""),
    "Excel": (excel, ""),
    "Excel with two sheets": (
        partial(excel, sheets=2),
        "metadata.xlsx has 2 sheets; the first, 'cases 0', is read.",
    ),
    "Parquet": (parquet, ""),
}


@pytest.mark.parametrize(("write", "note"), FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_cases(write, note, write_pad: Write) -> None:
    root = write_pad(*ROWS)
    path = root / "metadata.csv"
    plain = PAD_UFES_20.read(root, labelled=True)
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    path.unlink()
    write(rows, root)
    found = PAD_UFES_20.read(root, labelled=True)
    assert found.cases.equals(plain.cases)
    assert [one for one in found.notes if one not in plain.notes] == ([note] if note else [])


def test_of_the_ground_truth_too(write_isic: Write) -> None:
    root = write_isic({}, {"image": "ISIC_2"})
    plain = ISIC_2019.read(root, labelled=True).cases
    for path in root.glob("*.csv"):
        frame = pl.read_csv(path, infer_schema=False)
        frame.write_parquet(path.with_suffix(".parquet"))
        path.unlink()
    assert ISIC_2019.read(root, labelled=True).cases.equals(plain)


def test_lines_of_other_forms_are_counted(write_pad: Write) -> None:
    root = write_pad({}, {"age": "old"})
    path = root / "metadata.csv"
    path.write_text("sep=;\n" + path.read_text().replace(",", ";"), encoding="utf-16")
    with pytest.raises(DataError, match=r"metadata\.csv, line 4, to hold numbers"):
        PAD_UFES_20.read(root, labelled=True)


def test_rows_of_files_without_lines_are_counted(write_pad: Write) -> None:
    root = write_pad({}, {"age": "old"})
    path = root / "metadata.csv"
    pl.read_csv(path, infer_schema=False).write_parquet(root / "metadata.parquet")
    path.unlink()
    with pytest.raises(DataError, match=r"metadata\.parquet, row 2, to hold numbers"):
        PAD_UFES_20.read(root, labelled=True)


@pytest.mark.parametrize("other", [None, "4.5"])
def test_a_comma_that_may_be_either_is_refused(other: str | None, write_pad: Write) -> None:
    values = ["1,234", "12", *([other] if other else [])]
    root = write_pad(*({"diameter_1": value} for value in values))
    with pytest.raises(DataError, match="has '1,234', whose comma may separate decimals or thous"):
        PAD_UFES_20.read(root, labelled=True)


def test_a_comma_that_another_value_explains(write_pad: Write) -> None:
    root = write_pad({"diameter_1": "1,234"}, {"diameter_1": "1,5"})
    found = PAD_UFES_20.read(root, labelled=True).cases["diameter_1"]
    assert found.to_list() == [1.234, 1.5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04...", r"it is an Excel file or another zip archive: name it \.xlsx"),
        (b"\xd0\xcf\x11\xe0...", r"it is an old Excel file: save it as \.xlsx or CSV"),
        (b"PAR1...", r"it is a Parquet file: name it \.parquet"),
        (b"\x1f\x8b...", "it is a compressed file: unpack it"),
        (b"%PDF-1.7", "it is a PDF file"),
        (b"\xff\xd8\xff\xe0", "it is a JPEG image"),
        (b"a,b\n1,\x02\n", "line 2 has characters that are no text"),
        (b"a,b\n1,\x81\xff\n", r"line 2 is no UTF-8 text\. Save it as UTF-8"),
        (b"\xff\xfea", r"line 1 is no UTF-16 text"),
    ],
)
def test_what_is_no_text_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"metadata\.csv cannot be read as a CSV file: {message}"):
        PAD_UFES_20.read(tmp_path, labelled=True)


@pytest.mark.parametrize("ending", [".xlsx", ".parquet"])
def test_damaged_files(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"metadata{ending}").write_bytes(b"nothing")
    with pytest.raises(DataError, match=rf"metadata\{ending} cannot be read as a"):
        PAD_UFES_20.read(tmp_path, labelled=True)


def test_a_path_without_a_name_is_no_table() -> None:
    assert find_table(Path("/")) == Path("/")


def test_two_tables_are_refused(tmp_path: Path) -> None:
    for name in ("metadata.tsv", "metadata.xlsx"):
        (tmp_path / name).touch()
    message = (
        r"one table in place of .*metadata\.csv, but there are metadata\.tsv and metadata\.xlsx"
    )
    with pytest.raises(DataError, match=message):
        PAD_UFES_20.read(tmp_path, labelled=True)


def test_excel_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "metadata.xlsx").touch()
    with pytest.raises(DataError, match=r"needs a package: pip install 'vitatt\[excel\]'"):
        PAD_UFES_20.read(tmp_path, labelled=True)


def test_other_endings_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"its name ends in '\.json'\. Known are \.csv, \.tsv"):
        read_table(tmp_path / "cases.json")
    assert list(READERS)[:2] == [".csv", ".tsv"]


def test_an_excel_column_twice(tmp_path: Path) -> None:
    excel([["a", "b", "a"], ["1", "2", "3"]], tmp_path)
    with pytest.raises(DataError, match=r"metadata\.xlsx has the column a twice"):
        read_table(tmp_path / "metadata.xlsx")


def test_a_title_above_an_excel_table(tmp_path: Path) -> None:
    excel([["My clinic", ""], ["a", "b"], ["1", "2"]], tmp_path)
    with pytest.raises(DataError, match=r"the first row of .* to name every column, but got \['My"):
        read_table(tmp_path / "metadata.xlsx")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n3\n", "line 3 has 1 value for 2 columns"),
        (b"a,b\n1,2\n\n3,4,5\n", "line 4 has 3 values for 2 columns"),
        (b"size (mm, cm);b\n1;2\n", "line 2 has 1 value for 2 columns separated by commas"),
        (b'a,b\n1,2\n5" lens,2\n', "line 3 has a quotation mark within a value. Put the value"),
        (b"a" * 200_000 + b",b\n1,2\n", "its first line is no header"),
    ],
)
def test_rows_of_another_width_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"t\.csv cannot be read as a CSV file: {message}"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "content", "columns", "row"),
    [
        ("t.csv", b"x_duplicated_1,b\n1,2\n", ["x_duplicated_1", "b"], ("1", "2")),
        ("t.csv", b"a,b\r1,2\r", ["a", "b"], ("1", "2")),
        ("t.tsv", b"a,x;y\tb\n1\t2\n", ["a,x;y", "b"], ("1", "2")),
        ("t.csv", b"a,b,,\n1,2,,\n", ["a", "b"], ("1", "2")),
        ("t.csv", b",a\n0,1\n", ["", "a"], ("0", "1")),
        ("t.csv", b'a,b\n5"" ,"x ""y"" z"\n', ["a", "b"], ('5"" ', 'x "y" z')),
    ],
)
def test_odd_files(
    name: str, content: bytes, columns: list[str], row: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    frame = read_table(tmp_path / name).frame
    assert frame.columns == columns
    assert frame.rows() == [row]


@pytest.mark.parametrize(
    ("rows", "names"),
    [([["a", "", " "], ["1", "", " "]], ["a"]), ([["", "a"], ["0", "1"]], ["", "a"])],
)
def test_excel_columns_without_a_name(
    rows: list[list[str]], names: list[str], tmp_path: Path
) -> None:
    excel(rows, tmp_path)
    assert read_table(tmp_path / "metadata.xlsx").frame.columns == names


def test_values_beside_the_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b,,\n1,2,,note\n")
    with pytest.raises(DataError, match=r"t\.csv to name every column, but got \['a', 'b', ''\]"):
        read_table(tmp_path / "t.csv")


def test_one_zero_byte_is_no_other_encoding(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,\x00\n")
    with pytest.raises(DataError, match="line 2 has characters that are no text"):
        read_table(tmp_path / "t.csv")


def test_a_table_by_another_name_is_not_left_out(write_pad: Write) -> None:
    root = write_pad({})
    (root / "PAT_1_11_0.png").touch()
    (root / "metadata.csv").rename(root / "new_metadata.csv")
    with pytest.raises(DataError, match=r"metadata\.csv is not there, but new_metadata\.csv is"):
        PAD_UFES_20.read(root, labelled=False)
