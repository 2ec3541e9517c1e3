"""A search of 20 trials with made-up metrics, as `vitatt.sweep.search` leaves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from vitatt.sweep.plan import SweepPlan, make_plan
from vitatt.sweep.search import is_worse
from vitatt.sweep.suggestions import suggest
from vitatt.sweep.trials import FoldResult, State, Trial

ROOT = Path(__file__).parents[2]
FOLDS = 5


def plan_of_pad() -> SweepPlan:
    """The plan of ``conf/sweep/pad.yaml``."""
    shipped = yaml.safe_load((ROOT / "conf" / "sweep" / "pad.yaml").read_text())
    return make_plan(
        **{key: shipped[key] for key in ("method", "metric", "parameters", "command")},
        training_options=(),
        output=Path("sweeps/pad"),
        trials=20,
        inner_folds=FOLDS,
        seed=0,
        threads=1,
    )


def made_up_trials(plan: SweepPlan, count: int = 20) -> list[Trial]:
    """Trials whose metric depends on the learning rate, dropout and features; one fails."""
    rng = np.random.default_rng(0)
    trials: list[Trial] = []
    for number in range(count):
        parameters = suggest(plan, trials)
        rate, dropout = (
            float(parameters[name])
            for name in ("model.learning_rate", "model.fusion.init_args.dropout")
        )
        skill = 0.84 - 0.05 * (np.log10(rate) + 3) ** 2 - 0.1 * dropout
        skill -= 0.05 * (parameters["data.features"] == "hc-5")
        trial = Trial(number, parameters)
        if number == 3:
            reason = "inner fold 0: the training loss of step 12 (epoch 0) is no finite number"
            trials.append(Trial(number, parameters, (), "failed", reason))
            continue
        state: State = "running"
        folds: tuple[FoldResult, ...] = ()
        while state == "running":
            value = float(skill + 0.02 * rng.normal() + 0.01 * len(folds))
            folds = (*folds, FoldResult(len(folds), value, 13, 61.5))
            trial = Trial(number, parameters, folds)
            if len(folds) == FOLDS:
                state = "complete"
            elif is_worse(trial, trials, 1):
                state = "stopped"
        trials.append(Trial(number, parameters, folds, state))
    return trials
