"""Commands called from Python, by keyword."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vitatt.commands import embed as embed_module
from vitatt.commands.associate import associate
from vitatt.commands.check_data import check_data
from vitatt.commands.demo_data import demo_data
from vitatt.commands.doctor import doctor
from vitatt.commands.embed import embed
from vitatt.commands.explain import explain
from vitatt.commands.summarise import summarise
from vitatt.studies.case_selection import CaseSelection
from vitatt.studies.explanation_checks import Evaluation
from vitatt.types import UsageError

pytestmark = pytest.mark.long


@pytest.fixture
def data(demo_root, options) -> dict[str, object]:
    (cache,) = [word for word in options if word.startswith("--data.cache_dir=")]
    return {"root": str(demo_root), "cache_dir": cache.partition("=")[2]}


@pytest.fixture
def labelled(data) -> dict[str, object]:
    return {**data, "dataset": "pad_ufes_20", "image_size": 32}


def test_check_data(labelled, capsys) -> None:
    assert check_data(data=labelled) == 0
    assert "Problems: 0" in capsys.readouterr().out


def test_associate(labelled, tmp_path, capsys) -> None:
    assert associate(data=labelled, output=str(tmp_path / "out")) == 0
    assert "training cases of" in capsys.readouterr().out
    assert (tmp_path / "out" / "association.csv").is_file()


def test_demo_data(tmp_path) -> None:
    assert demo_data(folder=str(tmp_path / "demo"), num_cases=48, image_size=32) == 0
    assert pl.read_csv(tmp_path / "demo" / "metadata.csv").height == 48


def test_doctor(tmp_path, capsys) -> None:
    assert doctor(cache_dir=str(tmp_path)) == 0
    assert "Problems: 0" in capsys.readouterr().out


def test_summarise(tmp_path, capsys) -> None:
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(2), 20)
    true = rng.integers(0, 2, 20)
    frame = pl.DataFrame(
        {
            "case_id": [f"case{n}" for n in range(20)],
            "group": [f"patient{n}" for n in range(20)],
            "true": ["AB"[n] for n in true],
            "predicted": ["AB"[n] for n in scores.argmax(1)],
            "p_A": scores[:, 0],
            "p_B": scores[:, 1],
        }
    )
    frame.write_parquet(tmp_path / "one.parquet")
    path = str(tmp_path / "one.parquet")
    assert summarise(runs=[path], against=path) == 0
    printed = capsys.readouterr().out
    assert "20 cases of 20 groups" in printed
    assert "Less the same metrics of the other 1 runs" in printed


def test_explain(trained, data, tmp_path) -> None:
    status = explain(
        ckpt_path=str(trained),
        output=str(tmp_path / "why"),
        data=data,
        cases=CaseSelection(sample=1),
        methods=["random"],
        evaluate=True,
        evaluation=Evaluation(methods="random", cases=1, sanity_cases=0, masked_cases=0),
    )
    assert status == 0
    assert pl.read_parquet(tmp_path / "why" / "relevance.parquet")["map"].to_list() == ["random"]
    assert set(pl.read_csv(tmp_path / "why" / "measures.csv")["method"]) == {"random"}
    assert (tmp_path / "why" / "report.html").is_file()


def test_embed(trained, data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(embed_module, "projections", lambda: ())
    monkeypatch.setattr(embed_module, "points_table", lambda *_: pl.DataFrame())
    assert embed(ckpt_path=str(trained), output=str(tmp_path / "view"), data=data, color=[]) == 0
    assert pl.read_csv(tmp_path / "view" / "separation.csv").height == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"rooot": "x"},
            r"`data` has no setting 'rooot'\. Did you mean root.* has: dataset, ro",
        ),
        ({"dataset": None}, r"`data.dataset` to name a dataset among .*pad_ufes_20, but got none"),
        ({"dataset": "pad"}, r"`data.dataset`.* isic_2019, .*pad_ufes_20, .* but got 'pad'"),
        ({"num_folds": 1}, r"`data.num_folds` to be at least 2, but got 1"),
    ],
)
def test_settings_of_the_data_that_cannot_be(labelled, change, message) -> None:
    with pytest.raises(UsageError, match=message):
        check_data(data={**labelled, **change})


def test_settings_beside_a_checkpoint_that_cannot_be(trained, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`data` has no setting 'folds'"):
        embed(ckpt_path=str(trained), output=str(tmp_path / "view"), data={"folds": 1})
    assert not (tmp_path / "view").exists()
