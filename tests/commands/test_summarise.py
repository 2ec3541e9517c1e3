"""Pooled metrics of several folds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from vitatt.cli import main
from vitatt.studies.pooled_runs import pool_runs
from vitatt.types import FoldSpec, LesionTask

CLASSES = ["A", "B", "C"]


def predictions(seed: int, start: int, count: int = 40) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), count)
    true = rng.integers(0, 3, count)
    return pl.DataFrame(
        {
            "case_id": [f"case{start + n}" for n in range(count)],
            "group": [f"patient{(start + n) // 2}" for n in range(count)],
            "true": [CLASSES[n] for n in true],
            "predicted": [CLASSES[n] for n in p.argmax(1)],
            **{f"p_{name}": p[:, n] for n, name in enumerate(CLASSES)},
            "age": [None if n % 4 == 0 else 50.0 for n in range(count)],
        }
    )


def test_pools_the_cases_of_all_runs(tmp_path, capsys):
    parts = [predictions(0, 0), predictions(1, 40)]
    for number, part in enumerate(parts):
        (tmp_path / f"run{number}").mkdir()
        part.write_parquet(tmp_path / f"run{number}" / "predictions.parquet")
    assert main(["summarise", str(tmp_path / "run0"), str(tmp_path / "run1")]) == 0
    printed = capsys.readouterr().out
    pooled = pl.concat(parts)
    expected = balanced_accuracy_score(pooled["true"], pooled["predicted"])
    assert "80 cases of 40 groups" in printed
    assert f"balanced accuracy  {expected:.3f} [" in printed
    assert "(complete cases, n = 60)" in printed


def test_refuses_a_case_twice_and_absent_files(tmp_path, capsys):
    predictions(0, 0).write_parquet(tmp_path / "a.parquet")
    predictions(1, 39).write_parquet(tmp_path / "b.parquet")
    assert main(["summarise", str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]) == 2
    assert "1 cases, case39 among them" in capsys.readouterr().err
    assert main(["summarise", str(tmp_path / "gone")]) == 2
    assert "no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_B": pl.lit("x")}, "column p_B of .* to hold numbers, but got String"),
        ({"true": pl.lit("D")}, "to be a class among A, B, C, but it is D of case0"),
        ({"true": pl.lit(None)}, "but it is None of case0"),
        ({"group": None}, "lacks the column group"),
        ({"p_A": None, "p_B": None, "p_C": None}, "has no probabilities"),
    ],
)
def test_predictions_of_another_structure(tmp_path, capsys, change, message):
    gone = [name for name, value in change.items() if value is None]
    new = {name: value for name, value in change.items() if value is not None}
    path = tmp_path / "a.parquet"
    predictions(0, 0).drop(gone).with_columns(**new).write_parquet(path)
    assert main(["summarise", str(path)]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_runs_whose_columns_differ_in_kind(tmp_path, capsys):
    predictions(0, 0).write_parquet(tmp_path / "a.parquet")
    other = predictions(1, 40).with_columns(group=pl.lit([1]))
    other.write_parquet(tmp_path / "b.parquet")
    assert main(["summarise", str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]) == 2
    assert "columns of different kinds" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["summarise", "--help"], ["demo-data", "--help"]])
def test_help(words, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(words)
    assert leaving.value.code == 0
    assert f"usage: vitatt {words[0]}" in capsys.readouterr().out


# Averaged predictions.


def again(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """What another model says of the same cases, in another order."""
    p = np.random.default_rng(seed).dirichlet(np.ones(3), frame.height)
    return frame.with_columns(
        predicted=pl.Series([CLASSES[n] for n in p.argmax(1)]),
        **{f"p_{name}": pl.Series(p[:, n]) for n, name in enumerate(CLASSES)},
    ).sample(fraction=1, shuffle=True, seed=seed)


def saved(folder: Path, *frames: pl.DataFrame) -> list[str]:
    paths = [folder / f"{number}.parquet" for number in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        frame.write_parquet(path)
    return [str(path) for path in paths]


def test_averages_the_probabilities_of_each_case(tmp_path, capsys):
    first, second = predictions(0, 0), predictions(1, 40)
    frames = [first, second, again(first, 2), again(second, 3), again(first, 4), again(second, 5)]
    assert main(["summarise", "--average", *saved(tmp_path, *frames)]) == 0
    printed = capsys.readouterr().out
    true, favoured, single = [], [], []
    for row in pl.concat([first, second]).iter_rows(named=True):
        votes = [one for f in frames for one in f.filter(case_id=row["case_id"]).to_dicts()]
        assert len(votes) == 3
        means = [np.mean([vote[f"p_{name}"] for vote in votes]) for name in CLASSES]
        true.append(row["true"])
        favoured.append(CLASSES[int(np.argmax(means))])
        single.append(row["predicted"])
    assert favoured != single
    expected = balanced_accuracy_score(true, favoured)
    assert "Averaging 3 predictions of each case." in printed
    assert "80 cases of 40 groups" in printed
    assert f"balanced accuracy  {expected:.3f} [" in printed
    assert "(complete cases, n = 60)" in printed


def test_the_average_decides_and_not_the_majority(tmp_path):
    base = predictions(0, 0, count=2).with_columns(true=pl.lit("B"))
    sure, unsure = (0.0, 1.0, 0.0), (0.4, 0.3, 0.3)
    frames = [
        base.with_columns(
            predicted=pl.lit(said), **{f"p_{c}": pl.lit(v) for c, v in zip(CLASSES, p, strict=True)}
        )
        for said, p in (("A", unsure), ("A", unsure), ("B", sure))
    ]
    pooled, count = pool_runs(saved(tmp_path, *frames), average=True)
    assert count == 3
    assert pooled.columns == base.columns
    assert pooled["case_id"].to_list() == base["case_id"].to_list()
    assert pooled["group"].to_list() == base["group"].to_list()
    assert pooled["predicted"].to_list() == ["B", "B"]
    assert pooled["age"].to_list() == base["age"].to_list()
    np.testing.assert_allclose(pooled.select("^p_.*$").row(0), (0.8 / 3, 1.6 / 3, 0.6 / 3))


def test_averaging_predictions_made_once_changes_nothing(tmp_path):
    frame = predictions(0, 0)
    (path,) = saved(tmp_path, frame)
    once, averaged = (pool_runs([path], average=average).frame for average in (False, True))
    assert averaged.equals(once)


def test_unequal_numbers_of_predictions_are_refused(tmp_path, capsys):
    frames = [predictions(0, 0), predictions(1, 40)]
    paths = saved(tmp_path, *frames, again(frames[0], 2))
    assert main(["summarise", "--average", *paths]) == 2
    printed = capsys.readouterr()
    assert "predicted in 1 of these runs and some in 2" in printed.err
    assert "Give equally many runs of each fold." in printed.err
    assert not printed.out


@pytest.mark.parametrize("column", ["true", "group"])
def test_runs_that_disagree_on_a_case_are_refused(tmp_path, capsys, column):
    frame = predictions(0, 0)
    other = {"true": pl.lit("C"), "group": pl.lit("another")}[column]
    is_changed = pl.col("case_id") == "case7"
    frame = frame.with_columns(true=pl.lit("A"))
    changed = frame.with_columns(pl.when(is_changed).then(other).otherwise(column).alias(column))
    paths = saved(tmp_path, frame, again(changed, 1))
    assert main(["summarise", "--average", *paths]) == 2
    assert "group or diagnosis of 1 cases, case7 among them" in capsys.readouterr().err


def test_without_average_predictions_of_one_case_are_refused_with_a_hint(tmp_path, capsys):
    frame = predictions(0, 0)
    assert main(["summarise", *saved(tmp_path, frame, again(frame, 1))]) == 2
    said = capsys.readouterr().err
    assert "40 cases, case0 among them" in said
    assert "--average" in said


def test_differences_to_another_network_are_paired(tmp_path, capsys):
    one, other = predictions(0, 0), predictions(1, 0)
    other = other.with_columns(one["true"]).sample(fraction=1, shuffle=True, seed=0)
    one.write_parquet(tmp_path / "one.parquet")
    other.write_parquet(tmp_path / "other.parquet")
    words = ["summarise", str(tmp_path / "one.parquet"), "--against"]
    assert main([*words, str(tmp_path / "other.parquet")]) == 0
    printed = capsys.readouterr().out.split("Less the same metrics of the other 1 runs")[1]
    value, low, high = map(float, re.findall(r"-?\d\.\d{3}", printed)[:3])
    scores = [balanced_accuracy_score(f["true"], f["predicted"]) for f in (one, other)]
    assert value == pytest.approx(scores[0] - scores[1], abs=6e-4)
    assert low < value < high
    assert main([*words, str(tmp_path / "one.parquet")]) == 0
    assert "balanced accuracy  0.000 [0.000, 0.000]" in capsys.readouterr().out, "paired"


@pytest.mark.parametrize("change", ["fewer", "other diagnoses", "other classes"])
def test_differences_need_the_same_cases(tmp_path, capsys, change):
    one = predictions(0, 0)
    other = {
        "fewer": one.head(39),
        "other diagnoses": one.with_columns(pl.lit("A").alias("true")),
        "other classes": one.rename({"p_C": "p_D"}),
    }[change]
    one.write_parquet(tmp_path / "one.parquet")
    other.write_parquet(tmp_path / "other.parquet")
    words = [str(tmp_path / "one.parquet"), "--against", str(tmp_path / "other.parquet")]
    assert main(["summarise", *words]) == 2
    assert "The runs to compare with" in capsys.readouterr().err


def binary_run(folder: Path, seed: int, start: int, positive: str = "malignant") -> pl.DataFrame:
    """A test run of a described dataset of two classes."""
    frame = predictions(seed, start).with_columns(
        true=pl.when(true="A").then(pl.lit("malignant")).otherwise(pl.lit("benign")),
        p_malignant="p_A",
        p_benign=1 - pl.col("p_A"),
    )
    frame = frame.drop("p_A", "p_B", "p_C")
    folder.mkdir()
    frame.write_parquet(folder / "predictions.parquet")
    classes = ("malignant", "benign")
    description = {
        **{"name": "clinic", "table": "t.csv", "id": "i", "group": "g", "label": "l"},
        **{"classes": dict.fromkeys(classes), "positive": positive, "features": {"age": "numeric"}},
    }
    split = FoldSpec(0, 5, 0)
    text = json.dumps(description)
    task = LesionTask("clinic", classes, (1, 1), (), 0.1, 32, split, description=text)
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": {"task": task.to_plain()}}))
    return frame


def test_two_classes(tmp_path, capsys):
    parts = [binary_run(tmp_path / f"run{n}", n, 40 * n) for n in range(2)]
    words = ["summarise", str(tmp_path / "run0"), str(tmp_path / "run1" / "predictions.parquet")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    pooled = pl.concat(parts)
    expected = average_precision_score(pooled["true"] == "malignant", pooled["p_malignant"])
    assert re.search(rf"average precision +{expected:.3f} \[", printed)
    assert "malignant sensitivity at 95 % specificity" in printed
    assert "note" not in printed
    (tmp_path / "run1" / "config.yaml").unlink()
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "note: not every run has a config.yaml that names the positive one" in printed
    assert "macro AUROC" in printed
    assert "average precision" not in printed


def test_two_classes_of_which_another_is_positive(tmp_path, capsys):
    binary_run(tmp_path / "a", 0, 0)
    binary_run(tmp_path / "b", 1, 40, positive="benign")
    assert main(["summarise", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert "have different positive classes, benign and malignant" in capsys.readouterr().err
