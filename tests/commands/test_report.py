from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from tests.benchmark_folder import ARMS, CLASSES, predictions, write_benchmark
from vitatt.cli import main
from vitatt.commands.report import report
from vitatt.evaluation.summary import summarise
from vitatt.reports.benchmark import source as report_source
from vitatt.types import FoldSpec, LesionTask, UsageError

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark with its report."""
    folder = write_benchmark(tmp_path_factory.mktemp("benchmark"))
    assert report(str(folder)) == 0
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
    for row in arms.filter(metric="balanced accuracy", cases="all").iter_rows(named=True):
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
    assert report(str(copied), output=str(output)) == 0
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
        report(str(copied))


def test_a_test_run(trained: Path, options: list[str], tmp_path: Path) -> None:
    checkpoint = trained / "checkpoints" / "best.ckpt"
    undrawn = ["--explanations.size=0", "--explanation_tests.cases=0"]
    assert main(["test", *options, *undrawn, f"--ckpt_path={checkpoint}"]) == 0
    (run,) = (tmp_path / "runs" / "vitatt").iterdir()
    assert report(str(run)) == 0
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
        report(str(trained))


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


RANKS = b"metric,arm,mean_rank,blocks,friedman_p,critical_difference\nx,y,many,2,3,4\n"


def change(**values: object) -> Callable[[Path], object]:
    """Writes other values into the protocol."""

    def write(folder: Path) -> None:
        path = folder / "protocol.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return write


def write(name: str, content: bytes) -> Callable[[Path], object]:
    """Writes another file of that name, newer than the predictions."""
    return lambda folder: (folder / name).write_bytes(content)


def put_folder(name: str) -> Callable[[Path], object]:
    """Puts a folder where a file was."""

    def put(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return put


def retype(column: str, value: object) -> Callable[[Path], object]:
    """Writes another kind of value into a column of the predictions."""

    def put(folder: Path) -> None:
        path = folder / "predictions.parquet"
        pl.read_parquet(path).with_columns(pl.lit(value).alias(column)).write_parquet(path)

    return put


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (write("protocol.json", b"[1]"), r"protocol\.json to hold values by name, .* a list"),
        (write("protocol.json", b"{\n\n,"), r"protocol\.json, line 3: this is no JSON"),
        (write("protocol.json", b'{\n"a": "\xff"}'), r"protocol\.json, line 2: this is no UTF-8"),
        (put_folder("protocol.json"), r"protocol\.json cannot be read: Is a directory\."),
        (put_folder("predictions.parquet"), r"predictions\.parquet is no parquet file"),
        (put_folder("tables/arms.csv"), r"the table to be a file, but .*arms\.csv is a folder"),
        (write("tables/arms.csv", b"arm,cases\nvitatt,all\n"), r"arms\.csv lacks the column n:"),
        (write("tables/ranks.csv", RANKS), r"ranks\.csv cannot be read as a table"),
        (change(num_folds="2"), r"`num_folds` in .* to be a whole number, but got '2'"),
        (change(num_folds=True), r"`num_folds` in .* to be a whole number, but got True"),
        (change(arms=["vitatt"]), r"`arms` in .* to be values by name, but got \['vitatt'\]"),
        (change(arms={"vitatt": "x"}), r"`arms` in .* a `title` and a `source` for 'vitatt'"),
        (change(classes="ACK"), r"`classes` in .* to be a list, but got 'ACK'"),
        (change(classes=["XYZ"]), r"`classes` of .* to be those of PAD-UFES-20, .* got 'XYZ'"),
        (change(seeds=[[0]]), r"`seeds` in .* to be a list of whole numbers"),
        (change(reference="other"), r"`reference` of .* one of its arms, vitatt, .* got 'other'"),
        (change(dataset=["pad_ufes_20"]), r"to name a dataset, but got .* the file was changed"),
        (retype("p_MEL", "high"), r"column p_MEL of .* to hold numbers, but got String"),
        (retype("true", "XYZ"), r"`true` in .* to be a class among ACK, .*, but got XYZ"),
        (
            lambda folder: (folder / "protocol.json").unlink(),
            "vitatt benchmark.*vitatt test.*neither",
        ),
        (lambda folder: (folder / "protocol.json").write_text("{"), "line 1: this is no JSON"),
        (rename, "name a dataset among .*isic_2019, .*pad_ufes_20, .*but got 'other'"),
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
        report(str(copied))
    assert str(copied) in str(caught.value)
    assert not (copied / "report.html").exists()


RUN = ("config.yaml", "predictions.parquet")


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a report reads of a test run, made up."""
    folder = tmp_path_factory.mktemp("tested")
    frame = predictions({"vitatt": ARMS["vitatt"]}, folds=1, seeds=(0,))
    frame.drop("arm", "fold", "seed", "temperature").write_parquet(folder / RUN[1])
    split = {"fold": 0, "num_folds": 5, "seed": 0, "inner_folds": 5, "inner_fold": 0}
    task = LesionTask("pad_ufes_20", CLASSES, (1,) * 6, (), 0.1, 224, FoldSpec(**split))
    model = {
        "encoder": "vit",
        "freeze_encoder": True,
        "fusion": {"class_path": "vitatt.models.fusion.vitatt.AttentionFusion", "init_args": {}},
    }
    config = {"data": {"task": task.to_plain()}, "model": model}
    (folder / RUN[0]).write_text(yaml.safe_dump(config))
    return folder


