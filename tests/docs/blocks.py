"""Code blocks of README and docs, read from the Markdown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vitatt.cli import OWN

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md"))]

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>.*)$")


class Block(NamedTuple):
    """A fenced block of code.

    Attributes:
        page: Path of the page below the repository.
        line: Of the opening fence, from 1.
        language: Such as ``python``; empty if there is none.
        caption: Of a ``{code-block}``; the path of the file that it shows, else empty.
        text: The code.
    """

    page: str
    line: int
    language: str
    caption: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All code blocks of a page, in order; other directives are left out."""
    return [block for block in _fenced(page) if block.language]


def blocks_of(language: str) -> list[Block]:
    """The blocks in a language, of all pages."""
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell block, without comments; continued lines are one."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def command_of(words: list[str]) -> str:
    """The name of the command of `vitatt` in a line without ``vitatt``, of one word or two."""
    both = " ".join(words[:2])
    return both if both in OWN else words[0]


def _fenced(page: Path) -> Iterator[Block]:
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        if not (opening := _FENCE.match(line)):
            continue
        indent, ticks = len(opening["indent"]), opening["ticks"]
        body: list[str] = []
        for _, inner in lines:
            if inner.strip() == ticks:
                break
            body.append(inner[indent:])
        else:
            raise ValueError(f"{page}:{number} opens a block that nothing closes.")
        yield _block(page, number, opening["info"].strip(), body)


def _block(page: Path, line: int, info: str, body: list[str]) -> Block:
    place, caption, language = str(page.relative_to(ROOT)), "", info
    if directive := re.match(r"\{(code-block|code-cell)\} *(.*)", info):
        language = {"ipython3": "python"}.get(directive[2], directive[2])
        while body and (option := re.match(r":(\w+): *(.*)", body[0])):
            caption = option[2] if option[1] == "caption" else caption
            body = body[1:]
        while body and not body[0].strip():
            body = body[1:]
    elif info.startswith("{"):
        language = ""
    return Block(place, line, language, caption, "\n".join(body) + "\n")
