"""Submissions as they are recorded, with a visible time that is possible."""

from __future__ import annotations

import math

from vitatt.reader_study.serving.answers import Answers
from vitatt.reader_study.serving.reader_state import Shown
from vitatt.reader_study.serving.study_clock import StudyClock
from vitatt.reader_study.serving.visits import Visit
from vitatt.reader_study.submission import Submission


def possible_seconds(shown: Shown, clock: StudyClock) -> float:
    """Return the seconds since a case was first shown, by whichever clock has moved further.

    They are infinite if the clock was set back and the machine restarted, so that neither tells.
    """
    by_wall = (clock.now() - shown.time).total_seconds()
    by_steady = clock.monotonic() - shown.monotonic
    longest = max(by_wall, by_steady)
    return round(longest, 3) if longest >= 0 else math.inf


def made_submission(visit: Visit, answers: Answers, possible: float) -> Submission:
    """Return answers as they are recorded.

    Args:
        visit: That they answer.
        answers: Checked.
        possible: Upper limit of the visible seconds, see `possible_seconds`.
    """
    given = answers.model_dump(exclude={"item", "seconds", "drawing"})
    return Submission(
        **given,
        drawing=answers.drawing,
        case=visit.case,
        arm=visit.arm,
        period=visit.period,
        position=visit.position,
        visible_seconds=min(answers.seconds, possible),
        reported_seconds=answers.seconds if answers.seconds > possible else None,
    )
