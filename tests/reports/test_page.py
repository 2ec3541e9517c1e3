from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pages import Page
from vitatt.evaluation.bootstrap import Interval
from vitatt.reports.cells import Cell, cell, count, interval, number, p_value, p_words
from vitatt.reports.page import write_page
from vitatt.reports.section import Column, Plot, Section, Table, plain_table

BLACK = np.zeros((4, 6, 3), dtype=np.uint8)


def write(path: Path, *sections: Section) -> str:
    write_page(path, title="T", subtitle="s", facts={"n": "3"}, sections=sections)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("cell", "text", "value"),
    [
        (number(-0.12345), "−0.123", -0.12345),
        (number(2298, 0), "2,298", 2298),
        (number(-0.0001), "0.000", -0.0001),
        (number(-0.4, 0), "0", -0.4),
        (number(None), "–", None),
        (number(float("nan")), "–", None),
        (p_value(0.0004), "< 0.001", 0.0004),
        (p_value(0.25), "0.250", 0.25),
        (p_value(None), "–", None),
        (interval(None, None, None), "–", None),
    ],
)
def test_cells(cell: Cell, text: str, value: float | None) -> None:
    assert (cell.text, cell.value) == (text, value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("words", Cell("words")),
        (0.71234, Cell("0.712", 0.71234)),
        (166, Cell("166", 166)),
        (None, Cell("–")),
        (float("nan"), Cell("–")),
        (np.float32(0.5), Cell("0.500", 0.5)),
        (Interval(0.5, 0.25, 0.75), Cell("0.500", 0.5, "[0.250, 0.750]")),
        (Interval(float("nan"), 0, 1), Cell("–")),
        (Cell("a", 1, "b"), Cell("a", 1, "b")),
    ],
)
def test_cells_of_plain_values(value: object, expected: Cell) -> None:
    assert cell(value) == expected  # type: ignore[arg-type]


def test_columns_are_numbers_if_any_cell_is() -> None:
    table = plain_table("t", ["name", "x", "y"], [["a", None, "1 %"], ["b", 2.0, "2 %"]])
    assert [column.number for column in table.columns] == [False, True, False]
    assert [cell.sort_key(number=True) for row in table.rows for cell in row[1:2]] == ["", "2.0"]
    assert Cell("–").sort_key(number=False) == ""
    assert Cell("a").sort_key(number=False) == "a"


def test_words() -> None:
    assert [p_words(p) for p in (0.25, 0.0004, None)] == ["p = 0.250", "p < 0.001", "p = –"]
    assert interval(0.5, -0.25, 1).note == "[−0.250, 1.000]"
    assert count(1234) == "n\u00a0=\u00a01,234"


def test_page_sorts_by_the_full_value(tmp_path: Path) -> None:
    table = Table(
        "A", [Column("name", number=False), Column("x", "unit")], [[Cell("b"), number(1 / 3)]]
    )
    html = write(tmp_path / "new" / "page.html", Section("One", tables=[table]))
    assert f'data-value="{1 / 3}"' in html
    assert 'data-value="b"' in html
    assert Page(html).rows == [["name", "xunit"], ["b", "0.333"]]
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ([Section("A", tables=[Table("t", [Column("a")], [[Cell("1"), Cell("2")]])])], "1 cells"),
        ([Section("A"), Section("a!")], "different headings"),
        ([Section("A", plots=[Plot(BLACK, "")])], "`alt`"),
        ([Section("A", plots=[Plot(np.zeros((4, 4)), "x")])], "`pixels`"),  # type: ignore[arg-type]
        ([], "at least one section"),
    ],
)
def test_malformed_page_is_refused(tmp_path: Path, sections: list[Section], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "page.html", *sections)
    assert list(tmp_path.iterdir()) == []
