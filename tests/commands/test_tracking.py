"""What a training leaves in W&B, TensorBoard and CSV, read back by their own readers."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.commands.runs import everything
from vitatt.cli import main
from vitatt.models.classifier import LesionClassifier

pytestmark = pytest.mark.long

LOGGERS = """
trainer:
  logger:
    - class_path: vitatt.callbacks.tracking.RunLogger
    - class_path: lightning.pytorch.loggers.TensorBoardLogger
      init_args: {save_dir: elsewhere}
    - class_path: lightning.pytorch.loggers.CSVLogger
      init_args: {save_dir: elsewhere}
"""
EPOCHS = 2
CASES = 4


@pytest.fixture(scope="module")
def words(options, tmp_path_factory) -> list[str]:
    config = tmp_path_factory.mktemp("loggers") / "loggers.yaml"
    config.write_text(LOGGERS)
    size = f"--explanations.size={CASES}"
    return [*options, f"--config={config}", size, "--trainer.log_every_n_steps=2"]


@pytest.fixture(scope="module")
def run(words, tmp_path_factory) -> Path:
    """The folder of a training that three loggers record."""
    folder = tmp_path_factory.mktemp("three")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NETRC", str(folder / "no-netrc"))
        patch.delenv("WANDB_DATA_DIR", raising=False)
        patch.setenv("XDG_DATA_HOME", str(folder / "home"))
        assert main(["fit", *words, f"--trainer.max_epochs={EPOCHS}"]) == 0
    (found,) = (folder / "runs" / "vitatt").iterdir()
    assert not (folder / "elsewhere").exists(), "one folder for all"
    return found


@pytest.fixture(scope="module")
def records(run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in everything(run).splitlines()]


def of(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in records if record["type"] == kind]


def numbers(records: list[dict[str, Any]]) -> dict[str, dict[int, float]]:
    """Metrics of W&B by name and step; the last one of a step."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for entry in of(records, "history"):
        item = entry["item"]
        for name, value in item.items():
            plain = isinstance(value, int | float) or value in ("NaN", "Infinity")
            if plain and "/" in name and "." not in name and name != "trainer/global_step":
                found[name][item["trainer/global_step"]] = float(value)
    return found


def test_three_loggers_hold_the_same_metrics(run, records):
    of_wandb = numbers(records)
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    table = pl.read_csv(run / "csv" / "metrics.csv", infer_schema_length=None)
    names = set(of_wandb)
    assert names >= {
        "train/loss_step",
        "val/auroc",
        "val_by_class/auroc_MEL",
        "optimizer/gradient_norm",
    }
    assert names >= {"speed/cases_per_second", "speed/data_seconds", "speed/validation_seconds"}
    assert {tag for tag in events.Tags()["scalars"] if "/" in tag} == names
    assert {name for name in table.columns if "/" in name} == names
    for name, steps in of_wandb.items():
        others = {
            "TensorBoard": {event.step: event.value for event in events.Scalars(name)},
            "CSV": dict(table.select("step", name).drop_nulls().cast({name: pl.Float64}).rows()),
        }
        for logger, found in others.items():
            assert found.keys() == steps.keys(), (logger, name)
            for step, value in steps.items():
                assert found[step] == pytest.approx(value, rel=1e-6, nan_ok=True), (logger, name)


def test_tensorboard_has_the_maps_and_charts(run):
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0}).Reload()
    tags = set(events.Tags()["images"])
    lists = {f"maps/{kind}/{n}" for kind in ("attention", "tmme", "cases") for n in range(CASES)}
    assert tags == lists | {"train/confusion", "val/confusion", "val/reliability"}
    for tag in tags:
        assert len(events.Images(tag)) == EPOCHS
    written = sorted((run / "maps").glob("step-*/tmme/*.jpg"))
    shown = {
        event.encoded_image_string
        for n in range(CASES)
        for event in events.Images(f"maps/tmme/{n}")
    }
    assert shown == {path.read_bytes() for path in written}, "as they are on disk"


