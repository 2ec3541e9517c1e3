"""Progress of the readers for the operator: no answers, no truth, no results."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from vitatt.reader_study.serving.reader_state import ReaderState
from vitatt.reader_study.serving.study_state import Stage, StudyState


class Progress(NamedTuple):
    """Progress of a reader.

    Attributes:
        done: Number of submitted readings.
        planned: Number of planned ones.
        practice: Number of submitted training cases.
        practice_planned: Number of planned ones.
        last_activity: Time of the last event, as text; empty if there was none.
        pauses: Their number.
        paused_minutes: Their time in all.
        is_paused: Whether the reader pauses now.
        opens: End of the wash-out, as text; empty if there is none now.
    """

    code: str
    stage: Stage
    done: int
    planned: int
    practice: int
    practice_planned: int
    last_activity: str
    pauses: int
    paused_minutes: float
    is_paused: bool
    opens: str


def progress(state: StudyState, now: datetime.datetime) -> list[Progress]:
    """Return the progress of every reader in the order of the plan."""
    return [_of_reader(state, one, now) for one in state.readers.values()]


def moment(time: datetime.datetime | None) -> str:
    """Return a time as text, to the minute; empty for none."""
    return "" if time is None else time.strftime("%Y-%m-%d %H:%M UTC")


def _of_reader(state: StudyState, one: ReaderState, now: datetime.datetime) -> Progress:
    stage, due = state.stage(one, now), one.due
    opens = state.opens(one, due) if stage == "locked" and due is not None else None
    return Progress(
        code=one.reader.code,
        stage=stage,
        done=one.readings,
        planned=one.planned,
        practice=len(one.recorded) - one.readings,
        practice_planned=len(one.visits) - one.planned,
        last_activity=moment(one.last_activity),
        pauses=one.all_pauses,
        paused_minutes=one.paused_seconds / 60,
        is_paused=one.paused_since is not None,
        opens=moment(opens),
    )
