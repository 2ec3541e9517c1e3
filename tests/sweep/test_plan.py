from __future__ import annotations

from typing import Any

import pytest

from tests.sweep.conftest import PARAMETERS, plan_of
from vitatt.sweep.search import num_trials
from vitatt.types import UsageError

GRID = {
    "data.batch_size": {"values": [8, 16]},
    "model.fusion.init_args.depth": {"min": 1, "max": 3},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "Expected `trials` to be at least 1, but got 0"),
        ({"inner_folds": 0}, "Expected `inner_folds` to be at least 1"),
        ({"threads": 0}, "Expected `threads` to be at least 1"),
        ({"seed": -1}, "Expected `seed` to be at least 0"),
        ({"trials": None}, r"method bayes has no end: add --trials 20, or `run_cap: 20`"),
        (
            {"method": "bayesian"},
            "among bayes, random, grid, but got 'bayesian'. Did you mean bayes",
        ),
        ({"method": "grid"}, r"`parameters\.model\.learning_rate` to have `values`, since a grid"),
        (
            {"metric": {"name": "val/selection"}},
            "and a `goal`, maximize or minimize, but it has name",
        ),
        (
            {"metric": {"name": "val/loss", "goal": "minimise"}},
            "got 'minimise'. Did you mean minimize",
        ),
        ({"metric": {"name": "test/auroc", "goal": "maximize"}}, "of a validation run"),
        (
            {"metric": {"name": "val/loss", "goal": "maximize"}},
            "lower val/loss: write `goal: minimize`",
        ),
        (
            {"metric": {"name": "val/auroc", "goal": "minimize"}},
            "higher val/auroc: write `goal: max",
        ),
        ({"command": ["vitatt", "fit", "--config", "x"]}, r"begins with vitatt, fit and ends with"),
        ({"command": ["python", "train.py", "${args}"]}, "but got .'python', 'train.py'"),
        (
            {"training_options": ("--model.learning_rate=0.1",)},
            "`model.learning_rate` is a parameter .* sets --model.learning_rate too",
        ),
        (
            {"command": ["vitatt", "fit", "--model.learning_rate", "0.1", "${args}"]},
            "`model.learning_rate` is a parameter of the sweep",
        ),
    ],
)
def test_a_plan_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_of(**changes)


def test_a_parameter_is_not_set_inside_either() -> None:
    fusions = {"model.fusion": {"values": ["film", "vitatt"]}}
    option = "--model.fusion.init_args.depth=2"
    with pytest.raises(
        UsageError, match=r"`model\.fusion` is a parameter .* sets --model\.fusion\.in"
    ):
        plan_of(fusions, training_options=(option,))


def test_a_grid_ends_by_itself() -> None:
    assert num_trials(plan_of(GRID, method="grid", trials=None)) == 6
    assert num_trials(plan_of(GRID, method="grid", trials=4)) == 4
    assert num_trials(plan_of(GRID, method="grid", trials=40)) == 6
    assert num_trials(plan_of(PARAMETERS, trials=3)) == 3


def test_options_of_a_trial_follow_all_others() -> None:
    plan = plan_of(training_options=("--explanations.size=8",))
    words = plan.trial_options({"model.learning_rate": 1e-05, "data.features": "hc-5"}, 1)
    assert words[:3] == ["--config", "training.yaml", "--explanations.size=8"]
    assert "--explanations.size=0" in words[3:]
    tail = ["--model.learning_rate=1e-05", "--data.features=hc-5", "--data.inner_fold=1"]
    assert words[-3:] == tail
