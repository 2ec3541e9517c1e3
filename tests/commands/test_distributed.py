"""Two processes learn, measure and predict what one does on the same batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

from tests.commands.runs import history, only_run

VITATT = str(Path(sys.executable).with_name("vitatt"))
PROCESSES = {
    1: ["--data.batch_size=8"],
    2: ["--data.batch_size=4", "--trainer.devices=2", "--trainer.strategy=ddp"],
}
EPOCHS = 2


def run(folder: Path, *words: str) -> None:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [VITATT, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def figures(folder: Path) -> dict[str, list[float]]:
    """Every number that the only run logged, in order."""
    found: dict[str, list[float]] = {}
    for entry in history(only_run(folder)):
        for name, value in entry["history"]["item"].items():
            if name.startswith(("train/", "val/", "test/")) and isinstance(value, int | float):
                found.setdefault(name, []).append(value)
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory, options) -> dict[int, Path]:
    """A folder for each number of processes, with a training and a test in it."""
    recipe = [word for word in options if "batch_size" not in word]
    made = {}
    for count, processes in PROCESSES.items():
        folder = made[count] = tmp_path_factory.mktemp(f"processes-{count}")
        words = [*recipe, *processes]
        without_chance = [
            "--model.fusion=vitatt.models.fusion.AttentionFusion",
            "--model.fusion.dropout=0",
            "--model.fusion.metadata_dropout=0",
            "--model.fusion.metadata_dropout_all=0",
        ]
        limits = [f"--trainer.max_epochs={EPOCHS}", "--explanations.size=2"]
        run(folder / "fit", "fit", *words, *without_chance, *limits)
        (checkpoint,) = (folder / "fit").glob("runs/vitatt/*/checkpoints/last.ckpt")
        run(folder / "test", "test", *words, f"--ckpt_path={checkpoint}")
        (root,) = (word.partition("=")[2] for word in recipe if word.startswith("--data.root"))
        more = [f"--ckpt_path={checkpoint}", f"--data.predict_root={root}", "--output=all.csv"]
        run(folder / "predict", "predict", *words, *more)
    return made


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


@pytest.mark.parametrize("command", ["fit", "test"])
def test_the_same_figures_in_one_run(folders, command):
    expected, found = (figures(folder / command) for folder in folders.values())
    # Of one process's cases; bytes of a table; what the machine took.
    apart = ("train/loss_step", "test/cases.size", "test/explanations/seconds/")
    expected, found = (
        {name: values for name, values in one.items() if not name.startswith(apart)}
        for one in (expected, found)
    )
    assert {"fit": "val/auroc", "test": "test/balanced_accuracy"}[command] in expected
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-5, nan_ok=True), name


def test_the_same_weights(folders):
    expected, found = (
        torch.load(only(folder / "fit", "runs/vitatt/*/checkpoints/last.ckpt"), weights_only=True)
        for folder in folders.values()
    )
    for name, weight in expected["state_dict"].items():
        if name.endswith("qkv.bias"):
            # The bias of keys shifts all scores alike: Adam makes steps of its rounding errors.
            key = slice(len(weight) // 3, 2 * len(weight) // 3)
            found["state_dict"][name][key] = weight[key]
        torch.testing.assert_close(found["state_dict"][name], weight, rtol=1e-4, atol=1e-4)


def test_every_case_once_with_the_same_probabilities(folders):
    for name, pattern, key in (
        ("test", "runs/vitatt/*/predictions.parquet", "case_id"),
        ("predict", "all.csv", "img_id"),
    ):
        read = pl.read_parquet if name == "test" else pl.read_csv
        expected, found = (read(only(folder / name, pattern)) for folder in folders.values())
        assert found[key].is_unique().all()
        assert expected[key].to_list() == found[key].to_list()
        for column, kind in expected.schema.items():
            if kind.is_float():
                same = pytest.approx(expected[column].to_list(), abs=1e-5, nan_ok=True)
                assert found[column].to_list() == same, column


def test_one_folder_and_one_wandb_run(folders):
    for folder in folders.values():
        for command in ("fit", "test"):
            assert len(list((folder / command).glob("runs/vitatt/*"))) == 1
            assert len(list((folder / command).glob("runs/wandb/offline-run-*"))) == 1
        steps = only(folder / "fit", "runs/vitatt/*/maps").iterdir()
        assert len(list(steps)) == EPOCHS
