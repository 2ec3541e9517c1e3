"""The order of trials, stopping, failures, and continuing after a cut, with made-up trainings."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sweep.conftest import PARAMETERS, plan_of, values_of
from vitatt.sweep import search as module
from vitatt.sweep.plan import SweepPlan
from vitatt.sweep.search import is_worse, search
from vitatt.sweep.suggestions import AT_RANDOM, combinations, suggest
from vitatt.sweep.trials import FoldResult, Trial, TrialFolder, best_of
from vitatt.types import DataError, UsageError

optuna = pytest.importorskip("optuna")

CONFIG = {"checkpoint": {"monitor": None}, "data": {"inner_folds": 3}}
RATE = "model.learning_rate"


class KilledError(BaseException):
    """A process that ends at once."""


def trained(trial: Trial, inner_fold: int) -> FoldResult:
    """A metric that is best at a learning rate of 0.01; rates near 0.1 diverge."""
    distance = np.log10(trial.parameters[RATE]) + 2
    if distance > 0.8:
        raise UsageError("the training diverged")
    bonus = trial.parameters["model.fusion.init_args.num_heads"] * 0.01
    return FoldResult(
        inner_fold, float(0.9 - 0.05 * distance**2 + bonus + 0.1 * inner_fold), 1, 2.0
    )


def run(
    plan: SweepPlan, folder: Path, monkeypatch: pytest.MonkeyPatch, *, trainings: int | None = None
) -> list[Trial]:
    """All trials, or an end without notice after some trainings."""
    done = 0

    def train(plan: SweepPlan, monitor: str | None, trial: Trial, inner_fold: int) -> FoldResult:
        nonlocal done
        if done == trainings:
            raise KilledError
        done += 1
        return trained(trial, inner_fold)

    monkeypatch.setattr(module, "_train", train)
    return search(plan, CONFIG, TrialFolder(folder), lambda trials: None)


@pytest.mark.parametrize("method", ["bayes", "random", "grid"])
def test_a_search_that_is_cut_anywhere_ends_as_the_undisturbed(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters: dict[str, Any] = PARAMETERS
    if method == "grid":
        parameters = {
            RATE: {"values": [1e-4, 1e-3, 0.09]},
            "model.fusion.init_args.num_heads": {"values": [1, 2]},
        }
    plan = plan_of(
        parameters, method=method, trials=None if method == "grid" else 14, inner_folds=3
    )
    whole = run(plan, tmp_path / "whole", monkeypatch)
    total = sum(len(trial.folds) + (trial.state == "failed") for trial in whole)
    assert len(whole) == (6 if method == "grid" else 14)
    for trainings in (1, 3, 7):
        folder = tmp_path / f"cut-{trainings}"
        cuts = 0
        while True:
            try:
                again = run(plan, folder, monkeypatch, trainings=trainings)
            except KilledError:
                cuts += 1
            else:
                break
        assert cuts == (total - 1) // trainings
        assert values_of(again) == values_of(whole)
        assert best_of(again, 1) == best_of(whole, 1)
    assert run(plan, tmp_path / "whole", monkeypatch, trainings=0) == whole  # nothing is left


def test_more_trials_later_are_those_of_one_longer_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = run(plan_of(trials=12), tmp_path / "long", monkeypatch)
    short = run(plan_of(trials=6), tmp_path / "short", monkeypatch)
    assert values_of(short) == values_of(long[:6])
    assert values_of(run(plan_of(trials=12), tmp_path / "short", monkeypatch)) == values_of(long)
    assert (
        run(plan_of(trials=2), tmp_path / "short", monkeypatch)
        == TrialFolder(tmp_path / "short").read()
    )


def test_states_and_the_search_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = run(plan_of(trials=40, inner_folds=3), tmp_path / "bayes", monkeypatch)
    states = {trial.state for trial in trials}
    assert states == {"complete", "stopped", "failed"}
    for trial in trials:
        if trial.state == "failed":
            assert trial.reason == "inner fold 0: the training diverged"
            assert trial.parameters[RATE] > 10**-1.2
        else:
            assert (len(trial.folds) == 3) == (trial.state == "complete")
    rates = np.log10([float(trial.parameters[RATE]) for trial in trials]) + 2
    best = best_of(trials, 1)
    assert best is not None
    assert abs(np.log10(best.parameters[RATE]) + 2) < 0.5  # type: ignore[arg-type]
    assert np.abs(rates[20:]).mean() < np.abs(rates[:AT_RANDOM]).mean()


def test_a_suggestion_is_a_function_of_seed_number_and_earlier_trials() -> None:
    def after(seed: int, trials: list[Trial], **changes: Any) -> dict[str, Any]:
        return suggest(plan_of(seed=seed, **changes), trials)

    first = after(0, [])
    assert first == after(0, [])
    assert first != after(1, [])
    trial = Trial(0, first, (FoldResult(0, 0.5, 0, 1.0),) * 2, "complete")
    assert after(0, [trial]) != first
    for method in ("bayes", "random"):
        drawn = [after(seed, [], method=method) for seed in range(40)]
        assert {one["model.fusion.init_args.num_heads"] for one in drawn} == {1, 2}
        rates = np.log10([one[RATE] for one in drawn])
        assert rates.min() > -5
        assert rates.max() < -1
        assert -3.5 < np.median(rates) < -2.5


def test_constants_and_steps() -> None:
    plan = plan_of(
        {
            RATE: {"value": 0.1},
            "model.fusion.init_args.depth": {"min": 1, "max": 3},
            "model.fusion.init_args.dropout": {
                **{"distribution": "q_uniform", "min": 0.0, "max": 0.6, "q": 0.2}
            },
        },
        method="random",
    )
    drawn = [suggest(dataclasses.replace(plan, seed=seed), []) for seed in range(30)]
    assert {one[RATE] for one in drawn} == {0.1}
    depths = {one["model.fusion.init_args.depth"] for one in drawn}
    assert depths == {1, 2, 3}
    assert all(isinstance(depth, int) for depth in depths)
    steps = {one["model.fusion.init_args.dropout"] for one in drawn}
    assert steps == {0.0, 0.2, 0.4, 0.6}


def test_combinations_of_a_grid() -> None:
    plan = plan_of({"a": {"values": ["x", "y"]}, "b": {"min": 1, "max": 2}}, method="grid")
    made = [(one["a"], one["b"]) for one in combinations(plan.parameters)]
    assert made == [("x", 1), ("x", 2), ("y", 1), ("y", 2)]


def ended(*values: float, state: Any = "complete") -> Trial:
    return Trial(0, {}, tuple(FoldResult(n, one, 0, 1.0) for n, one in enumerate(values)), state)


def test_the_median_of_means_over_the_same_folds_stops_a_trial() -> None:
    earlier = [ended(0.1 * n, 0.9) for n in range(5)]  # first folds: median 0.2; means: 0.55
    assert is_worse(ended(0.19), earlier, 1)
    assert not is_worse(ended(0.2), earlier, 1)
    assert not is_worse(ended(0.19), earlier, -1)
    assert is_worse(ended(0.3, 0.7), earlier, 1)
    assert not is_worse(ended(0.3, 0.9), earlier, 1)
    assert not is_worse(ended(0.0), earlier[:4], 1)  # too few
    assert not is_worse(ended(0.0), [*earlier[:4], ended(0.5, state="stopped")], 1)
    stopped = [ended(0.0, state="stopped")] * 6  # they count in the median
    assert not is_worse(ended(0.1), [*earlier, *stopped], 1)


def test_a_lower_metric_can_be_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(metric={"name": "val/loss", "goal": "minimize"}, trials=12)
    trials = run(plan, tmp_path, monkeypatch)
    best = best_of(trials, plan.sign)
    complete = [trial.value for trial in trials if trial.state == "complete"]
    assert best is not None
    assert best.value == min(complete)  # type: ignore[type-var]


def test_other_files_are_no_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "trials"
    run(plan_of(trials=3), folder, monkeypatch)
    (folder / ".0001.12-ab.part.json").write_text("{")
    assert len(TrialFolder(folder).read()) == 3
    text = (folder / "0001.json").read_text()
    (folder / "0001.json").write_text(json.dumps(json.loads(text) | {"state": "running"}))
    with pytest.raises(UsageError, match=r"0001\.json is not the trial 1 of its sweep"):
        TrialFolder(folder).read()
    (folder / "0001.json").write_text("{}")
    with pytest.raises(UsageError, match=r"0001\.json is no trial of a sweep: it was changed"):
        TrialFolder(folder).read()
    (folder / "0001.json").unlink()
    with pytest.raises(UsageError, match=r"0001\.json cannot be read"):
        TrialFolder(folder).read()


def test_data_that_are_gone_end_the_search_and_fail_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: Any) -> None:
        raise DataError("the folder is gone")

    folder = TrialFolder(tmp_path)
    monkeypatch.setattr(module, "_train", unreadable)
    monkeypatch.setattr(module, "check_trainings", unreadable)
    with pytest.raises(DataError, match="the folder is gone"):
        search(plan_of(trials=2), CONFIG, folder, lambda trials: None)
    assert [(one.state, one.folds) for one in folder.read()] == [("running", ())]
    monkeypatch.setattr(module, "check_trainings", lambda plan: None)  # only these values cannot be
    search(plan_of(trials=2), CONFIG, folder, lambda trials: None)
    assert [one.state for one in folder.read()] == ["failed", "failed"]