def test_the_summary_has_best_and_last(records):
    summary: dict[str, Any] = {}
    for update in of(records, "summary"):
        summary |= update["update"]
    found = numbers(records)
    best = {
        "val/loss": min,
        "val/auroc": max,
        "val_by_class/sensitivity_BCC": max,
        "val/calibration_error": min,
    }
    for name, choose in best.items():
        values = list(found[name].values())
        assert len(values) == EPOCHS
        key = choose.__name__
        assert summary[name] == {
            key: pytest.approx(choose(values)),
            "last": pytest.approx(values[-1]),
        }


def test_panels_are_grouped_and_few(records):
    hidden = {
        one["name"] if "name" in one else one["glob_name"]
        for one in of(records, "metric")
        if one["options"].get("hidden")
    }
    assert hidden == {"epoch", "trainer/global_step", "train_by_class/*"}
    sections: dict[str, set[str]] = defaultdict(set)
    for entry in of(records, "history"):
        for name in entry["item"]:
            plain = name.partition(".")[0]
            if plain.startswith("_") or plain in hidden or f"{plain.partition('/')[0]}/*" in hidden:
                continue
            # W&B groups by what stands before the last slash.
            sections[plain.rpartition("/")[0]].add(plain)
    tables = {name for name in sections if name.startswith("Custom Chart Tables")}
    assert sections.keys() - tables == {
        "maps",
        "optimizer",
        "speed",
        "train",
        "val",
        "val_by_class",
    }
    assert max(len(names) for name, names in sections.items() if name != "val_by_class") <= 8
    assert sections["maps"] == {"maps/attention", "maps/tmme", "maps/cases", "maps/panel"}
    charts = {key for one in of(records, "config") for key in one["update"] if "visualize" in key}
    assert charts == {
        f"_wandb.visualize.{name}"
        for name in ("train/confusion", "val/confusion", "val/reliability")
    }


