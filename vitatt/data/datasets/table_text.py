"""Text of a table in a file: its encoding, and what separates the columns."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import NamedTuple

from vitatt.types import DataError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CONTENTS = {
    b"PK\x03\x04": "an Excel file or another zip archive: name it .xlsx if it is one",
    b"\xd0\xcf\x11\xe0": "an old Excel file: save it as .xlsx or CSV",
    b"PAR1": "a Parquet file: name it .parquet",
    b"\x1f\x8b": "a compressed file: unpack it",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF file: export the table from its source as CSV",
}


class TableText(NamedTuple):
    """A table as text.

    Attributes:
        text: From the header on.
        encoding: Python's name of the encoding that was found.
        separator: What stands between two columns.
        skipped: Lines before the header, which name the separator.
    """

    text: str
    encoding: str
    separator: str
    skipped: int

    @property
    def notes(self) -> list[str]:
        """What is unusual in the file, as parts of a sentence."""
        found = []
        if self.encoding == "cp1252":
            found.append(
                "Windows-1252 text, as it is no UTF-8 (check letters with accents, or save it as "
                "UTF-8)"
            )
        elif self.encoding.startswith("utf-16"):
            found.append("UTF-16 text")
        if self.separator != ",":
            found.append(f"columns separated by {SEPARATORS[self.separator]}")
        return found


def read_table_text(path: Path) -> TableText:
    """Read a file of comma-separated values, whatever its encoding and separator.

    The encoding is that of the byte-order mark, else UTF-8 or, where that is not possible, UTF-16
    or Windows-1252. The separator is the one that is most frequent in the header; a first line
    ``sep=;``, which Excel reads and writes, decides.

    Raises:
        DataError: If the file cannot be read, or holds something else than text.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    for begin, content in _CONTENTS.items():
        if raw.startswith(begin):
            raise DataError(f"{path} cannot be read as a CSV file: it is {content}.")
    text, encoding = _decoded(raw, path)
    if "\n" not in text:
        text = text.replace("\r", "\n")  # line ends of old Macs
    if strange := re.search(r"[\x00-\x08\x0e-\x1f]", text):
        line = text.count("\n", 0, strange.start()) + 1
        raise DataError(
            f"{path} cannot be read as a CSV file: line {line} has characters that are no text."
        )
    stated = re.match(r"sep=(.)\r?\n", text)
    if stated and stated[1] in SEPARATORS:
        return TableText(text[stated.end() :], encoding, stated[1], skipped=1)
    header = re.sub(r'"[^"]*"', "", next(iter(text.lstrip().splitlines()), ""))
    separator = max(SEPARATORS, key=header.count)
    if path.suffix.lower() == ".tsv" and "\t" in header:
        separator = "\t"
    return TableText(text, encoding, separator, skipped=0)


def _decoded(raw: bytes, path: Path) -> tuple[str, str]:
    """The text, and its encoding: of the mark, else that of these which fits."""
    sample = raw[:4096]
    candidates = ["utf-8", "cp1252"]
    for mark, encoding in _MARKS.items():
        if raw.startswith(mark):
            candidates = [encoding]
    zeros = sample.count(0) > len(sample) // 4  # Latin letters have a zero byte in UTF-16
    if zeros and candidates[0] == "utf-8":
        little = sample[1::2].count(0) > sample[::2].count(0)
        candidates = ["utf-16-le" if little else "utf-16-be"]
    reason = ""
    for encoding in candidates:
        try:
            return raw.decode(encoding), encoding
        except UnicodeDecodeError as error:
            line = raw[: error.start].count(b"\n") + 1
            reason = reason or f"line {line} is no {encoding.upper().removesuffix('-SIG')} text"
    raise DataError(f"{path} cannot be read as a CSV file: {reason}. Save it as UTF-8.")
