"""hc-0: a network without metadata trains, is explained and tested like any other."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.commands.runs import only_run
from vitatt.cli import main
from vitatt.models.classifier import LesionClassifier

pytestmark = pytest.mark.long


@pytest.mark.slow
def test_fit_test_and_explain(options, tmp_path) -> None:
    words = [*options, "--data.features=hc-0"]
    assert main(["fit", *words, "--trainer.max_epochs=1", "--explanations.size=4"]) == 0
    run = only_run()
    assert list((run / "maps").rglob("*.jpg"))
    checkpoint = run / "checkpoints" / "best.ckpt"
    model = LesionClassifier.load_from_checkpoint(checkpoint, map_location="cpu")
    assert model.task.features == ()
    assert all(parameter.isfinite().all() for parameter in model.parameters())

    tests = [*words, f"--ckpt_path={checkpoint}", "--trainer.logger.save_dir=tests"]
    assert main(["test", *tests]) == 0
    (path,) = Path("tests").rglob("predictions.parquet")
    predictions = pl.read_parquet(path)
    assert predictions.columns[-1] == "p_SEK"

    data = [word for word in options if word.startswith(("--data.root", "--data.cache_dir"))]
    own = [f"--ckpt_path={checkpoint}", f"--output={tmp_path / 'why'}", "--cases.sample=2"]
    assert main(["explain", *data, *own]) == 0
    table = pl.read_parquet(tmp_path / "why" / "relevance.parquet")
    assert table["features"].list.len().unique().to_list() == [0]
    assert set(table["case_id"]) <= set(predictions["case_id"])