def tables(records: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The tables of a name that wait to be sent, in order."""
    found = []
    for one in of(records, "artifact"):
        if one["type"] == "table":
            entries = {entry["path"]: entry["local_path"] for entry in one["manifest"]["contents"]}
            if (path := entries.get(f"{name}.table.json")) is not None:
                found.append({**json.loads(Path(path).read_text()), "entries": entries})
    return found


def test_charts_hold_the_predictions_of_the_validation_run(run, records):
    table = pl.read_csv(run / "csv" / "metrics.csv", infer_schema_length=None)
    accuracies = table["val/balanced_accuracy"].drop_nulls().cast(pl.Float64).to_list()
    matrices = tables(records, "Custom Chart Tables/val/confusion_table")
    assert len(matrices) == EPOCHS
    for matrix, accuracy in zip(matrices, accuracies, strict=True):
        cells = pl.DataFrame(matrix["data"], schema=matrix["columns"], orient="row")
        totals = cells.group_by("Actual").agg(pl.col("nPredictions").sum().alias("all"))
        right = cells.filter(pl.col("Actual") == pl.col("Predicted")).join(totals, on="Actual")
        shares = right.filter(pl.col("all") > 0).select(pl.col("nPredictions") / pl.col("all"))
        assert shares.to_series().mean() == pytest.approx(accuracy)
    curves = tables(records, "Custom Chart Tables/val/reliability_table")
    assert len(curves) == EPOCHS
    assert {row[1] for row in curves[0]["data"]} == {"model", "perfect calibration"}


def test_the_panel_is_one_table_over_epochs(run, records):
    (table,) = tables(records, "maps/panel")
    assert table["columns"] == [
        "step",
        "epoch",
        "case_id",
        "true",
        "predicted",
        "right",
        "probability",
        "probability_of_true",
        "image_share",
        "tmme",
    ]
    rows = pl.read_csv(run / "panel.csv")
    assert rows.height == len(table["data"]) == CASES * EPOCHS
    by_case = [(row[2], row[1]) for row in table["data"]]
    assert by_case == sorted(by_case), "each case's story is together"
    assert rows["right"].to_list() == (rows["true"] == rows["predicted"]).to_list()
    for row in table["data"]:
        path = Path(table["entries"][row[-1]["path"]])
        assert path.parent.parent.name == f"step-{row[0]:06d}"
        assert path.stem == row[2].removesuffix(".png")
        assert path.is_file()


def test_nothing_is_written_twice_or_staged(run):
    folder = run.parents[2]
    assert not (folder / "home").exists()
    record = next(folder.glob("runs/wandb/offline-run-*"))
    assert (folder / "runs" / "wandb" / "latest-run").samefile(record)
    assert not [path for path in (folder / "runs").rglob("*") if "staging" in path.parts]
    figures = {path.stat().st_ino for path in run.glob("maps/*/*/*.jpg")}
    media = list((record / "files" / "media" / "images").rglob("*.jpg"))
    assert len(media) == 3 * CASES * EPOCHS
    assert {path.stat().st_ino for path in media} == figures, "second names, no copies"


def test_checkpoints_and_data_are_artifacts(run, records):
    artifacts = {
        tuple(sorted(one["aliases"])): one
        for one in of(records, "artifact")
        if one["type"] in ("model", "dataset")
    }
    assert artifacts.keys() == {("latest",), ("last", "latest"), ("best", "latest")}
    data = artifacts[("latest",)]
    assert data["use_after_commit"] is True, "an input of the run"
    assert data["name"] == "data-pad_ufes_20"
    task = LesionClassifier.load_from_checkpoint(run / "checkpoints" / "best.ckpt").task
    facts = json.loads(data["metadata"])
    assert facts["digest"] == task.seen
    assert "PAT_" not in json.dumps(facts), "no case of it"
    for alias in ("best", "last"):
        model = artifacts[alias, "latest"]
        assert model["name"] == f"model-{run.name}"
        (content,) = model["manifest"]["contents"]
        assert Path(content["local_path"]).samefile(run / "checkpoints" / f"{alias}.ckpt")
        metadata = json.loads(model["metadata"])
        assert metadata["data"] == facts
    assert json.loads(artifacts["best", "latest"]["metadata"])["val/selection"] > 0
    assert list(artifacts)[-1][0] == "best", "is W&B's latest"


def test_a_training_that_goes_on_keeps_metrics_and_panel(run, words, tmp_path, monkeypatch):
    monkeypatch.chdir(run.parents[2])
    before = (run / "csv" / "metrics.csv").read_bytes()
    panel = pl.read_csv(run / "panel.csv")
    last = f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"
    assert main(["fit", *words, f"--trainer.max_epochs={EPOCHS + 1}", last]) == 0
    assert (run / "csv" / "metrics.csv").read_bytes() == before
    assert (run / "csv-resumed-1" / "metrics.csv").is_file()
    after = pl.read_csv(run / "panel.csv")
    assert after.height == CASES * (EPOCHS + 1)
    assert after.head(panel.height).equals(panel)
    assert yaml.safe_load((run / "config-resumed-1.yaml").read_text())["trainer"]["max_epochs"] == 3


def test_a_test_logs_to_all(words, run, tmp_path):
    assert main(["test", *words, f"--ckpt_path={run}", "--explanation_tests.cases=2"]) == 0
    (found,) = Path("runs/vitatt").iterdir()
    records = [json.loads(line) for line in everything(found).splitlines()]
    of_wandb = {name: list(steps.values())[-1] for name, steps in numbers(records).items()}
    table = pl.read_csv(found / "csv" / "metrics.csv", infer_schema_length=None)
    for name in (
        "test/auroc",
        "test_intervals/all_cases_macro_AUROC_low",
        "test_explanations/stability_tmme",
    ):
        value = float(table[name].drop_nulls()[0])
        assert value == pytest.approx(of_wandb[name], rel=1e-6)
    hidden = {
        one["name"]
        for one in of(records, "metric")
        if one.get("options", {}).get("hidden") and "name" in one
    }
    bounds = {name for name in of_wandb if name.endswith(("_low", "_high"))}
    assert bounds
    assert bounds <= hidden
    assert not math.isnan(of_wandb["test/auroc"])
