"""The plan of a benchmark: arms, folds, seeds, and the jobs that they make."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from vitatt.ranges import Range, Ranges, check_ranges
from vitatt.types import UsageError

_RANGES: Ranges = {
    "num_folds": Range(least=2),
    "inner_folds": Range(least=2),
    "seeds": Range(least=0, most=2**32 - 1),
    "threads": Range(least=1),
}

Classical = Literal["gradient_boosting", "logistic_regression", "two_stage"]


@dataclasses.dataclass(frozen=True)
class Arm:
    """One model in the comparison.

    Attributes:
        title: Name for tables and plots.
        source: Publication of the method.
        configs: Overlays after the benchmark's own, each a file that `vitatt fit` accepts.
        settings: Options of `vitatt fit` after those, such as ``model.fusion.init_args.depth: 2``.
        classical: A scikit-learn model in the place of a network.
        first_stage: The arm whose probabilities are the input of a ``two_stage`` model.
        choose_from: No training of its own: in each outer fold, the predictions of the arm among
            these that is best on the inner validation splits.
        average: Number of the best of them whose probabilities are averaged.
        tune: Options of `vitatt fit`, each with values: every combination is trained, and the best
            one is taken as by `choose_from`.
    """

    title: str
    source: str = ""
    configs: Sequence[str] | str = ()
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    classical: Classical | None = None
    first_stage: str | None = None
    choose_from: Sequence[str] | str = ()
    average: int = 1
    tune: dict[str, Sequence[Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Arms, protocol and place of a comparison.

    Attributes:
        arms: By name.
        configs: Configurations that all trainings start from, later ones winning.
        options: Options of `vitatt fit` for all trainings, before those of an arm.
        reference: The arm that others are compared with.
        output: Folder for all results.
        num_folds: Outer folds.
        inner_folds: The inner validation split is one of this many parts of the training groups.
        seeds: Seeds of initial weights and dropout; each also decides which inner part validates.
        keep: Arms whose trained models stay on disk.
        threads: CPU threads of a training. Sums depend on it in their last digits, so a table that
            does not depend on the machine needs a fixed number.
        question: Question of the comparison, for the report.
        candidates: Arms that others choose from and no table shows, made from `Arm.tune`.
    """

    arms: dict[str, Arm]
    configs: tuple[str, ...]
    options: tuple[str, ...]
    reference: str
    output: Path
    num_folds: int = 5
    inner_folds: int = 10
    seeds: tuple[int, ...] = (0, 1, 2)
    keep: tuple[str, ...] = ()
    threads: int = 1
    question: str = ""
    candidates: tuple[str, ...] = ()

    def check(self) -> None:
        """Check the plan before the work begins.

        Raises:
            UsageError: If a number is out of its range, or an arm is named that is not there, or
                described in two ways.
        """
        check_ranges(_RANGES, vars(self))
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise UsageError(f"Expected `seeds` to be different numbers, but got {self.seeds}.")
        named: dict[str, Sequence[str]] = {"reference": (self.reference,), "keep": self.keep}
        for name, arm in self.arms.items():
            named[f"arms.{name}.choose_from"] = arm.choose_from
            if (arm.classical == "two_stage") != (arm.first_stage is not None):
                raise UsageError(
                    f"Expected `arms.{name}` to have both of `classical: two_stage` and "
                    f"`first_stage`, or none, but got {arm.classical} and {arm.first_stage}."
                )
            if (arm.first_stage or arm.choose_from) and (arm.configs or arm.settings):
                raise UsageError(
                    f"Expected `arms.{name}` to have no `configs` or `settings`: it trains nothing "
                    "but what its `first_stage` or `choose_from` says."
                )
            if arm.choose_from and arm.classical:
                raise UsageError(
                    f"Expected `arms.{name}` to have `classical` or `choose_from`, but got both."
                )
            if not 1 <= arm.average <= max(1, len(arm.choose_from)):
                raise UsageError(
                    f"Expected `arms.{name}.average` to be 1 to {len(arm.choose_from) or 1}, the "
                    f"number of arms to choose from, but got {arm.average}."
                )
            if arm.first_stage is not None:
                named[f"arms.{name}.first_stage"] = (arm.first_stage,)
        for place, names in named.items():
            for name in names:
                if name not in self.arms:
                    raise UsageError(
                        f"Expected `{place}` to name arms of the benchmark, but '{name}' is none. "
                        f"It has: {', '.join(self.arms)}."
                    )
                if place.endswith(("choose_from", "first_stage", "keep")):
                    other = self.arms[name]
                    if other.choose_from or (not place.endswith("choose_from") and other.classical):
                        raise UsageError(
                            f"Expected `{place}` to name trained networks, but got '{name}'."
                        )

    def jobs(self) -> Iterator[Job]:
        """Yield all trainings, fold by fold: a table of the folds that are finished is possible."""
        for fold in range(self.num_folds):
            for seed in self.seeds:
                for name, arm in self.arms.items():
                    if not arm.choose_from:
                        yield Job(self, name, fold, seed)

    def arm_options(self, name: str) -> list[str]:
        """Options of `vitatt fit` that make an arm, whatever the fold and seed.

        Figures, checks of explanations and checkpoints are left out: there are hundreds of
        trainings.
        """
        arm = self.arms[name]
        return [
            *(f"--config={path}" for path in (*self.configs, *arm.configs)),
            "--explanations.size=0",
            "--explanation_tests.cases=0",
            "--checkpoint.save_top_k=0",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            *self.options,
            *(f"--{key}={as_option(value)}" for key, value in arm.settings.items()),
        ]


@dataclasses.dataclass(frozen=True)
class Job:
    """One arm trained for one outer fold with one seed.

    Attributes:
        benchmark: The plan that it belongs to.
        arm: Name of the arm.
        fold: Outer fold.
        seed: Seed.
    """

    benchmark: Benchmark
    arm: str
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """The job's name in messages, W&B and on disk."""
        return f"{self.arm}/fold-{self.fold}-seed-{self.seed}"

    @property
    def folder(self) -> Path:
        """Folder of its predictions; absent until it is finished."""
        return self.benchmark.output / "jobs" / self.arm / f"fold-{self.fold}-seed-{self.seed}"

    @property
    def finished(self) -> bool:
        """Whether its predictions are there."""
        return self.folder.is_dir()

    def options(self, arm: str | None = None) -> list[str]:
        """Options of `vitatt fit` for this fold and seed, of this arm or another."""
        return [
            *self.benchmark.arm_options(arm or self.arm),
            f"--data.num_folds={self.benchmark.num_folds}",
            f"--data.fold={self.fold}",
            f"--data.inner_folds={self.benchmark.inner_folds}",
            f"--data.inner_fold={self.seed % self.benchmark.inner_folds}",
            f"--seed_everything={self.seed}",
        ]


def as_option(value: Any) -> str:
    """A value as the command line takes it: None as ``null``."""
    return value if isinstance(value, str) else json.dumps(value)
