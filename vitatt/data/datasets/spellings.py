"""Unified spelling of categories, and the spellings of missing values."""

from __future__ import annotations

import re

import polars as pl

from vitatt.data.datasets.schema import Feature

UNKNOWN = (
    *("", "UNK", "UNKNOWN", "NA", "N/A", "N.A.", "N.A", "NAN", "NONE", "NULL", "NIL", "NAT"),
    *("?", "??", "???", "-", "--", "---", ".", "..", "...", "\N{EN DASH}", "\N{EM DASH}"),
    *("#N/A", "#NA", "#NULL!", "<NA>", "<NAN>", "<NONE>", "<NULL>", "(NULL)", "-NAN", "1.#QNAN"),
    *("MISSING", "UNSPECIFIED", "UNDEFINED", "UNDETERMINED", "NOT RECORDED", "NOT AVAILABLE"),
    *("NOT KNOWN", "NOT REPORTED", "NOT SPECIFIED", "NOT STATED", "NOT GIVEN", "NOT ASKED"),
    *("NO DATA", "NO ANSWER", "DON'T KNOW", "DONT KNOW", "DO NOT KNOW"),
)
"""Spellings of missing values, in the form of `compared`."""

_YES = ("JA", "J", "OUI", "SI", "S\u00cd")
_TRUE = ("TRUE", "T", "YES", "Y", "1", "SIM", "S", "VERDADEIRO", "V", "X", *_YES)
_FALSE = ("FALSE", "F", "NO", "N", "0", "N\u00c3O", "NAO", "FALSO", "NEIN", "NON")

YES_NO = {**dict.fromkeys(_TRUE, "True"), **dict.fromkeys(_FALSE, "False")}
"""Category of each spelling of a yes or no, in English, Portuguese and some other languages."""

_FEMALE = ("F", "FEMALE", "WOMAN", "W", "FEM", "FEM.", "FEMININE", "FEMININO", "FEMININA", "MULHER")
_MALE = ("M", "MALE", "MAN", "MASC", "MASC.", "MASCULINE", "MASCULINO", "HOMEM")


def sexes(female: str, male: str) -> dict[str, str]:
    """Return the category of each spelling of a sex, in English and Portuguese."""
    return {**dict.fromkeys(_FEMALE, female), **dict.fromkeys(_MALE, male)}


def compared(column: pl.Expr) -> pl.Expr:
    """Return text in the form that is compared: in upper case, with single spaces."""
    return column.str.to_uppercase().str.replace_all(r"[\s_]+", " ").str.strip_chars()


def known_values(frame: pl.DataFrame) -> pl.DataFrame:
    """Return text without spaces around it, and null for every spelling of a missing value."""
    text = pl.col(pl.String)
    unknown = compared(text).is_in(list(UNKNOWN))
    return frame.with_columns(
        pl.when(unknown).then(None).otherwise(text.str.strip_chars()).name.keep()
    )


def compared_text(text: str) -> str:
    """`compared`, of a single text; ``2.0`` is ``2``."""
    plain = re.sub(r"[\s_]+", " ", text.upper()).strip()
    return re.sub(r"^(\d+)[.,]0+$", r"\1", plain)


def canonical(feature: Feature, *, lower: bool = False) -> pl.Expr:
    """Return a categorical column with one spelling per category, as ``2`` for ``2.0``.

    Args:
        feature: The column, with its categories and their other spellings.
        lower: Whether categories that are not published are written in lower case, not upper.
    """
    text = compared(pl.col(feature.name)).str.replace(r"^(\d+)[.,]0+$", "${1}")
    names = (*feature.categories, *feature.spellings.values())
    known = {compared_text(name): name for name in names} | dict(feature.spellings)
    other = text.str.to_lowercase() if lower else text
    return text.replace_strict(known, default=other, return_dtype=pl.String).alias(feature.name)
