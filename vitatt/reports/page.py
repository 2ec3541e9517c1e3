"""A page of sections with text, tables and plots: one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray

from vitatt.files import write_text
from vitatt.plotting.heatmap import check_image
from vitatt.reports.cells import Cell
from vitatt.reports.explanations.report_case import figure_address


@dataclass(frozen=True)
class Column:
    """The head of a column.

    Attributes:
        title: What its cells are.
        note: Below the title: cases, unit.
        number: Whether its cells are numbers, aligned and sorted as such.
    """

    title: str
    note: str = ""
    number: bool = True


@dataclass(frozen=True)
class Table:
    """A table that readers can sort.

    Attributes:
        title: Its caption.
        columns: Heads.
        rows: Cells, as many in each row as there are columns; the first one heads its row.
        highlighted: Numbers of the rows that stand out.
        folded: Whether it is shown only when asked for.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    highlighted: frozenset[int] = frozenset()
    folded: bool = False


@dataclass(frozen=True, eq=False)
class Plot:
    """A drawn plot.

    Attributes:
        pixels: (H, W, 3) uint8, RGB; shown at most half as wide as it is, for sharp screens.
        alt: What it shows, for those who cannot see it.
        caption: Below it.
    """

    pixels: NDArray[np.uint8]
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, in this order.

    Attributes:
        title: Heading.
        paragraphs: Plain text.
        points: A list.
        code: A command, shown as such.
        tables: Each in a box of its own that scrolls.
        plots: Beside each other where there is room.
        strong: Whether the section stands out.
    """

    title: str
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()
    code: str = ""
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = field(default=())
    strong: bool = False

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def write_page(
    path: Path, *, title: str, subtitle: str, facts: Mapping[str, str], sections: Sequence[Section]
) -> None:
    """Write the page; one that was there stays until the new one is complete.

    Args:
        path: The HTML file; its folder is made where it is missing.
        title: Heading of the page.
        subtitle: Below it.
        facts: Short values by name, shown below the heading.
        sections: The content.

    Raises:
        ValueError: If a table or plot is malformed, or two sections have one heading.
    """
    _check(sections)
    script = _asset("report.js")
    html = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=title,
            subtitle=subtitle,
            facts=facts,
            sections=sections,
            style=_asset("report.css", "vitatt.reports.explanations") + _asset("report.css"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    write_text(html, path)


def is_page(path: Path) -> bool:
    """Whether a file is a page of `write_page`, so that it may be written anew."""
    try:
        with path.open("rb") as file:
            head = file.read(2048)
    except OSError:
        return False
    return _MARK in head or _EARLIER.match(head) is not None


_MARK = b'<meta name="generator" content="vitatt">'
# As they began before they had the mark.
_EARLIER = re.compile(
    rb"\s*<!doctype html>.*<title>(Benchmark|Test run): [^<]+</title>\s*"
    rb'<link rel="icon" href="data:,">',
    re.DOTALL | re.IGNORECASE,
)


def _check(sections: Sequence[Section]) -> None:
    anchors = [section.anchor for section in sections]
    if len(set(anchors)) < len(anchors):
        raise ValueError(f"Expected sections with different headings, but got {anchors}")
    for section in sections:
        for table in section.tables:
            for row in table.rows:
                if len(row) != len(table.columns):
                    raise ValueError(
                        f"Expected {len(table.columns)} cells in each row of the table "
                        f"'{table.title}', but got {len(row)}: {[cell.text for cell in row]}"
                    )
        for plot in section.plots:
            check_image(plot.pixels, "pixels")
            if not plot.alt:
                raise ValueError(f"Expected `alt` of each plot of '{section.title}', but no")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vitatt.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["address"] = figure_address
    return environment


def _asset(name: str, package: str = "vitatt.reports") -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
