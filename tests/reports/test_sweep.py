from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.pages import Page, chromium
from tests.sweep.made_up import made_up_trials, plan_of_pad
from vitatt.reports.sweep import sweep_page, sweep_sections
from vitatt.sweep.outcome import fit_command, fold_interval, importances, trials_table
from vitatt.sweep.plan import SweepPlan
from vitatt.sweep.trials import Trial, best_of

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def made() -> tuple[SweepPlan, list[Trial], Trial]:
    plan = plan_of_pad()
    trials = made_up_trials(plan)
    best = best_of(trials, plan.sign)
    assert best is not None
    assert {trial.state for trial in trials} == {"complete", "stopped", "failed"}
    return plan, trials, best


def test_the_page(made, tmp_path: Path) -> None:
    plan, trials, best = made
    path = tmp_path / "report.html"
    command = fit_command(plan, Path("sweeps/pad/best.yaml"))
    assert command == "vitatt fit --config conf/pad.yaml --config sweeps/pad/best.yaml"
    sweep_page(
        path,
        title="Sweep: <pad>",
        facts={"trials": "20"},
        plan=plan,
        trials=trials,
        best=best,
        outer_fold=2,
        shares=importances(plan, trials),
        command=command,
    )
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert "<h1>Sweep: &lt;pad&gt;</h1>" in html
    text = " ".join(html.split())
    assert f"The best of 20 trials has a val/selection of {best.value:.3f} [" in text
    assert "5 inner folds of outer fold 2" in text
    assert "This value is optimistic: it is the best of 20" in text
    assert "Trial 3 failed: inner fold 0: the training loss of step 12" in text
    assert command in html
    assert len(page.all("img")) == 3
    rows = {row[0]: row for row in page.rows if row}
    assert rows[f"{best.number}best"][2] == "complete"
    assert rows["3"][1:3] == ["–", "failed"]
    stopped = next(trial for trial in trials if trial.state == "stopped")
    assert rows[str(stopped.number)][2] == f"stopped after {len(stopped.folds)}"
    with chromium() as browser:
        for width in (1280, 400):
            shown = browser.new_page(viewport={"width": width, "height": 900})
            shown.goto(path.as_uri())
            assert shown.evaluate("document.documentElement.scrollWidth") <= width
            shown.close()


def test_too_few_trials_for_importances(made) -> None:
    plan, trials, _ = made
    few = [trial for trial in trials if trial.state == "complete"][:2]
    best = best_of(few, 1)
    assert importances(plan, few) == {}
    sections = sweep_sections(plan, few, best, 0, {}, "vitatt fit")
    assert [section.title for section in sections] == [
        *("Best parameters", "Trials", "Parameters", "Importance")
    ]
    assert "too few complete trials" in sections[3].paragraphs[0]
    assert not sections[3].plots
    assert not sections[1].points


def test_importance_of_the_parameter_that_alone_matters(made) -> None:
    plan, trials, _ = made
    name = "model.fusion.init_args.dropout"
    alone = [
        dataclasses.replace(
            trial,
            state="complete",
            folds=tuple(
                dataclasses.replace(fold, value=float(trial.parameters[name]))
                for fold in trial.folds
            ),
        )
        for trial in trials
        if trial.folds
    ]
    shares = importances(plan, alone)
    assert next(iter(shares)) == name
    assert shares[name] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    same = [dataclasses.replace(one, folds=alone[0].folds) for one in alone]
    assert importances(plan, same) == {}


def test_the_interval_of_the_inner_folds(made) -> None:
    from scipy import stats

    _, trials, best = made
    values = [fold.value for fold in best.folds]
    low, high = stats.t.interval(0.95, 4, sum(values) / 5, stats.sem(values))
    assert fold_interval(best) == pytest.approx((sum(values) / 5, low, high))
    two = dataclasses.replace(best, folds=best.folds[:2])
    alone = fold_interval(two)
    assert alone is not None
    assert alone.low != alone.low
    assert fold_interval(trials[3]) is None


def test_the_table(made) -> None:
    plan, trials, best = made
    table = trials_table(plan, trials, 5)
    row = table.row(best.number, named=True)
    assert row["value"] == best.value
    assert [row[f"inner_fold_{n}"] for n in range(5)] == [fold.value for fold in best.folds]
    assert float(row["model.learning_rate"]) == best.parameters["model.learning_rate"]
    failed = table.row(3, named=True)
    assert failed["value"] is None
    assert failed["reason"].startswith("inner fold 0")
    stopped = table.filter(state="stopped")
    assert stopped["inner_fold_4"].null_count() == stopped.height
    assert table["low"].is_nan().sum() == 0
