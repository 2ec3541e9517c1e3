"""Ranges of numeric settings, and the check of a user's settings before any work begins."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from vitatt.types import UsageError


@dataclasses.dataclass(frozen=True)
class Range:
    """An interval of finite numbers; a bound that is None does not apply.

    Attributes:
        least: Smallest number in the interval.
        above: Lower bound that is not in the interval itself.
        most: Largest number in the interval.
        below: Upper bound that is not in the interval itself.
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        lower = [f"at least {self.least}"] if self.least is not None else []
        lower += [f"above {self.above}"] if self.above is not None else []
        upper = [f"at most {self.most}"] if self.most is not None else []
        upper += [f"below {self.below}"] if self.below is not None else []
        return " and ".join([*lower, *upper]) or "a finite number"


Ranges = Mapping[str, Range]
"""Range of each numeric argument, by its name."""

SEED = Range(least=0, most=2**32 - 1)
"""Seeds that every random number generator accepts."""


def check_ranges(ranges: Ranges, values: Mapping[str, Any], section: str = "") -> None:
    """Check the numbers among some settings; None and values of other types pass.

    Args:
        ranges: Range of each argument that is a number or a sequence of numbers.
        values: Settings by argument name.
        section: Their section of the configuration, such as ``model``, for the message.

    Raises:
        UsageError: If a number is out of its range; the message names the first one.
    """
    for name, allowed in ranges.items():
        value = values.get(name)
        numbers = value if isinstance(value, list | tuple) else [value]
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if number not in allowed:
                place = f"{section}.{name}" if section else name
                raise UsageError(f"Expected `{place}` to be {allowed}, but got {number}.")
