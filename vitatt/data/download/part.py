"""The beginning of a file that is being fetched, and what the server said of the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from vitatt.files import write_text
from vitatt.types import DataError


class Part(NamedTuple):
    """The beginning of a file, in ``NAME.part`` with a note in ``NAME.part.json``.

    Attributes:
        target: Where the whole file will be.
        url: Where it is from.
        validator: What shows that the file is still the same, for ``If-Range``: a strong ETag, else
            the time of its last change; empty if the server gave neither.
        total: Length of the whole file in bytes; None if the server did not say it.
    """

    target: Path
    url: str
    validator: str = ""
    total: int | None = None

    @property
    def path(self) -> Path:
        """Where the beginning is."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def have(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def whole(self) -> bool:
        """Whether all bytes are there."""
        return self.total is not None and self.have == self.total

    def note(self) -> None:
        """Write down what the server said: before the first byte, so that it fits what is there."""
        said = {"url": self.url, "validator": self.validator, "total": self.total}
        write_text(json.dumps(said), self._note)

    def discard(self) -> None:
        """Remove the beginning and the note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def become(self, path: Path) -> None:
        """Give the file its name, and remove the note."""
        self.path.replace(path)
        self._note.unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")


def find_part(target: Path, url: str) -> Part:
    """The part as an earlier attempt left it; empty if there was none, or it was from elsewhere.

    Raises:
        DataError: If a file of its name was begun by another program.
    """
    bare = Part(target, url)
    try:
        note = json.loads(bare._note.read_bytes())
    except (OSError, ValueError):
        note = None
    match note:
        case {"url": str(source), "validator": str(validator), "total": int() | None as total}:
            if source == url:
                return Part(target, url, validator, total)
            bare.discard()
        case _ if bare.path.exists():
            raise DataError(
                f"{bare.path} was begun by another program. Let that finish, or move the file "
                "away, and run the command again."
            )
    return bare
