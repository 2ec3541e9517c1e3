from __future__ import annotations

import math
import re
from typing import Any

import pytest

from vitatt.sweep.parameters import Parameter, read_parameters
from vitatt.types import UsageError

RATE = "model.learning_rate"


def one(**settings: Any) -> Parameter:
    (found, _) = read_parameters({RATE: settings, "data.features": {"values": ["all", "hc-5"]}})
    return found


def test_every_distribution_of_both_engines() -> None:
    assert one(value=0.1) == Parameter(RATE, (0.1,))
    assert one(values=["a", True, 0.5]) == Parameter(RATE, ("a", True, 0.5))
    found = one(min=0.0, max=1.0)
    assert (found.low, found.high, found.log, found.whole) == (0.0, 1.0, False, False)
    assert found == one(distribution="uniform", min=0, max=1)
    whole = one(min=1, max=3)
    assert whole.whole
    assert whole.listed == (1, 2, 3)
    assert whole == one(distribution="int_uniform", min=1, max=3)
    assert one(distribution="q_uniform", min=0.0, max=0.6, q=0.2).step == 0.2
    by_value = one(distribution="log_uniform_values", min=1e-4, max=1e-2)
    by_log = one(distribution="log_uniform", min=math.log(1e-4), max=math.log(1e-2))
    assert by_value.log
    assert (by_log.low, by_log.high) == pytest.approx((by_value.low, by_value.high))
    assert by_value.extremes == (1e-4, 1e-2)
    assert by_value.listed == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (0.1, "to have `value`, `values`, or `min` and `max`, but got 0.1"),
        ({}, "but it has nothing"),
        ({"min": 0.1}, "but it has min"),
        ({"min": 1, "max": 2.5}, "two whole numbers .* but got 1 and 2.5"),
        ({"min": 0.5, "max": 0.1}, r"learning_rate\.min` to be below .* but got 0\.5 and 0\.1"),
        ({"min": 2, "max": 2}, "to be below"),
        ({"min": "1e-4", "max": 0.1}, "YAML reads 1e-4 as text: write it .* as in 1.0e-4"),
        ({"values": ["1e-4"]}, "YAML reads 1e-4 as text"),
        ({"values": []}, "to be a list of values"),
        ({"values": 3}, "to be a list of values, but got 3"),
        ({"values": [1, 2, 1]}, "but 1 stands there twice"),
        ({"values": [None, 1]}, "text, numbers, true or false, but got None"),
        ({"values": [[1, 2]]}, r"but got \[1, 2\]"),
        ({"min": True, "max": 2}, "to be a number, but got True"),
        ({"min": 0.0, "max": math.inf}, "to be a number, but got inf"),
        ({"distribution": "log_uniform_values", "min": 0.0, "max": 1.0}, "above 0, as its log"),
        ({"distribution": "int_uniform", "min": 0.0, "max": 1.0}, "whole numbers as `min`"),
        ({"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.3}, "multiples of"),
        ({"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.0}, "multiples of"),
        ({"distribution": "uniform", "min": 0.0}, "to have min and max, but it has min"),
        ({"distribution": "uniform", "values": [1]}, "to have min and max, but it has values"),
        ({"min": 0.0, "max": 1.0, "q": 0.1}, "to have min and max, but it has max, min, q"),
        ({"distribution": "normal", "mu": 0, "sigma": 1}, "which only W&B draws from"),
        (
            {"distribution": "loguniform_values", "min": 0.1, "max": 1.0},
            "Did you mean log_uniform_values",
        ),
        (
            {"parameters": {"x": {"value": 1}}},
            r"Name options in full, as in `model\.learning_rate\.x`",
        ),
    ],
)
def test_others_are_refused_by_name(settings: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        read_parameters({RATE: settings, "data.batch_size": {"values": [1, 2]}})
    assert RATE in str(error.value)


def test_a_sweep_has_a_choice_and_no_parameter_inside_another() -> None:
    with pytest.raises(UsageError, match="but it is empty"):
        read_parameters({})
    with pytest.raises(UsageError, match="to leave a choice"):
        read_parameters({RATE: {"value": 1}})
    inside = {"model.fusion": {"values": ["film", "vitatt"]}}
    inside |= {"model.fusion.init_args.dropout": {"min": 0.0, "max": 0.5}}
    message = "`model.fusion` contains `model.fusion.init_args.dropout`"
    with pytest.raises(UsageError, match=re.escape(message)):
        read_parameters(inside)
