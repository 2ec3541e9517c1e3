"""Preparation of the trainings of a benchmark."""

from __future__ import annotations

from collections.abc import Iterable

from vitatt.benchmark.plan import Benchmark, Job
from vitatt.benchmark.training import NetworkTraining
from vitatt.types import UsageError


def prepare_arms(benchmark: Benchmark, names: Iterable[str]) -> None:
    """Make every arm once, and compute the tokens that its trainings read.

    An argument that cannot be used so ends the command before the first training.

    Args:
        benchmark: The plan.
        names: Arms that are trained.

    Raises:
        UsageError: If an arm cannot be trained; the message names it.
    """
    for name in names:
        first = Job(benchmark, name, 0, benchmark.seeds[0])
        arm = benchmark.arms[name]
        try:
            training = NetworkTraining([*first.options(arm.first_stage), "--trainer.logger=false"])
            training.prepare()
            if not training.datamodule.task.features:
                if arm.classical == "gradient_boosting":
                    raise UsageError(
                        "boosted trees need a feature, but `data.features` leaves none."
                    )
                if arm.classical == "logistic_regression" and not training.model.network.encoder:
                    raise UsageError(
                        "logistic regression needs an image or a feature, but the network has no "
                        "image input and `data.features` leaves no feature."
                    )
        except UsageError as error:
            raise UsageError(f"Arm '{name}' cannot be trained: {error}") from error
