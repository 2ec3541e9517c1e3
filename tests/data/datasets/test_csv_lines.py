"""Lines of rows, also where rows are longer than a line."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from vitatt.data.datasets.csv_lines import first_line, line_of, unreadable_line
from vitatt.data.datasets.table_text import read_table_text

CONTENTS = {
    "plain": b"a,b\n1,x\n2,y\n",
    "line breaks in quotes": b'a,b\n1,"x\ny\n"\n2,y\n3,""\n',
    "blank lines": b"a,b\n\n1,x\n\n\n2,y\n\n",
    "blank lines before": b"\n\na,b\n1,x\n",
    "carriage returns and mark": b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n\r\n2,y\r\n',
    "no last line break": b"a,b\n1,x\n2,y",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_is_where_the_row_begins(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    lines = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    frame = pl.read_csv(path, infer_schema=False)
    for row, value in enumerate(frame["a"]):
        number = int(line_of(path, row).removeprefix("line "))
        if value is not None:
            assert lines[number - 1].startswith(f"{value},".encode())
        else:
            assert lines[number - 1] == b""


def test_of_the_first_wrong_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(CONTENTS["line breaks in quotes"])
    assert first_line(path, pl.Series([False, True, True])) == "line 5"
    assert first_line(path, pl.Series([None, False, True])) == "line 6"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,b\n1,2\n3,4,5\n", "line 3 has 3 values for 2 columns separated by commas"),
        (b'a,b\n"1\n",2\n3,4,5\n', "line 4 has 3 values for 2 columns separated by commas"),
        (b"a,b\n1,caf\xe9\n", ""),
        (b"sep=;\na;b\n1;2\n3;4;5\n", "line 4 has 3 values for 2 columns separated by semicolons"),
        (b"a,b\n1,2\n", ""),
        (b"", ""),
    ],
)
def test_of_what_cannot_be_read(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    assert unreadable_line(read_table_text(tmp_path / "x.csv")) == expected
