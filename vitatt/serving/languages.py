"""Languages of the page: its words, one file each, and the choice among them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources

import yaml

DEFAULT = "en"


@functools.cache
def languages(package: str = "vitatt.serving") -> Mapping[str, Mapping[str, str]]:
    """Return the words of a page by key, of each language by its code.

    Args:
        package: Whose folder ``page/strings`` holds them.
    """
    folder = resources.files(package).joinpath("page", "strings")
    files = sorted(folder.iterdir(), key=lambda one: (one.name != f"{DEFAULT}.yaml", one.name))
    return {
        one.name.removesuffix(".yaml"): yaml.safe_load(one.read_text(encoding="utf-8"))
        for one in files
        if one.name.endswith(".yaml")
    }


def chosen_language(asked: str | None, accepted: str) -> str:
    """Return the code of a language of the page.

    Args:
        asked: What the reader chose by the switch; None if nothing.
        accepted: The header ``Accept-Language``, such as ``de-AT,de;q=0.9,en;q=0.5``.
    """
    known = languages()
    if asked in known:
        return str(asked)
    wanted = []
    for part in accepted.split(","):
        code, _, quality = part.partition(";")
        wanted.append((-_quality(quality), code.strip().lower().partition("-")[0]))
    by_preference = [code for weight, code in sorted(wanted, key=lambda one: one[0]) if weight < 0]
    return next((code for code in by_preference if code in known), DEFAULT)


def _quality(text: str) -> float:
    """The number of ``q=0.9``; 1 for none, 0 for what is no number."""
    value = text.strip().removeprefix("q=")
    try:
        return float(value) if value else 1.0
    except ValueError:
        return 0.0
