"""Deviations of a study from its plan, as far as its log shows them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from vitatt.reader_study.outcome.flow import reader_table
from vitatt.reader_study.outcome.record import StudyRecord

_DAY = 24 * 3600.0  # seconds


def deviations(record: StudyRecord) -> list[str]:
    """Every deviation that was found, a sentence each; empty if there is none."""
    return [
        *_of_readers(record),
        *_of_practice(record),
        *_of_order(record),
        *_of_wash_out(record),
        *_of_end(record),
    ]


def _of_readers(record: StudyRecord) -> Iterator[str]:
    people = reader_table(record)
    absent = people.filter(submitted=0)["reader"].to_list()
    if absent:
        yield f"{_readers(absent)} submitted no reading."
    unfinished = people.filter(
        (pl.col("submitted") > 0) & (pl.col("submitted") < pl.col("planned"))
    )
    for code, done, all_of in unfinished.select("reader", "submitted", "planned").iter_rows():
        end = " and withdrew" if code in record.withdrawn else ""
        yield f"Reader {code} submitted {done} of {all_of} readings{end}."
    if record.excluded:
        yield (
            f"{_readers(sorted(record.excluded))} withdrew consent; their readings stay in the "
            "log and are in no analysis."
        )


def _of_practice(record: StudyRecord) -> Iterator[str]:
    cases = {case.case_id for case in record.manifest.training_cases}
    seen: dict[str, set[str]] = {}
    for event in record.events:
        if event.kind == "training_submitted" and event.reader:
            seen.setdefault(event.reader, set()).add(str(event.data.get("case")))
    short = [code for code in record.counts if cases - seen.get(code, set())]
    if short:
        yield f"{_readers(sorted(short))} did not submit all {len(cases)} training cases."


def _of_order(record: StudyRecord) -> Iterator[str]:
    """Readers whose submissions are in another order than planned."""
    planned = ["period", "position"]
    other = [
        str(code)
        for (code,), own in record.readings.group_by("reader", maintain_order=True)
        if not own.select(planned).equals(own.sort(planned, maintain_order=True).select(planned))
    ]
    if other:
        yield f"{_readers(sorted(other))} submitted readings in another order than planned."


def _of_wash_out(record: StudyRecord) -> Iterator[str]:
    days = record.manifest.washout_days
    times = record.readings.group_by("reader", "period").agg(
        pl.col("submitted").min().alias("first"), pl.col("submitted").max().alias("last")
    )
    before = times.select("reader", pl.col("period") + 1, pl.col("last").alias("before"))
    gaps = times.join(before, on=["reader", "period"]).with_columns(
        ((pl.col("first") - pl.col("before")).dt.total_seconds() / _DAY).alias("days")
    )
    for code, period, gap in (
        gaps.filter(pl.col("days") < days)
        .sort("reader", "period")
        .select("reader", "period", "days")
        .iter_rows()
    ):
        yield (
            f"Reader {code} began period {period} after {gap:.1f} days of wash-out instead of at "
            f"least {days}."
        )


def _of_end(record: StudyRecord) -> Iterator[str]:
    rule = record.manifest.stopping
    if rule.date is not None:
        late = record.readings.filter(pl.col("submitted").dt.date() > rule.date).height
        if late:
            yield f"{late} readings were submitted after the last day, {rule.date}."


def _readers(codes: list[str]) -> str:
    return f"Reader{'s' if len(codes) > 1 else ''} {', '.join(codes)}"
