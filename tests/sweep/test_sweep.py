"""The command, with real trainings."""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from filelock import FileLock

from tests.pages import Page
from tests.sweep.conftest import PARAMETERS, TRAINING, Words, run, table_of
from vitatt.benchmark.training import NetworkTraining, ParsedTraining, quiet
from vitatt.commands.sweep import sweep
from vitatt.data.fold import FoldData
from vitatt.data.splits import split_rows
from vitatt.sweep import search as module
from vitatt.types import UsageError

pytestmark = pytest.mark.long
pytest.importorskip("optuna")

RATE = "model.learning_rate"


def test_the_results(finished: Path, words: Words) -> None:
    table = pl.read_csv(finished / "trials.csv")
    assert table["trial"].to_list() == list(range(6))
    assert set(table["state"]) <= {"complete", "stopped"}
    complete = table.filter(state="complete")
    folds = complete.select("inner_fold_0", "inner_fold_1").to_numpy()
    np.testing.assert_allclose(complete["value"], folds.mean(1))
    best = complete.sort("value", descending=True).row(0, named=True)
    overlay = yaml.safe_load((finished / "best.yaml").read_text())
    assert overlay["model"]["learning_rate"] == float(best[RATE])
    assert f"Trial {best['trial']} of a sweep" in (finished / "best.yaml").read_text()
    html = (finished / "report.html").read_text()
    page = Page(html)
    assert len(page.all("img")) == 3
    rows = [row for row in page.rows if len(row) >= 6]
    assert len(rows) == 7
    assert "It is no result to report" in html
    assert list((finished / "runs").rglob("*.wandb"))


