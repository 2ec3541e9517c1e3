"""The command `vitatt datasets`."""

from __future__ import annotations

import textwrap

from vitatt.data.datasets.publications import COLLECTIONS, PUBLICATIONS, Publication

_WIDTH = 92


def datasets() -> int:
    """List the published datasets that can be read, and how to get them.

    Returns:
        0.
    """
    for publication in PUBLICATIONS.values():
        print("\n".join(lines_of(publication)))
        if publication.by_hand:
            print(_row("by hand", publication.by_hand))
        print()
    known = ", ".join(f"{number} {title}" for number, title in COLLECTIONS.items())
    print(_wrapped(f"Collections of the ISIC archive: {known}."))
    print("To get one:  vitatt download NAME DIR  or  vitatt download isic_archive:251 DIR")
    return 0


def lines_of(publication: Publication) -> list[str]:
    """What is known of a publication, in a few lines of text."""
    images = "number not known" if publication.images is None else f"{publication.images:,}"
    size = "not known" if publication.size is None else f"{publication.size:.3g} GB"
    return [
        f"{publication.name:14}{publication.title}",
        _row("images", f"{images}; size {size}; licence {publication.licence or 'not known'}"),
        _row("groups", publication.group),
        _row("leaks", ", ".join(publication.leaks)),
        _row("address", publication.address),
    ]


def _row(name: str, text: str) -> str:
    return _wrapped(text, f"    {name:10}", " " * 14)


def _wrapped(text: str, first: str = "", rest: str = "") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
