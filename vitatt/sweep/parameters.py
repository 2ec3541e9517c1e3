"""The parameters of a sweep, in W&B's format."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitatt.types import UsageError
from vitatt.words import did_you_mean

Value = str | bool | int | float
"""A value of a parameter."""

CONSTANT, CATEGORICAL = "constant", "categorical"

_FIELDS = {
    CONSTANT: ("value",),
    CATEGORICAL: ("values",),
    "uniform": ("min", "max"),
    "int_uniform": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
    "log_uniform": ("min", "max"),
    "log_uniform_values": ("min", "max"),
}
"""The distributions that both engines draw from, and their fields."""

_OF_WANDB = (
    "beta",
    "categorical_w_probabilities",
    "inv_log_uniform",
    "inv_log_uniform_values",
    "log_normal",
    "normal",
    "q_beta",
    "q_log_normal",
    "q_log_uniform",
    "q_log_uniform_values",
    "q_normal",
)


@dataclass(frozen=True)
class Parameter:
    """An option of `vitatt fit` and the values that a sweep tries.

    Attributes:
        name: The option, such as ``model.learning_rate``.
        values: All values, if there is a list of them; one value for a constant.
        low: Smallest value of an interval.
        high: Largest value of an interval.
        log: Whether the logarithm is uniformly distributed, not the value.
        step: Distance of neighbouring values; None if all values of the interval are possible.
        whole: Whether the values of the interval are whole numbers.
    """

    name: str
    values: tuple[Value, ...] = ()
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    step: float | None = None
    whole: bool = False

    @property
    def constant(self) -> bool:
        """Whether there is only one value."""
        return len(self.values) == 1

    @property
    def listed(self) -> tuple[Value, ...]:
        """All values, also of an interval of whole numbers; empty if they cannot be listed."""
        if self.whole:
            return tuple(range(int(self.low), int(self.high) + 1))
        return self.values

    @property
    def extremes(self) -> tuple[Value, ...]:
        """All listed values, or both ends of an interval."""
        return self.values or (self.low, self.high)


def read_parameters(parameters: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """The parameters of a sweep.

    Args:
        parameters: By name, as in a sweep file of W&B.

    Raises:
        UsageError: If there is none, or one has no distribution that both engines draw from.
    """
    if not parameters:
        raise UsageError(
            "Expected `parameters` to name options of `vitatt fit` with their values, such as "
            "`model.learning_rate: {min: 1.0e-4, max: 1.0e-2}`, but it is empty."
        )
    found = tuple(_read(name, settings) for name, settings in parameters.items())
    if all(parameter.constant for parameter in found):
        raise UsageError("Expected `parameters` to leave a choice, but each has one value only.")
    for one in found:
        if inside := [other.name for other in found if other.name.startswith(f"{one.name}.")]:
            raise UsageError(
                f"Expected parameters that do not contain each other, but `{one.name}` contains "
                f"`{inside[0]}`. Remove one of them."
            )
    return found


def _read(name: str, settings: Any) -> Parameter:
    place = f"parameters.{name}"
    if not isinstance(settings, Mapping):
        raise UsageError(
            f"Expected `{place}` to have `value`, `values`, or `min` and `max`, but got {settings}."
        )
    if "parameters" in settings:
        raise UsageError(
            f"Expected `{place}` to have values, but it has parameters of its own. Name options in "
            f"full, as in `{name}.{next(iter(settings['parameters']), 'NAME')}`."
        )
    distribution = settings.get("distribution") or _implied(place, settings)
    if distribution not in _FIELDS:
        known = ", ".join(_FIELDS)
        if distribution in _OF_WANDB:
            raise UsageError(
                f"`{place}.distribution` is '{distribution}', which only W&B draws from. Choose "
                f"one that the offline search has too: {known}."
            )
        raise UsageError(
            f"Expected `{place}.distribution` to be among {known}, but got '{distribution}'."
            f"{did_you_mean(str(distribution), list(_FIELDS))}"
        )
    fields = _FIELDS[distribution]
    given = set(settings) - {"distribution"}
    if given != set(fields):
        raise UsageError(
            f"Expected `{place}` with the distribution {distribution} to have "
            f"{' and '.join(fields)}, but it has {', '.join(sorted(given)) or 'nothing'}."
        )
    if distribution == CONSTANT:
        return Parameter(name, (_value(settings["value"], f"{place}.value"),))
    if distribution == CATEGORICAL:
        return Parameter(name, _values(settings["values"], f"{place}.values"))
    return _interval(name, distribution, settings, place)


def _implied(place: str, settings: Mapping[str, Any]) -> str:
    """The distribution of a parameter that names none, by W&B's rules."""
    if "value" in settings:
        return CONSTANT
    if "values" in settings:
        return CATEGORICAL
    if not {"min", "max"} <= set(settings):
        raise UsageError(
            f"Expected `{place}` to have `value`, `values`, or `min` and `max`, but it has "
            f"{', '.join(settings) or 'nothing'}."
        )
    low, high = (_number(settings[key], f"{place}.{key}") for key in ("min", "max"))
    if isinstance(low, int) != isinstance(high, int):
        raise UsageError(
            f"Expected `{place}` to have two whole numbers as `min` and `max`, or two with a "
            f"decimal point, but got {low} and {high}."
        )
    return "int_uniform" if isinstance(low, int) else "uniform"


