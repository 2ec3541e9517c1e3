"""A benchmark ends with every arm's out-of-fold predictions, however it got there."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest
import yaml
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from tests.benchmark.conftest import ARMS, plan_of, run, tables_of
from tests.commands.runs import group_of
from vitatt.benchmark import runner
from vitatt.benchmark.plan import Arm
from vitatt.benchmark.predictions import choose, pool
from vitatt.commands import benchmark as command
from vitatt.commands.benchmark import benchmark
from vitatt.evaluation.calibration import BOUNDS, fit_temperature
from vitatt.evaluation.out_of_fold import arrays
from vitatt.models.checkpoint import read_hyper_parameters
from vitatt.models.classifier import LesionClassifier
from vitatt.types import UsageError

CLASSES = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")


@pytest.mark.long
def test_every_case_is_predicted_once_by_each_arm_and_seed(finished):
    predictions = pl.read_parquet(finished / "predictions.parquet")
    assert predictions["arm"].unique(maintain_order=True).to_list() == list(ARMS)
    for _, part in predictions.group_by("arm", "seed"):
        assert part["case_id"].n_unique() == part.height == 90
    across = predictions.group_by("group").agg(pl.col("fold").n_unique())
    assert across["fold"].max() == 1
    assert predictions["age"].null_count() < predictions.height
    assert (predictions["temperature"] > 0).all()


@pytest.mark.long
def test_the_table_agrees_with_scikit_learn(finished):
    predictions = pl.read_parquet(finished / "predictions.parquet").filter(arm="trees")
    table = pl.read_csv(finished / "tables" / "arms.csv").filter(arm="trees", cases="all")
    scores = predictions.select(f"p_{name}" for name in CLASSES).to_numpy()
    true = np.array([CLASSES.index(name) for name in predictions["true"]])
    metrics = dict(table.select("metric", "value").iter_rows())
    expected = balanced_accuracy_score(true, scores.argmax(1))
    assert metrics["balanced accuracy"] == pytest.approx(expected, abs=1e-9)
    areas = [roc_auc_score(true == n, scores[:, n]) for n in range(len(CLASSES))]
    assert metrics["macro AUROC"] == pytest.approx(np.mean(areas), abs=1e-9)


@pytest.mark.long
def test_the_protocol_says_what_was_done(finished):
    facts = json.loads((finished / "protocol.json").read_text())
    assert facts["cases"] == sum(facts["class_counts"].values()) == 90
    assert (facts["num_folds"], facts["inner_folds"], facts["seeds"]) == (2, 3, [0])
    assert set(facts["arms"]) == set(ARMS)
    assert {"copies of the label", "encoding"} <= {check["check"] for check in facts["checks"]}
    assert facts["command"].startswith("vitatt benchmark --config=")


@pytest.mark.long
def test_all_trainings_and_the_summary_are_in_one_group(finished):
    runs = sorted((finished / "runs" / "wandb").glob("offline-run-*"))
    trained = [arm for arm in ARMS.values() if not arm.keys() & {"choose_from", "tune"}]
    trainings = 2 * (len(trained) + len(ARMS["tuned"]["tune"]["model.learning_rate"]))
    assert len(runs) == trainings + 1
    assert {group_of(run) for run in runs} == {"out"}


@pytest.mark.long
def test_kept_models_are_self_contained(finished):
    for fold in range(2):
        path = finished / "jobs" / "vitatt" / f"fold-{fold}-seed-0" / "best.ckpt"
        assert read_hyper_parameters(path)["task"]["fold_spec"]["fold"] == fold
        model = LesionClassifier.load_from_checkpoint(path)
        validated = pl.read_parquet(path.with_name("val.parquet"))
        expected = fit_temperature(*arrays(validated, CLASSES)[:2])
        assert BOUNDS[0] < expected < BOUNDS[1]
        assert model.network.head.temperature.item() == pytest.approx(expected, rel=1e-6)
    assert not list((finished / "jobs" / "image_only").rglob("*.ckpt"))


@pytest.mark.long
@pytest.mark.slow
def test_a_training_that_fails_leaves_the_others_and_is_done_again(
    words, tmp_path, finished, monkeypatch
):
    real = runner.run_job

    def failing(job):
        if job.name == "trees/fold-1-seed-0":
            raise OSError("no room")
        return real(job)

    options = words(tmp_path / "again")
    shutil.copytree(finished, tmp_path / "again" / "out")
    for arm in ("trees", "two_stage"):
        shutil.rmtree(tmp_path / "again" / "out" / "jobs" / arm)
    monkeypatch.setattr(runner, "run_job", failing)
    with pytest.raises(UsageError, match=r"1 of 18 trainings failed, the first being trees/fold-1"):
        run(options)
    ran = []
    monkeypatch.setattr(runner, "run_job", lambda job: ran.append(job.name) or real(job))
    assert run(options) == 0
    assert ran == ["trees/fold-1-seed-0"]
    expected, again = tables_of(finished), tables_of(tmp_path / "again" / "out")
    assert expected.keys() == again.keys()
    for name, table in expected.items():
        assert again[name].equals(table), name


@pytest.mark.long
def test_other_settings_do_not_mix_with_what_is_finished(words, finished, capsys):
    plan = yaml.safe_load((finished.parent / "plan.yaml").read_text())
    changed = {**ARMS, "vitatt": {"title": "ViTAtt", "settings": {"model.learning_rate": 0.1}}}
    options = words(finished.parent, arms=changed)
    try:
        with pytest.raises(UsageError, match=r"model\.learning_rate: 0\.003 before, 0\.1 now"):
            run(options)
    finally:
        (finished.parent / "plan.yaml").write_text(yaml.safe_dump(plan))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": "vitat"}, "Expected `reference` to name arms .* 'vitat' is none"),
        ({"seeds": [1, 1]}, "Expected `seeds` to be different numbers"),
        ({"threads": 0}, "Expected `threads` to be at least 1"),
        ({"num_folds": 1}, "Expected `num_folds` to be at least 2, but got 1"),
        ({"inner_folds": 0}, "Expected `inner_folds` to be at least 2, but got 0"),
        ({"seeds": []}, "Expected `seeds` to be different numbers"),
        (
            {"arms": {**ARMS, "x": {"title": "X", "classical": "two_stage"}}},
            r"Expected `arms\.x` to have both .* but got two_stage and None",
        ),
        (
            {"arms": {**ARMS, "x": {"title": "X", "first_stage": "image_only"}}},
            r"Expected `arms\.x` to have both .* but got None and image_only",
        ),
        (
            {"arms": {**ARMS, "two_stage": ARMS["two_stage"] | {"settings": {"seed": 1}}}},
            r"Expected `arms\.two_stage` to have no `configs` or `settings`",
        ),
        (
            {"arms": {**ARMS, "chosen": ARMS["chosen"] | {"classical": "gradient_boosting"}}},
            r"Expected `arms\.chosen` to have `classical` or `choose_from`, but got both",
        ),
        ({"keep": ["trees"]}, "Expected `keep` to name trained networks, but got 'trees'"),
        ({"keep": ["averaged"]}, "Expected `keep` to name trained networks, but got 'averaged'"),
        (
            {"arms": {**ARMS, "x": {"title": "X", "choose_from": ["chosen"]}}},
            r"Expected `arms\.x\.choose_from` to name trained networks, but got 'chosen'",
        ),
        (
            {"arms": {**ARMS, "x": {"title": "X", "choose_from": ["trees"], "average": 2}}},
            r"Expected `arms\.x\.average` to be 1 to 1",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_refused_before_the_work(words, tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        run(words(tmp_path / "wrong", **changes))


@pytest.mark.long
def test_a_typo_in_an_arm_ends_before_the_work(words, tmp_path, capsys):
    arms = {"vitatt": {"title": "ViTAtt", "settings": {"model.learning_rte": 1}}}
    with pytest.raises(SystemExit) as leaving:
        run(words(tmp_path / "typo", arms=arms))
    assert leaving.value.code == 2
    assert "learning_rte" in capsys.readouterr().err
    assert not (tmp_path / "typo" / "out" / "jobs" / "vitatt").exists()


@pytest.mark.long
def test_trainings_of_an_earlier_version_are_not_read_and_it_is_said(words, tmp_path, capsys):
    options = words(tmp_path, arms={"vitatt": {"title": "ViTAtt", "settings": {"model.typo": 1}}})
    cells = tmp_path / "out" / "cells"
    cells.mkdir(parents=True)
    (tmp_path / "out" / "benchmark.yaml").touch()
    with pytest.raises(SystemExit):
        run(options)
    said = capsys.readouterr().out
    assert f"note: {cells} is of an earlier version of vitatt and is not read" in said


@pytest.mark.long
def test_called_from_python(tmp_path):
    arms = {"a": Arm("A"), "b": Arm("B", choose_from=["c"])}
    with pytest.raises(UsageError, match=r"`arms\.b\.choose_from` to name arms .* 'c' is none"):
        benchmark(arms=arms, reference="a", output=str(tmp_path / "out"), seeds=[0, 1])


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (
            {"settings": {"model.fusion.init_args.depth": -1}},
            "Arm 'x' cannot be trained: Expected `model.fusion.init_args.depth` to be at least",
        ),
        (
            {"settings": {"model.fusion.init_args.join_at": 0}},
            r"Arm 'x' cannot be trained: .*`token_cache\.augmentations: 1`\), but got none",
        ),
        (
            {"settings": {"data.features": "hc-0"}, "classical": "gradient_boosting"},
            r"Arm 'x' cannot be trained: boosted trees need a feature",
        ),
    ],
)
@pytest.mark.long
@pytest.mark.slow
def test_an_arm_that_cannot_be_made_ends_before_the_work(words, tmp_path, arm, message):
    with pytest.raises(UsageError, match=message):
        run(words(tmp_path / "wrong", arms={**ARMS, "x": {"title": "X", **arm}}))
    assert not list((tmp_path / "wrong").rglob("test.parquet"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers=0"], "`workers` to be at least 1, but got 0"),
        (["--workers=-1"], "`workers` to be at least 1, but got -1"),
        (["--workers=2", "--ray_address=auto"], "`workers` without `ray_address`.* 2 and auto"),
        (["--seeds=0,x"], r"`seeds` to be whole numbers, but got 0,x"),
        (["--seeds=-1"], r"`seeds` to be at least 0 .*but got -1"),
    ],
)
def test_options_that_cannot_be(words, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        run([*words(tmp_path / "wrong"), *options])
    assert not (tmp_path / "wrong" / "out").exists()


def test_a_single_word_for_a_list(words, tmp_path):
    plan = plan_of([*words(tmp_path / "a", configs="training.yaml"), "--seeds=3", "--keep=vitatt"])
    assert (plan.seeds, plan.keep) == ((3,), ("vitatt",))
    assert plan.configs == (str(tmp_path / "a" / "training.yaml"),)
    for several in (
        ["--seeds", "3,4", "--keep", "vitatt,one_feature"],
        ["--seeds", "3", "4", "--keep", "vitatt", "one_feature"],
    ):
        plan = plan_of([*words(tmp_path / "b"), *several])
        assert (plan.seeds, plan.keep) == ((3, 4), ("vitatt", "one_feature"))
    arms = {**ARMS, "x": {"title": "X", "choose_from": "vitatt", "configs": "more.yaml"}}
    arms["y"] = {"title": "Y", "configs": "more.yaml"}
    del arms["x"]["configs"]
    plan = plan_of(words(tmp_path / "c", arms=arms))
    assert plan.arms["x"].choose_from == ("vitatt",)
    assert plan.arms["y"].configs == (str(tmp_path / "c" / "more.yaml"),)


@pytest.mark.long
def test_ray_that_is_not_installed(words, tmp_path, monkeypatch):
    monkeypatch.setattr(runner.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs Ray: pip install 'vitatt\[ray\]'"):
        run([*words(tmp_path / "wrong"), "--workers=2"])


def test_a_folder_that_cannot_be_is_found_before_the_work(words, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "check_and_record", lambda plan: pytest.fail("it began"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="which --output names, cannot be made"):
        run(words(tmp_path / "a", output=str(tmp_path / "file" / "out")))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.html").write_text("mine")
    with pytest.raises(UsageError, match=r"other holds 1 entry \(report\.html\)"):
        run(words(tmp_path / "a", output=str(tmp_path / "other")))


@pytest.mark.parametrize("content", [b"[1]", b"{\n", b"\xff"])
@pytest.mark.long
def test_a_damaged_record_is_named(words, finished, tmp_path, content):
    options = words(tmp_path / "again")
    shutil.copytree(finished, tmp_path / "again" / "out")
    path = tmp_path / "again" / "out" / "jobs" / "vitatt" / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=str(path)):
        run(options)


@pytest.mark.long
@pytest.mark.slow
def test_damaged_predictions_of_a_training_are_named(words, finished, tmp_path):
    options = words(tmp_path / "again")
    shutil.copytree(finished, tmp_path / "again" / "out")
    path = tmp_path / "again" / "out" / "jobs" / "trees" / "fold-1-seed-0" / "test.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UsageError, match=rf"{path} is no parquet file.* Remove {path.parent} and"):
        run(options)


@pytest.mark.long
def test_a_mistake_in_the_code_is_shown_with_its_place():
    with pytest.raises(KeyError) as caught:
        {}["p_MEL"]
    assert "test_a_mistake_in_the_code" in runner._described(caught.value)
    assert runner._described(UsageError("Expected x.")) == "Expected x."


@pytest.mark.long
def test_no_value_is_none_for_the_trainings(words, tmp_path):
    plan = words(tmp_path / "null", options={"model.encoder_weights": None})
    assert "--model.encoder_weights=null" in plan_of(plan).options


@pytest.mark.long
def test_predictions_of_other_data_are_refused(words, finished):
    plan = plan_of(words(finished.parent))
    predictions = pl.read_parquet(finished / "predictions.parquet").filter(arm="vitatt")
    cases = predictions.select("case_id", "age").with_columns(
        case_id=pl.col("case_id").replace(predictions["case_id"][0], "elsewhere.png")
    )
    with pytest.raises(UsageError, match=r"results of other data\. Name another --output"):
        pool(plan, cases, CLASSES, ["age"])


@pytest.mark.long
def test_the_choice_looks_at_inner_predictions_alone():
    right = pl.DataFrame(
        {"true": ["x", "y"] * 5, "p_x": [0.9, 0.1] * 5, "p_y": [0.1, 0.9] * 5, "group": range(10)}
    )
    wrong = right.rename({"p_x": "p_y", "p_y": "p_x"}).select(right.columns)
    inner = {("a", 0, 0): right, ("b", 0, 0): wrong, ("a", 1, 0): wrong, ("b", 1, 0): right}
    assert choose(("a", "b"), 1, 0, inner, ("x", "y")) == ["a"]
    assert choose(("a", "b"), 1, 1, inner, ("x", "y")) == ["b"]
    assert choose(("a", "b"), 2, 1, inner, ("x", "y")) == ["b", "a"]


@pytest.mark.long
def test_averaged_arms_have_the_mean_of_their_probabilities(finished):
    predictions = pl.read_parquet(finished / "predictions.parquet")
    columns = [f"p_{name}" for name in CLASSES]
    mean, *parts = (
        predictions.filter(arm=arm).sort("case_id").select(columns).to_numpy()
        for arm in ("averaged", "vitatt", "one_feature")
    )
    assert np.abs(mean - np.mean(parts, axis=0)).max() < 1e-12
    chosen = predictions.filter(arm="chosen").sort("case_id").select(columns).to_numpy()
    same = np.any([np.abs(chosen - part).max(1) < 1e-12 for part in parts], axis=0)
    assert same.all()
