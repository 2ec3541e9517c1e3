"""Pooled figures of several folds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import balanced_accuracy_score

from vitatt.cli import main

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


@pytest.mark.parametrize("words", [["summarise", "--help"], ["demo-data", "--help"]])
def test_help(words, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(words)
    assert leaving.value.code == 0
    assert f"usage: vitatt {words[0]}" in capsys.readouterr().out