def test_the_overlay_is_the_options(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another parser's making: the file after the configuration, and the trial's options."""
    monkeypatch.setattr(sys, "argv", ["vitatt"])
    training = finished.parent / "training.yaml"
    table = pl.read_csv(finished / "trials.csv", infer_schema=False)
    number = re.search(r"Trial (\d+)", (finished / "best.yaml").read_text())
    assert number is not None
    best = table.filter(trial=number[1]).row(0, named=True)
    options = [f"--{name}={best[name]}" for name in PARAMETERS]
    with quiet():
        by_file = ParsedTraining([f"--config={training}", f"--config={finished / 'best.yaml'}"])
        by_options = ParsedTraining([f"--config={training}", *options])
        plain = ParsedTraining([f"--config={training}"])
    assert by_file.plain()["model"] == by_options.plain()["model"] != plain.plain()["model"]


def test_a_trial_is_the_training_it_says(finished: Path, sweep_root: Path, cache_dir: Path) -> None:
    """The metric of the kept weights, trained and scored once more by other means."""
    from vitatt.models.metrics import LesionMetrics

    trial = json.loads((finished / "trials" / "0000.json").read_text())
    fold = trial["folds"][1]
    options = [f"--{name}={value}" for name, value in trial["parameters"].items()]
    training = NetworkTraining(
        [
            f"--config={finished.parent / 'training.yaml'}",
            *options,
            f"--data.root={sweep_root}",
            f"--data.cache_dir={cache_dir}",
            "--data.inner_fold=1",
            "--trainer.logger=false",
            "--explanations.size=0",
            "--explanation_tests.cases=0",
            "--checkpoint.save_top_k=0",
            "--trainer.enable_progress_bar=false",
        ]
    )
    training.fit()
    frame = training.predict("val")
    classes = training.datamodule.task.classes
    metrics = LesionMetrics(classes)
    probabilities = frame.select([f"p_{name}" for name in classes]).to_torch()
    index = [classes.index(name) for name in frame["true"]]
    metrics.update(probabilities, probabilities.new_tensor(index).long())
    assert metrics.compute()["selection"].item() == pytest.approx(fold["value"], abs=1e-5)


def test_no_trial_looks_at_the_outer_fold(
    finished: Path, words: Words, sweep_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other images, labels and answers of the test cases leave every metric as it is."""
    root = Path(shutil.copytree(sweep_root, tmp_path / "data"))
    fold = NetworkTraining(
        [
            f"--config={finished.parent / 'training.yaml'}",
            f"--data.root={sweep_root}",
            "--trainer.logger=false",
            "--explanations.size=0",
        ]
    ).datamodule.fold_data
    test = set(fold.cases("test")["case_id"])
    assert len(test) > 10
    path = next(root.rglob("metadata.csv"))
    table = pl.read_csv(path, infer_schema=False)
    of_test = table.with_columns(pl.col("img_id").is_in(test).alias("test"))
    assert of_test["test"].sum() == len(test)
    turned = {"BCC": "NEV", "NEV": "BCC", "ACK": "MEL", "MEL": "ACK", "SCC": "SEK", "SEK": "SCC"}
    changed = of_test.with_columns(
        pl.when("test").then(pl.col("diagnostic").replace(turned)).otherwise("diagnostic"),
        pl.when("test").then(pl.lit("77")).otherwise("age").alias("age"),
    )
    assert (changed["diagnostic"] != table["diagnostic"]).sum() == len(test)
    changed.drop("test").write_csv(path)
    # The images of test cases change places: new ones would number the images of all cases anew,
    # and seeds of augmentations follow that number.
    images = [next(root.rglob(name)) for name in sorted(test)]
    contents = [image.read_bytes() for image in images]
    for image, content in zip(images, [*contents[1:], contents[0]], strict=True):
        image.write_bytes(content)

    asked: list[str] = []
    cases = FoldData.cases

    def stratified_by_the_true_labels(frame, spec, fold_spec):
        """The same folds; stratification is the only place that sees labels of the outer fold."""
        original = fold.labelled.frame
        assert frame["case_id"].to_list() == original["case_id"].to_list()
        return split_rows(original, spec, fold_spec)

    def noted(self, name):
        asked.append(name)
        return cases(self, name)

    monkeypatch.setattr("vitatt.data.fold.split_rows", stratified_by_the_true_labels)
    monkeypatch.setattr(FoldData, "cases", noted)
    assert run([*words(tmp_path / "changed", root), "--trials=2"]) == 0
    assert table_of(tmp_path / "changed" / "out").equals(table_of(finished).head(2))
    assert set(asked) == {"train", "val"}


def test_cut_in_a_training_and_continued(
    finished: Path, words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*words(tmp_path), "--trials=3"]
    train, calls = module._train, 0

    class KilledError(BaseException):
        """A process that ends at once."""

    def cut(*args):
        nonlocal calls
        calls += 1
        if calls in (2, 5):
            raise KilledError
        return train(*args)

    monkeypatch.setattr(module, "_train", cut)
    for _ in range(2):
        with pytest.raises(KilledError):
            run(options)
    assert not (tmp_path / "out" / "best.yaml").exists()
    assert run(options) == 0
    table = table_of(tmp_path / "out")
    assert table.equals(table_of(finished).head(3))
    best = yaml.safe_load((tmp_path / "out" / "best.yaml").read_text())
    assert best["model"]["learning_rate"] == table.sort("value")[RATE][-1]


def test_ctrl_c_says_how_to_go_on(words, tmp_path, monkeypatch, capsys) -> None:
    train, calls = module._train, 0

    def interrupted(*args):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return train(*args)

    monkeypatch.setattr(module, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(words(tmp_path))
    out = capsys.readouterr().out
    assert "1 of 6 trials are finished. All finished trainings are kept in" in out
    assert out.rstrip().endswith("the same command goes on.")
    assert re.search(r"trial 0 \(1 of 6\): val/selection 0\.\d{4} \| .* \| best .* min left", out)


def test_a_folder_belongs_to_one_search(finished, words, tmp_path, capsys) -> None:
    options = words(finished.parent)
    with pytest.raises(
        UsageError, match=r"other settings:\n  model\.warmup: 0\.1 before, 0\.3 now"
    ):
        run([*options, "--model.warmup=0.3"])
    with pytest.raises(UsageError, match=r"sweep\.seed: 0 before, 1 now"):
        run([*options, "--seed=1"])
    with pytest.raises(UsageError, match=r"sweep\.inner_folds: 2 before, 3 now"):
        run([*options, "--inner_folds=3"])
    with (
        FileLock(finished / ".vitatt-sweep.lock"),
        pytest.raises(UsageError, match="Another `vitatt sweep` works in"),
    ):
        run(options)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("")
    with pytest.raises(UsageError, match="holds 1 entry"):
        run([*options, f"--output={tmp_path / 'other'}"])
    assert run(options) == 0  # nothing is left to do, results are written anew
    assert (
        "6 trials on 2 inner folds of outer fold 0, 6 of them finished." in capsys.readouterr().out
    )


def test_trials_that_diverge_are_recorded_and_the_search_goes_on(words, tmp_path, capsys) -> None:
    rates = {"model.learning_rate": {"values": [0.001, 1e30]}}
    options = words(tmp_path, method="grid", run_cap=None, parameters=rates)
    assert run(options) == 0
    table = table_of(tmp_path / "out")
    assert table["state"].to_list() == ["complete", "failed"]
    assert "inner fold 0" in table["reason"][1]
    assert "diverged" in table["reason"][1]
    assert "trial 1 (2 of 2): failed (inner fold 0" in capsys.readouterr().out
    assert math.isclose(
        yaml.safe_load((tmp_path / "out" / "best.yaml").read_text())["model"]["learning_rate"],
        0.001,
    )


def test_all_trials_fail(words, tmp_path) -> None:
    rates = {"model.learning_rate": {"values": [1e29, 1e30]}}
    options = words(tmp_path, method="grid", run_cap=None, parameters=rates)
    with pytest.raises(UsageError, match=r"All 2 trials failed, the first with: inner fold 0: .*"):
        run(options)
    assert pl.read_csv(tmp_path / "out" / "trials.csv")["state"].to_list() == ["failed"] * 2


def test_the_metric_is_one_of_these_trainings(words, tmp_path) -> None:
    metric = {"name": "val/selections", "goal": "maximize"}
    with pytest.raises(UsageError, match=r"`metric\.name` to be a metric .* Did you mean val/sel"):
        run(words(tmp_path, metric=metric))


def test_optuna_is_an_extra(words, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'vitatt\[sweep\]'"):
        run(words(tmp_path))


def test_unknown_keys_of_a_file(words, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        run(words(tmp_path, methods="bayes"))
    assert "methods" in capsys.readouterr().err


def test_from_python_it_needs_a_folder() -> None:
    with pytest.raises(UsageError, match="Expected `output` to name a folder"):
        sweep(
            method="random",
            metric={"name": "val/selection", "goal": "maximize"},
            parameters=PARAMETERS,
            trials=1,
        )
    assert TRAINING
