from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.benchmark_folder import CLASSES, write_benchmark
from vitatt.cli import main
from vitatt.commands import report as report_command
from vitatt.commands import report_source
from vitatt.commands.report import report
from vitatt.evaluation.report_page import Section
from vitatt.evaluation.summary import summarise
from vitatt.types import UsageError


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark with its report."""
    folder = write_benchmark(tmp_path_factory.mktemp("benchmark"))
    assert report([str(folder)]) == 0
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def forbidden(*args: object, **settings: object) -> None:
    raise AssertionError("tables were made again")


def test_writes_page_card_and_tables(finished: Path) -> None:
    html = (finished / "report.html").read_text()
    card = (finished / "model_card.md").read_text()
    arms = pl.read_csv(finished / "tables" / "arms.csv")
    for row in arms.filter(figure="balanced accuracy", cases="all").iter_rows(named=True):
        assert f"{row['value']:.3f} <span" in html
    assert "<h1>Benchmark: PAD-UFES-20</h1>" in html
    assert card.startswith("# Model card: ViTAtt on PAD-UFES-20")
    assert {path.stem for path in (finished / "tables").iterdir()} == {
        "arms",
        "pairs",
        "ranks",
        "subgroups",
    }


def test_tables_on_file_are_read_and_give_the_same_page(
    copied: Path,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(report_source, "write_tables", forbidden)
    output = copied / "elsewhere" / "page.html"
    assert report([str(copied), "--output", str(output)]) == 0
    assert output.read_text() == (finished / "report.html").read_text()
    card = output.with_name("model_card.md")
    assert card.read_text() == (finished / "model_card.md").read_text()
    assert capsys.readouterr().out == f"Report: {output}\nModel card: {card}\n"


def test_tables_older_than_the_predictions_are_made_again(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(copied / "tables" / "ranks.csv", (0, 0))
    monkeypatch.setattr(report_source, "write_tables", forbidden)
    with pytest.raises(AssertionError, match="made again"):
        report([str(copied)])


def test_a_test_run(trained: Path, options: list[str], tmp_path: Path) -> None:
    checkpoint = trained / "checkpoints" / "best.ckpt"
    undrawn = ["--explanations.size=0", "--explanation_tests.cases=0"]
    assert main(["test", *options, *undrawn, f"--ckpt_path={checkpoint}"]) == 0
    (run,) = (tmp_path / "runs" / "vitatt").iterdir()
    assert report([str(run)]) == 0
    html = (run / "report.html").read_text()
    frame = pl.read_parquet(run / "predictions.parquet")
    features = frame.columns[frame.columns.index(f"p_{CLASSES[-1]}") + 1 :]
    assert len(features) == 21
    intervals = summarise(frame, CLASSES, features).intervals
    for where in ("all cases", "complete cases"):
        # What the test itself has printed.
        value, rest = str(intervals[where]["balanced accuracy"]).split(" ", 1)
        assert f'{value} <span class="quiet">{rest}</span>' in html
    assert "Only outer fold 0 was predicted" in html
    for absent in ("tempered", "Holm", "Forest plot", "temperature"):
        assert absent not in html
    card = (run / "model_card.md").read_text()
    assert f"vitatt test --config {run / 'config.yaml'}" in card


def test_a_training_is_no_test(trained: Path) -> None:
    with pytest.raises(UsageError, match=r"not of a test.*vitatt test"):
        report([str(trained)])


def rename(folder: Path) -> None:
    path = folder / "protocol.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dataset": "other"}))


def lose_key(folder: Path) -> None:
    path = folder / "protocol.json"
    plain = json.loads(path.read_text())
    del plain["num_folds"]
    path.write_text(json.dumps(plain))


def add_seed(folder: Path) -> None:
    path = folder / "protocol.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({**plain, "seeds": [*plain["seeds"], 77]}))


def drop_column(folder: Path) -> None:
    path = folder / "predictions.parquet"
    pl.read_parquet(path).drop(f"p_{CLASSES[2]}").write_parquet(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "protocol.json").unlink(),
            "vitatt benchmark.*vitatt test.*neither",
        ),
        (lambda folder: (folder / "protocol.json").write_text("{"), "no JSON"),
        (rename, "name a dataset among pad_ufes_20, isic_2019, but got 'other'"),
        (lose_key, "to hold `num_folds`"),
        (add_seed, r"every seed of .*77\], but it has .* not finished"),
        (lambda folder: (folder / "predictions.parquet").unlink(), "no such file.*not finished"),
        (lambda folder: (folder / "predictions.parquet").write_text("x"), "no parquet file"),
        (drop_column, "lacks the column p_MEL"),
    ],
)
def test_a_damaged_folder_is_named(
    copied: Path, damage: Callable[[Path], object], message: str
) -> None:
    (copied / "report.html").unlink()
    damage(copied)
    with pytest.raises(UsageError, match=message) as caught:
        report([str(copied)])
    assert str(copied) in str(caught.value)
    assert not (copied / "report.html").exists()


def test_output_that_is_a_folder(copied: Path) -> None:
    with pytest.raises(UsageError, match="to be a file"):
        report([str(copied), "--output", str(copied)])


def test_output_below_a_file(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_command, "report_sections", lambda *_: [Section("Empty")])
    with pytest.raises(UsageError, match="Could not write"):
        report([str(copied), "--output", str(copied / "protocol.json" / "report.html")])
