"""Compare a fetched file with its known size and digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from vitatt.data.datasets.publications import RemoteFile

_PIECE = 1 << 20


class Verdict(NamedTuple):
    """What the comparison of a file found.

    Attributes:
        size: In bytes.
        sha256: Of the content, in hexadecimal.
        differences: From what is known, as parts of a sentence.
        unknown: What could not be compared.
    """

    size: int
    sha256: str
    differences: tuple[str, ...]
    unknown: tuple[str, ...]


def verify(file: RemoteFile, path: Path) -> Verdict:
    """Read a file, and compare it with what is known of it.

    Args:
        file: What is known.
        path: Where it is.
    """
    kind, _, expected = file.digest.partition(":")
    sums = {name: hashlib.new(name) for name in {"sha256", kind or "sha256"}}
    size = path.stat().st_size
    bar = tqdm(total=size, desc=f"checking {file.name}", unit="B", unit_scale=True, leave=False)
    with path.open("rb") as content, bar:
        while piece := content.read(_PIECE):
            for one in sums.values():
                one.update(piece)
            bar.update(len(piece))
    found = {name: one.hexdigest() for name, one in sums.items()}
    differences, unknown = [], []
    if file.size is None:
        unknown.append("size")
    elif file.size != size:
        differences.append(f"{size:,} bytes instead of {file.size:,}")
    if not expected:
        unknown.append("digest")
    elif found[kind] != expected.lower():
        differences.append(f"{kind} {found[kind]} instead of {expected}")
    return Verdict(size, found["sha256"], tuple(differences), tuple(unknown))
