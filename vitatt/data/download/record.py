"""What a folder has of a download, so that a second call does nothing that is done."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from vitatt.files import write_text
from vitatt.reading import read_json
from vitatt.types import DataError

RECORD = ".vitatt-download.json"
"""Name of the record in the folder of a download."""


class Entry(NamedTuple):
    """A file that was fetched, compared and, if it is an archive, unpacked.

    Attributes:
        size: In bytes.
        sha256: Of its content.
        unpacked: Files of the archive in its folder; None if it is none.
    """

    size: int
    sha256: str
    unpacked: int | None = None


class Record:
    """The record of a folder.

    Attributes:
        entries: Files that are complete, by name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Read it, or begin one.

        Args:
            folder: The folder of the download.
            name: Of the dataset.

        Raises:
            DataError: If the folder has another dataset, or the record was changed by hand.
        """
        self._path = folder / RECORD
        self._name = name
        self.entries: dict[str, Entry] = {}
        if not self._path.is_file():
            return
        content = read_json(self._path)
        if content.get("dataset") != name:
            raise DataError(
                f"{folder} has the download of {content.get('dataset')}, not of {name}: two "
                "datasets in a folder would mix. Name another one."
            )
        try:
            self.entries = {key: Entry(**entry) for key, entry in content["files"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{self._path} was changed by hand. Remove it.") from error

    def has(self, name: str, path: Path, unpacked: Path) -> bool:
        """Whether a file was complete, and still is: itself, or what was unpacked from it.

        Args:
            name: Of the file.
            path: Where it is.
            unpacked: Where it is unpacked to, if it is an archive.
        """
        entry = self.entries.get(name)
        if entry is None:
            return False
        if entry.unpacked is not None:
            return count_files(unpacked) >= entry.unpacked
        return path.is_file() and path.stat().st_size == entry.size

    def add(self, name: str, entry: Entry) -> None:
        """Write down that a file is complete."""
        self.entries[name] = entry
        files = {key: value._asdict() for key, value in self.entries.items()}
        write_text(json.dumps({"dataset": self._name, "files": files}, indent=1), self._path)


def count_files(folder: Path) -> int:
    """Number of files in a folder and below, without hidden ones; 0 if it does not exist."""
    return sum(not name.startswith(".") for _, _, names in os.walk(folder) for name in names)
