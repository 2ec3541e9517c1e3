"""Sections of a page: text, tables and plots."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Interval
from vitatt.plotting.heatmap import check_image
from vitatt.reports.cells import Cell, cell


@dataclass(frozen=True)
class Column:
    """Heading of a column.

    Attributes:
        title: Name of its values.
        note: Below the title: number of cases, unit.
        number: Whether its cells are numbers, aligned and sorted as such.
    """

    title: str
    note: str = ""
    number: bool = True


@dataclass(frozen=True)
class Table:
    """A table that readers can sort by each column.

    Attributes:
        title: Its caption; not repeated if it is that of the section.
        columns: Headings.
        rows: Cells, as many in each row as there are columns; the first cell heads its row.
        highlighted: Indices of highlighted rows.
        folded: Whether it is hidden until the reader opens it.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    highlighted: Collection[int] = frozenset()
    folded: bool = False


@dataclass(frozen=True, eq=False)
class Plot:
    """A drawn figure.

    Attributes:
        pixels: (H, W, 3) uint8, RGB.
        alt: Description for those who cannot see it.
        caption: Below it.
        width: Width on the page in pixels, if there is room; by default half of the drawn width,
            for sharp screens.
    """

    pixels: NDArray[np.uint8]
    alt: str
    caption: str = ""
    width: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height on the page, in pixels."""
        height, width = self.pixels.shape[:2]
        shown = width // 2 if self.width is None else self.width
        return shown, round(shown * height / width)


@dataclass(frozen=True)
class Section:
    """A heading with text, tables and plots below it, in this order.

    Attributes:
        title: Heading.
        paragraphs: Plain text.
        points: A list.
        code: A command.
        tables: Each in a box of its own that scrolls.
        plots: Beside each other where there is room.
        plots_first: Whether the plots stand above the tables.
        strong: Whether the section is emphasised.
    """

    title: str
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()
    code: str = ""
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    plots_first: bool = False
    strong: bool = False

    @property
    def anchor(self) -> str:
        """Id of the section on its page."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def plain_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell | Interval | str | float | None]],
    *,
    folded: bool = False,
) -> Table:
    """A table of plain values; columns in which any value is a number are columns of numbers.

    Args:
        title: Its caption.
        columns: Headings.
        rows: Values, as many in each row as there are columns.
        folded: Whether it is hidden until the reader opens it.
    """
    cells = [[cell(value) for value in row] for row in rows]
    heads = [
        Column(name, number=any(row[n].value is not None for row in cells if n < len(row)))
        for n, name in enumerate(columns)
    ]
    return Table(title, heads, cells, folded=folded)


def check_sections(sections: Sequence[Section], reserved: Collection[str] = ()) -> None:
    """Check sections before they are written.

    Args:
        sections: Of one page.
        reserved: Ids of other elements of the page.

    Raises:
        ValueError: If a table or plot is malformed, or two sections have the same anchor.
    """
    anchors = [*reserved, *(section.anchor for section in sections)]
    if len(set(anchors)) < len(anchors):
        raise ValueError(f"Expected sections with different headings, but got {anchors}")
    for section in sections:
        for table in section.tables:
            _check_table(table)
        for plot in section.plots:
            check_image(plot.pixels, "pixels")
            if not plot.alt:
                raise ValueError(
                    f"Expected `alt` to describe each plot of '{section.title}', but it is empty"
                )


def _check_table(table: Table) -> None:
    for row in table.rows:
        if len(row) != len(table.columns):
            raise ValueError(
                f"Expected {len(table.columns)} cells in each row of the table "
                f"'{table.title}', but got {len(row)}: {[cell.text for cell in row]}"
            )
