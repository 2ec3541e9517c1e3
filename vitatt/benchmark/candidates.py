"""Arms whose options are tuned: the trainings to choose from."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

from vitatt.benchmark.plan import Arm
from vitatt.types import UsageError


def with_candidates(arms: Mapping[str, Arm]) -> tuple[dict[str, Arm], tuple[str, ...]]:
    """All arms, with a candidate for each combination of the values in an arm's `tune`.

    The tuned arm itself then chooses from its candidates.

    Args:
        arms: By name.

    Returns:
        The arms, and the names of the candidates among them.

    Raises:
        UsageError: If a tuned arm is no network, has nothing to choose from, or a candidate has the
            name of an arm.
    """
    made: dict[str, Arm] = {}
    candidates: list[str] = []
    for name, arm in arms.items():
        if not arm.tune:
            made[name] = arm
            continue
        combinations = list(itertools.product(*arm.tune.values()))
        if len(combinations) < 2:
            raise UsageError(
                f"Expected `arms.{name}.tune` to name options with values to choose from, but got "
                f"{dict(arm.tune)}."
            )
        if arm.classical or arm.first_stage or arm.choose_from:
            raise UsageError(
                f"Expected `arms.{name}` to have `tune` or one of `classical` and `choose_from`, "
                "but got both: only options of a network's training are tuned."
            )
        own = []
        for values in combinations:
            words = [str(value) for value in values]
            own.append("-".join([name, *words]))
            if own[-1] in arms or own[-1] in made:
                raise UsageError(
                    f"Expected a name of its own for each candidate of `arms.{name}.tune`, but two "
                    f"arms are named '{own[-1]}'."
                )
            made[own[-1]] = dataclasses.replace(
                arm,
                title=f"{arm.title}, {', '.join(words)}",
                settings={**arm.settings, **dict(zip(arm.tune, values, strict=True))},
                tune={},
            )
        made[name] = Arm(arm.title, arm.source, choose_from=tuple(own), average=arm.average)
        candidates += own
    return made, tuple(candidates)