def changed(*keys: str, value: object) -> Callable[[Path], object]:
    """Writes another value into the configuration."""

    def put(folder: Path) -> None:
        path = folder / "config.yaml"
        config = inner = yaml.safe_load(path.read_text())
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        path.write_text(yaml.safe_dump(config))

    return put


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (write("config.yaml", b"data:\n  task: [\n"), r"config\.yaml, line 3: this is no YAML"),
        (write("config.yaml", b"- data"), r"config\.yaml to hold values by name, .* a list"),
        (write("config.yaml", b"when: 2026-13-45"), r"config\.yaml is no YAML"),
        (write("config.yaml", b"data:\n- \xff"), r"config\.yaml, line 2: this is no UTF-8"),
        (put_folder("config.yaml"), r"config\.yaml cannot be read: Is a directory"),
        (changed("data", value=[1]), "is not of a test"),
        (changed("data", "task", value="x"), "is not of a test"),
        (changed("data", "task", "fold_spec", value=None), "Expected a task with the keys"),
        (changed("data", "task", "dataset", value="x"), "to name a dataset among"),
        (changed("model", value=None), r"`model\.encoder` in .*config\.yaml to be a name"),
        (changed("model", "fusion", value="x"), r"`model\.fusion\.class_path` in .* but got None"),
        (retype("p_ACK", "x"), "column p_ACK of .* to hold numbers"),
    ],
)
def test_a_damaged_run_is_named(
    tested: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    folder = Path(shutil.copytree(tested, tmp_path / "run"))
    damage(folder)
    with pytest.raises(UsageError, match=message):
        report(str(folder))
    assert not (folder / "report.html").exists()


def test_a_run_that_is_whole(tested: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tested, tmp_path / "run"))
    assert report(str(folder)) == 0
    first = (folder / "report.html").read_text()
    assert report(str(folder)) == 0, "its own files are written anew"
    assert (folder / "report.html").read_text() == first
    # As pages were before they said whose they are.
    earlier = first.replace('<meta name="generator" content="vitatt">\n', "")
    assert earlier != first
    (folder / "report.html").write_text(earlier)
    assert report(str(folder)) == 0
    assert (folder / "report.html").read_text() == first


@pytest.mark.parametrize("name", ["page.html", "model_card.md"])
def test_a_file_of_somebody_else_is_not_written_over(copied: Path, name: str) -> None:
    folder = copied / "elsewhere"
    folder.mkdir()
    (folder / name).write_text("<!doctype html><title>mine</title># Model card: mine")
    with pytest.raises(UsageError, match=rf"{name} exists already and is no .* of vitatt"):
        report(str(copied), output=str(folder / "page.html"))
    assert [path.name for path in folder.iterdir()] == [name]
    assert "mine" in (folder / name).read_text()


def test_output_that_is_a_folder(copied: Path) -> None:
    with pytest.raises(UsageError, match="to be a file"):
        report(str(copied), output=str(copied))


def test_output_below_a_file(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_source, "read_json", lambda path: pytest.fail("it was read"))
    with pytest.raises(UsageError, match="which --output names, cannot be made"):
        report(str(copied), output=str(copied / "protocol.json" / "report.html"))
