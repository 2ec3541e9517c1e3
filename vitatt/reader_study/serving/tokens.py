"""The file of tokens: those of the readers, and that of the operator."""

from __future__ import annotations

import secrets
from pathlib import Path

import polars as pl

from vitatt.files import write_frame
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.study_folder import TOKENS, TamperingError, sha256
from vitatt.reading import read_csv

OPERATOR = "(operator)"
"""In the column of readers; no reader's code has brackets."""

_COLUMNS = ("reader", "token", "address")
_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = dict.fromkeys(_COLUMNS, pl.String)


def check_tokens(manifest: Manifest, folder: Path) -> None:
    """Check that the addresses in the file of tokens open what they say; some may be missing.

    Raises:
        TamperingError: If one does not; the message names the reader.
        UsageError: If the file cannot be read.
    """
    digests = {one.code: one.token_sha256 for one in manifest.readers}
    for code, token, address in _table(folder / TOKENS).select(_COLUMNS).iter_rows():
        if code == OPERATOR:
            continue
        if digests.get(code) != sha256((token or "").encode()) or address != f"/r/{token}":
            raise TamperingError(
                f"{folder / TOKENS} was changed: the address of reader {code} opens nothing of "
                "this study. Restore the file from a backup."
            )


def operator_token(folder: Path) -> str:
    """Return the operator's token, which is made and written at the first call.

    Args:
        folder: Of the study.

    Raises:
        UsageError: If the file of tokens cannot be read.
    """
    path = folder / TOKENS
    table = _table(path)
    known = table.filter(pl.col("reader") == OPERATOR)["token"].drop_nulls().to_list()
    if known:
        return str(known[0])
    token = secrets.token_urlsafe(24)
    row = pl.DataFrame([(OPERATOR, token, "/operator")], schema=_SCHEMA, orient="row")
    write_frame(pl.concat([table.select(_COLUMNS), row]), path)
    path.chmod(0o600)
    return token


def _table(path: Path) -> pl.DataFrame:
    return read_csv(path, _COLUMNS, _SCHEMA) if path.exists() else pl.DataFrame(schema=_SCHEMA)
