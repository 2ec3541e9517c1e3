"""Download a collection of the ISIC archive, by its own command ``isic``."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from vitatt.data.datasets.publications import COLLECTIONS
from vitatt.data.datasets.table_files import read_table
from vitatt.data.download.fetch import Say
from vitatt.data.download.record import Entry, Record
from vitatt.types import DataError, UsageError


def check_collections(collections: str) -> None:
    """Check the numbers of collections, as in ``251`` or ``249,251``.

    Raises:
        UsageError: If there are none, or they are no numbers.
    """
    if not re.fullmatch(r"\d+(,\d+)*", collections):
        known = ", ".join(f"{number} {title}" for number, title in COLLECTIONS.items())
        raise UsageError(
            "Expected the number of a collection of the ISIC archive, as in isic_archive:251, but "
            f"got {f'isic_archive:{collections}' if collections else 'none'}. Some are: {known}; "
            "`isic collection list` shows all."
        )


def download_collection(collections: str, folder: Path, say: Say) -> None:
    """Fetch the images and the table of collections; images that are there are not fetched again.

    The command ends well even if images failed, so they are counted afterwards.

    Args:
        collections: Their numbers, separated by commas.
        folder: Where to; exists.
        say: Prints a line for the user.

    Raises:
        DataError: If the command is not installed or fails, images are absent afterwards, or the
            folder has another collection or a table of the user. Running it again goes on.
    """
    record = Record(folder, f"isic_archive:{collections}")
    table = folder / "metadata.csv"
    if record.has(table.name, table, folder) and not _absent(table):
        say(f"{folder} has all of collection {collections} already: nothing to do.")
        return
    known = record.entries.get(table.name)
    if table.exists() and (known is None or table.stat().st_size != known.size):
        raise DataError(
            f"{table} is not as an earlier `vitatt download` left it, and `isic` would overwrite "
            "it. Move it away, and run the command again."
        )
    words = [_command(), "image", "download", "--collections", collections]
    status = subprocess.run([*words, str(folder.absolute())], check=False).returncode
    if table.is_file():  # at once: the next call knows then that it is no file of the user
        record.add(table.name, Entry(table.stat().st_size, "", None))
    again = "What is there is kept: the same command goes on."
    if status:
        raise DataError(
            f"`isic image download --collections {collections}` ended with status {status}; it "
            f"says why above. {again}"
        )
    if not table.is_file():
        raise DataError(f"`isic` wrote no {table}: it was cancelled, or is too old. {again}")
    if absent := _absent(table):
        raise DataError(
            f"{len(absent):,} images of {table} were not fetched, the first being {absent[0]}. "
            f"{again}"
        )
    say(f"{read_table(table).frame.height:,} images and {table}")


def _command() -> str:
    """The path of the command: on PATH, or installed beside this Python.

    Raises:
        DataError: If it is not installed.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which("isic") or shutil.which("isic", path=beside)
    if found is None:
        raise DataError("The command `isic` is not installed: pip install 'vitatt[isic]'.")
    return found


def _absent(table: Path) -> list[str]:
    """Images in the table that have no file, or an empty one.

    Raises:
        DataError: If the table cannot be read, or names no images.
    """
    there = {
        path.stem
        for path in table.parent.iterdir()
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".tif", ".tiff") and path.stat().st_size
    }
    frame = read_table(table).frame
    if "isic_id" not in frame.columns:
        raise DataError(
            f"{table} has no column isic_id: it is no table of the ISIC archive. Move it away, and "
            "run the command again."
        )
    return [name for name in frame["isic_id"] if name not in there]
