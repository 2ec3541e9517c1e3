"""The range of every number that a user can set, checked before any work begins."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from vitatt.types import UsageError


@dataclasses.dataclass(frozen=True)
class Range:
    """An interval of finite numbers; a bound that is None is not there.

    Attributes:
        least: Smallest number in it.
        above: Numbers in it are larger than this.
        most: Largest number in it.
        below: Numbers in it are smaller than this.
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
"""By argument."""

SEED = Range(least=0, most=2**32 - 1)
"""Seeds that every generator of random numbers takes."""


def check_ranges(ranges: Ranges, values: Mapping[str, Any], section: str = "") -> None:
    """Check the numbers among some settings; None and what is no number pass.

    Args:
        ranges: Of the arguments that are numbers, or sequences of numbers.
        values: Settings by argument.
        section: Of the configuration that they stand in, such as ``model``, for the message.

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
