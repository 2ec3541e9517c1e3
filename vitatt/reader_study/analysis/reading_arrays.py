"""Readings as arrays: arms x readers x cases."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.readings_schema import READINGS
from vitatt.types import UsageError, class_index
from vitatt.words import require_known


@dataclasses.dataclass(frozen=True)
class ReadingArrays:
    """Readings of a study, each by arm, reader and case.

    Attributes:
        table: The readings, as `READINGS` has them.
        arms: Names, A.
        readers: Codes, R, sorted.
        bands: Names of the bands of experience, the lowest first.
        classes: Names of the diagnoses.
        cases: Names, N, sorted.
        band: Band of each reader, (R,).
        group: Group of each case, from 0, (N,).
        truth: Class of each case, (N,).
        positive: Classes that count as positive, (C,) bool.
        row: Row of the table that holds a reading, (A, R, N); -1 where there is none.
    """

    table: pl.DataFrame
    arms: tuple[str, ...]
    readers: tuple[str, ...]
    bands: tuple[str, ...]
    classes: tuple[str, ...]
    cases: tuple[str, ...]
    band: NDArray[np.int64]
    group: NDArray[np.int64]
    truth: NDArray[np.int64]
    positive: NDArray[np.bool_]
    row: NDArray[np.int64]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether there is a reading, (A, R, N)."""
        return self.row >= 0

    @property
    def num_groups(self) -> int:
        """Number of groups of cases, G."""
        return int(self.group.max()) + 1

    def numbers(self, column: str) -> Floats:
        """A column of numbers or truth values, (A, R, N); NaN where there is none."""
        values = self.table[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return np.where(self.present, values[self.row], np.nan)

    def diagnoses(self, column: str = "diagnosis") -> NDArray[np.int64]:
        """Class that a column names, (A, R, N); -1 where there is none."""
        index = class_index(self.classes)
        values = np.array([index.get(name, -1) for name in self.table[column].to_list()])
        return np.where(self.present, values[self.row], -1)

    def correct(self) -> Floats:
        """1 where the diagnosis is right, 0 where it is wrong, (A, R, N); NaN without a reading."""
        right = (self.diagnoses() == self.truth).astype(np.float64)
        return np.where(self.present, right, np.nan)

    def by_group(self, values: Floats) -> Floats:
        """Sums of values (..., N) over the cases of each group, (..., G)."""
        member = np.zeros((len(self.cases), self.num_groups))
        member[np.arange(len(self.cases)), self.group] = 1
        return values @ member

    def of_readers(self, chosen: NDArray[np.bool_]) -> ReadingArrays:
        """The readings of some of the readers, chosen by a mask (R,)."""
        readers = tuple(np.array(self.readers)[chosen].tolist())
        return dataclasses.replace(
            self, readers=readers, band=self.band[chosen], row=self.row[:, chosen]
        )


def reading_arrays(
    readings: pl.DataFrame,
    *,
    classes: Sequence[str],
    positive: Sequence[str],
    bands: Sequence[str],
    arms: Sequence[str],
) -> ReadingArrays:
    """Arrange a table of readings by arm, reader and case.

    Args:
        readings: With the columns of `READINGS`.
        classes: Names of the diagnoses.
        positive: Those that count as positive, such as the malignant ones.
        bands: Bands of experience, the lowest first.
        arms: In the order of tables.

    Raises:
        UsageError: If there are no readings, columns are missing, a name is unknown, a reading
            occurs twice, or a reader or case is described in two ways.
    """
    if lacking := [name for name in READINGS if name not in readings.columns]:
        raise UsageError(
            f"Expected a table of readings, but it lacks the columns {', '.join(lacking)}."
        )
    if not readings.height:
        raise UsageError("Expected readings, but the table has no row: nobody submitted any yet.")
    for column, known in (("diagnosis", classes), ("truth", classes)):
        _check_words(readings, column, known)
    _check_words(readings, "arm", arms)
    _check_words(readings, "experience", bands)
    for name in positive:
        require_known("positive", name, classes)
    _check_once(readings)
    people = _described(readings, "reader", ["experience"])
    cases = _described(readings, "case_id", ["group", "truth"])
    groups = sorted(set(cases["group"].to_list()))
    places = [
        readings[column].replace_strict(list(names), list(range(len(names)))).to_numpy()
        for column, names in (
            ("arm", arms),
            ("reader", people["reader"].to_list()),
            ("case_id", cases["case_id"].to_list()),
        )
    ]
    row = np.full((len(arms), people.height, cases.height), -1)
    row[tuple(places)] = np.arange(readings.height)
    return ReadingArrays(
        table=readings,
        arms=tuple(arms),
        readers=tuple(people["reader"].to_list()),
        bands=tuple(bands),
        classes=tuple(classes),
        cases=tuple(cases["case_id"].to_list()),
        band=np.array([list(bands).index(name) for name in people["experience"].to_list()]),
        group=np.array([groups.index(name) for name in cases["group"].to_list()]),
        truth=np.array([list(classes).index(name) for name in cases["truth"].to_list()]),
        positive=np.array([name in positive for name in classes]),
        row=row,
    )


def require_crossed(arrays: ReadingArrays) -> None:
    """Check that every reader read every case in every arm.

    Raises:
        UsageError: If not; the message names the first gaps.
    """
    gaps = [
        f"reader {reader} lacks {count} of {len(arrays.cases)} cases in arm {arm}"
        for place, reader in enumerate(arrays.readers)
        for number, arm in enumerate(arrays.arms)
        if (count := int((~arrays.present[number, place]).sum()))
    ]
    if gaps:
        more = f", and {len(gaps) - _NAMED} more" if len(gaps) > _NAMED else ""
        raise UsageError(
            "Expected at least 2 readers who read every case in every arm, which the analysis of "
            f"variance needs, but {'; '.join(gaps[:_NAMED])}{more}."
        )


_NAMED = 5


def _check_words(readings: pl.DataFrame, column: str, known: Sequence[str]) -> None:
    for name in readings[column].unique(maintain_order=True).to_list():
        if name not in known:
            raise UsageError(
                f"Expected the column {column} to hold {', '.join(known)}, but got '{name}'."
            )


def _check_once(readings: pl.DataFrame) -> None:
    key = ["reader", "arm", "case_id"]
    twice = readings.filter(pl.struct(key).is_duplicated()).select(key)
    if twice.height:
        reader, arm, case = twice.row(0)
        raise UsageError(
            "Expected one reading for each reader, arm and case, but reader "
            f"{reader} has several of case {case} in arm {arm}."
        )


def _described(readings: pl.DataFrame, key: str, columns: Sequence[str]) -> pl.DataFrame:
    """One row for each reader or case, sorted.

    Raises:
        UsageError: If one has two descriptions.
    """
    rows = readings.select(key, *columns).unique().sort(key)
    for column in columns:
        several = rows.group_by(key).agg(pl.col(column).unique().sort())
        several = several.filter(pl.col(column).list.len() > 1).sort(key)
        if several.height:
            name, values = several.row(0)
            raise UsageError(
                f"Expected each {key} to have one {column}, but {name} has {', '.join(values)}."
            )
    return rows
