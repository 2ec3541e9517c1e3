"""Trials of a sweep, each in a file of its own."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vitatt.files import write_text
from vitatt.reading import read_json
from vitatt.sweep.parameters import Value
from vitatt.types import UsageError

State = Literal["running", "complete", "stopped", "failed"]


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """The training of a trial on an inner fold.

    Attributes:
        inner_fold: The fold that validated.
        value: Metric of the kept weights.
        epoch: Epoch of these weights, from 0.
        seconds: Seconds that the training took.
    """

    inner_fold: int
    value: float
    epoch: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Trial:
    """A choice of parameters, and its metric on the inner folds.

    Attributes:
        number: From 0.
        parameters: By name.
        folds: Finished trainings, in the order of inner folds.
        state: ``running`` as long as trainings are missing; ``stopped`` after some inner folds for
            a low mean; ``failed`` if a training cannot be done.
        reason: Reason of a failure.
    """

    number: int
    parameters: dict[str, Value]
    folds: tuple[FoldResult, ...] = ()
    state: State = "running"
    reason: str = ""

    @property
    def means(self) -> list[float]:
        """Mean of the metric over the first inner fold, the first two, and so on."""
        values = [fold.value for fold in self.folds]
        return [statistics.fmean(values[: count + 1]) for count in range(len(values))]

    @property
    def value(self) -> float | None:
        """Mean of the metric over the finished inner folds; None without any."""
        return self.means[-1] if self.folds else None

    @property
    def seconds(self) -> float:
        """Seconds that its trainings took."""
        return sum(fold.seconds for fold in self.folds)


class TrialFolder:
    """The folder of the trials, to which each finished training is written at once.

    A process may end at any moment: a trial is on disk with its finished trainings, or not at all.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, trial: Trial) -> None:
        """Write a trial in the place of its earlier state."""
        write_text(json.dumps(dataclasses.asdict(trial), indent=1), self._file(trial.number))

    def read(self) -> list[Trial]:
        """All trials, in order; at most the last one is still running.

        Raises:
            UsageError: If a file was removed or changed.
        """
        count = len(list(self.folder.glob("[0-9]*.json")))
        return [self._read(number, last=number == count - 1) for number in range(count)]

    def _read(self, number: int, *, last: bool) -> Trial:
        path = self._file(number)
        plain = read_json(path)
        try:
            folds = tuple(FoldResult(**fold) for fold in plain.pop("folds"))
            trial = Trial(**plain, folds=folds)
        except (KeyError, TypeError) as error:
            raise UsageError(f"{path} is no trial of a sweep: it was changed.") from error
        if trial.number != number or (trial.state == "running" and not last):
            raise UsageError(f"{path} is not the trial {number} of its sweep: it was changed.")
        return trial

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:04d}.json"


def best_of(trials: Sequence[Trial], sign: int) -> Trial | None:
    """The complete trial with the best mean, the first of equals; None if none is complete.

    Args:
        trials: In order.
        sign: 1 if higher values are better, else -1.
    """
    complete = [trial for trial in trials if trial.state == "complete"]
    return max(complete, key=lambda trial: sign * trial.means[-1], default=None)
