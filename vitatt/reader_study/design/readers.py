"""Readers of a study: their codes, experience and tokens."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from vitatt.reading import read_csv
from vitatt.types import UsageError
from vitatt.words import did_you_mean

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_COLUMNS = ("code", "experience")
_MOST = 999


class PlannedReader(NamedTuple):
    """A reader by code; `experience` is None if it is asked at the start."""

    code: str
    experience: str | None


def planned_readers(given: str, bands: Sequence[str]) -> list[PlannedReader]:
    """Return the readers of a study.

    Args:
        given: A number of readers, or a CSV file with ``code`` and, if it is known, ``experience``.
        bands: Names of the experience bands.

    Raises:
        UsageError: If it is neither, or a code or band cannot be used.
    """
    if re.fullmatch(r"[+-]?\d+", given):
        if not 1 <= (count := int(given)) <= _MOST:
            raise UsageError(
                f"Expected --readers to be 1 to {_MOST}, or a CSV file, but got {given}."
            )
        return [PlannedReader(f"r{number:02d}", None) for number in range(1, count + 1)]
    path = Path(given).expanduser()
    if not path.is_file():
        raise UsageError(
            f"Expected --readers to be a number, or a CSV file with the columns code and "
            f"experience, but {path} is no file."
        )
    table = read_csv(path, [], {"code": pl.String, "experience": pl.String})
    _check_columns(table.columns, path)
    known = table["experience"].to_list() if "experience" in table.columns else [None] * len(table)
    readers = [
        PlannedReader((code or "").strip(), (band or "").strip() or None)
        for code, band in zip(table["code"].to_list(), known, strict=True)
    ]
    _check(readers, bands, path)
    return readers


def new_tokens(readers: Sequence[PlannedReader]) -> dict[str, str]:
    """Return a secret token for each reader by code, not decided by any seed."""
    return {reader.code: secrets.token_urlsafe(24) for reader in readers}


def _check_columns(found: Sequence[str], path: Path) -> None:
    for name in found:
        if name not in _COLUMNS:
            raise UsageError(
                f"{path}: unknown column '{name}'.{did_you_mean(name, _COLUMNS)} A file of readers "
                "has the columns code and experience, separated by a comma."
            )
    if "code" not in found:
        raise UsageError(f"Expected the column code in {path}, but got {', '.join(found)}.")


def _check(readers: Sequence[PlannedReader], bands: Sequence[str], path: Path) -> None:
    if not readers:
        raise UsageError(f"{path} names no reader.")
    seen: set[str] = set()
    for line, (code, band) in enumerate(readers, 2):
        if not _CODE.fullmatch(code):
            raise UsageError(
                f"{path}, line {line}: expected a code of letters, digits, - and _, and no name, "
                f"but got '{code}'."
            )
        if code in seen:
            raise UsageError(f"{path}, line {line}: reader {code} stands there twice.")
        seen.add(code)
        if band is not None and band not in bands:
            raise UsageError(
                f"{path}, line {line}: there is no experience band '{band}'."
                f"{did_you_mean(band, bands)} There are: {', '.join(bands)}."
            )
