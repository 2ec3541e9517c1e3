"""The visits of a reader in their order: one case in one arm each, practice first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from vitatt.reader_study.manifest import Manifest, Reader


class Visit(NamedTuple):
    """A case in an arm.

    Attributes:
        case: Its id.
        practice: Whether it is a training case, which does not count.
        period: From 1.
        position: Place of the case within its period or within practice, from 1.
        of: Number of cases there.
        step: Place of the arm among those in which the case is answered one after the other.
        steps: Number of these.
    """

    case: str
    arm: str
    practice: bool
    period: int
    position: int
    of: int
    step: int
    steps: int

    @property
    def key(self) -> tuple[str, str]:
        """The case and the arm, which no reader meets twice."""
        return self.case, self.arm


def visits_of(manifest: Manifest, reader: Reader) -> tuple[Visit, ...]:
    """Return the visits of a reader.

    Practice takes the arms of this reader in turn, so that each page is known before it counts; in
    the sequential design each training case goes through all arms, as the cases do.
    """
    return (*_practice(manifest, reader), *_readings(reader))


def _practice(manifest: Manifest, reader: Reader) -> Iterator[Visit]:
    arms = tuple(dict.fromkeys(arm for period in reader.schedule for arm in period.arms))
    cases = manifest.training_cases
    for place, case in enumerate(cases):
        here = arms if manifest.design == "sequential" else (arms[place % len(arms)],)
        for step, arm in enumerate(here, 1):
            yield Visit(case.case_id, arm, True, 1, place + 1, len(cases), step, len(here))


def _readings(reader: Reader) -> Iterator[Visit]:
    for number, period in enumerate(reader.schedule, 1):
        for place, case in enumerate(period.cases, 1):
            for step, arm in enumerate(period.arms, 1):
                yield Visit(
                    case, arm, False, number, place, len(period.cases), step, len(period.arms)
                )
