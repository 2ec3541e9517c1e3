"""Pages of sections, in one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from vitatt.files import write_text
from vitatt.reports.gallery import Gallery
from vitatt.reports.section import Section, check_sections
from vitatt.reports.templates import environment


def write_page(
    path: Path,
    *,
    title: str,
    subtitle: str,
    facts: Mapping[str, str],
    sections: Sequence[Section],
    gallery: Gallery | None = None,
    columns: bool = True,
) -> None:
    """Write a page; an earlier one stays until the new one is complete.

    Args:
        path: The HTML file; its folder is made if it is missing.
        title: Heading of the page.
        subtitle: Below it.
        facts: Short values by name, shown below the heading.
        sections: The content.
        gallery: Cases below the sections.
        columns: Whether sections above a gallery stand in two columns on wide screens.

    Raises:
        ValueError: If there is nothing to show, a table or plot is malformed, or two sections have
            one heading.
    """
    if not sections and gallery is None:
        raise ValueError("Expected argument `sections` to hold at least one section, but got none")
    check_sections(sections, reserved=() if gallery is None else (Gallery.ANCHOR,))
    script = _asset("page.js")
    html = (
        environment()
        .get_template("page.html.jinja")
        .render(
            title=title,
            subtitle=subtitle,
            facts=facts,
            sections=sections,
            gallery=gallery,
            columns=columns and gallery is not None,
            style=_asset("page.css"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    write_text(html, path)


def is_page(path: Path) -> bool:
    """Whether a file is a page of `write_page`, which may be overwritten."""
    try:
        with path.open("rb") as file:
            head = file.read(2048)
    except OSError:
        return False
    return _MARK in head or _BEFORE_THE_MARK.match(head) is not None


_MARK = b'<meta name="generator" content="vitatt">'
# Beginning of pages of earlier versions, which had no mark.
_BEFORE_THE_MARK = re.compile(
    rb"\s*<!doctype html>.*<title>(Benchmark|Test run): [^<]+</title>\s*"
    rb'<link rel="icon" href="data:,">',
    re.DOTALL | re.IGNORECASE,
)


def _asset(name: str) -> str:
    return resources.files("vitatt.reports").joinpath(name).read_text(encoding="utf-8")
