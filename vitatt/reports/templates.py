"""Jinja templates of the reports: pages in HTML, prose in plain text, model cards in Markdown."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import jinja2

from vitatt.plotting.shares import format_percent
from vitatt.reports.addresses import png_address

_PLAIN = ("txt.jinja", "md.jinja")


@functools.cache
def environment() -> jinja2.Environment:
    """Templates of this package by their path; all but plain text and Markdown are escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("vitatt.reports", "."),
        autoescape=jinja2.select_autoescape((), disabled_extensions=_PLAIN, default=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "literal": lambda value: json.dumps(value, ensure_ascii=False),
        "markdown_cell": lambda text: text.replace("|", "\\|").replace("<", "&lt;"),
        "percent": format_percent,
        "png_address": png_address,
        "thousands": "{:,}".format,
        "unbroken": lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%"),
    }
    return made


def paragraphs(template: str, *, block: str | None = None, **values: Any) -> list[str]:
    """Paragraphs of a template of plain text, each on one line.

    Blank lines separate paragraphs; line breaks within a paragraph become spaces.

    Args:
        template: Path in this package.
        block: Only this block of the template.
        **values: Variables of the template.
    """
    found = environment().get_template(template)
    render = found.root_render_func if block is None else found.blocks[block]
    text = "".join(render(found.new_context(values)))
    # Not `str.split`, which splits at no-break spaces too.
    joined = (re.sub(r"[ \n]+", " ", part).strip(" ") for part in re.split(r"\n[ \n]*\n", text))
    return [part for part in joined if part]