def _interval(name: str, distribution: str, settings: Mapping[str, Any], place: str) -> Parameter:
    low, high = (_number(settings[key], f"{place}.{key}") for key in ("min", "max"))
    if low >= high:
        raise UsageError(
            f"Expected `{place}.min` to be below `{place}.max`, but got {low} and {high}."
        )
    if distribution == "int_uniform":
        if not (isinstance(low, int) and isinstance(high, int)):
            raise UsageError(
                f"Expected `{place}` to have whole numbers as `min` and `max`, but got {low} and "
                f"{high}."
            )
        return Parameter(name, low=low, high=high, whole=True)
    if distribution == "log_uniform":  # W&B's bounds are natural logarithms here
        return Parameter(name, low=math.exp(low), high=math.exp(high), log=True)
    if distribution == "log_uniform_values":
        if low <= 0:
            raise UsageError(
                f"Expected `{place}.min` to be above 0, as its logarithm is needed, but got {low}."
            )
        return Parameter(name, low=float(low), high=float(high), log=True)
    if distribution == "q_uniform":
        step = _number(settings["q"], f"{place}.q")
        # Otherwise W&B, which rounds to multiples of q, and Optuna would try different values.
        if step <= 0 or any(abs(end / step - round(end / step)) > 1e-9 for end in (low, high)):
            raise UsageError(
                f"Expected `{place}.min` and `{place}.max` to be multiples of `{place}.q`, but "
                f"got {low}, {high} and {step}."
            )
        return Parameter(name, low=float(low), high=float(high), step=float(step))
    return Parameter(name, low=float(low), high=float(high))


def _number(value: Any, place: str) -> int | float:
    if isinstance(value, str) and _is_number(value):
        raise UsageError(
            f"Expected `{place}` to be a number, but YAML reads {value} as text: write it with a "
            "decimal point and a sign, as in 1.0e-4."
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"Expected `{place}` to be a number, but got {value}.")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _values(values: Any, place: str) -> tuple[Value, ...]:
    if not isinstance(values, list | tuple) or not values:
        raise UsageError(f"Expected `{place}` to be a list of values, but got {values}.")
    found = tuple(_value(value, place) for value in values)
    for number, value in enumerate(found):
        if value in found[:number]:
            raise UsageError(f"Expected `{place}` to be different, but {value} stands there twice.")
    return found


def _value(value: Any, place: str) -> Value:
    if isinstance(value, str) and _is_number(value):
        _number(value, place)
    if value is None or not isinstance(value, str | bool | int | float):
        raise UsageError(
            f"Expected `{place}` to be text, numbers, true or false, but got {value}: the agents "
            "of W&B can hand nothing else to a command line."
        )
    return value
