"""The token of the operator, beside those of the readers in the file of tokens."""

from __future__ import annotations

import secrets
from pathlib import Path

import polars as pl

from vitatt.files import write_frame
from vitatt.reader_study.study_folder import TOKENS
from vitatt.reading import read_csv

OPERATOR = "(operator)"
"""In the column of readers; no reader's code has brackets."""

_COLUMNS = ("reader", "token", "address")


def operator_token(folder: Path) -> str:
    """Return the operator's token, which is made and written at the first call.

    Args:
        folder: Of the study.

    Raises:
        UsageError: If the file of tokens cannot be read.
    """
    path = folder / TOKENS
    schema: dict[str, pl.DataType | type[pl.DataType]] = dict.fromkeys(_COLUMNS, pl.String)
    table = read_csv(path, _COLUMNS, schema) if path.exists() else pl.DataFrame(schema=schema)
    known = table.filter(pl.col("reader") == OPERATOR)["token"].drop_nulls().to_list()
    if known:
        return str(known[0])
    token = secrets.token_urlsafe(24)
    row = pl.DataFrame([(OPERATOR, token, "/operator")], schema=schema, orient="row")
    write_frame(pl.concat([table.select(_COLUMNS), row]), path)
    path.chmod(0o600)
    return token
