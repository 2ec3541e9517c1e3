"""Two processes learn, measure and predict what one does on the same batches.

So do two that divide the network among them, which is for training alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from tests.commands.runs import history, only_run
from vitatt.cli import main

pytestmark = pytest.mark.slow  # each starts processes that import torch

VITATT = str(Path(sys.executable).with_name("vitatt"))
SHARDED = Path(__file__).parents[2] / "conf" / "hardware" / "sharded.yaml"
PROCESSES = {
    "one": ["--data.batch_size=8"],
    "two": ["--data.batch_size=4", "--trainer.devices=2", "--trainer.strategy=ddp"],
    "divided": ["--data.batch_size=4", f"--config={SHARDED}", "--trainer.accelerator=cpu"],
}
WITHOUT_CHANCE = [
    "--model.fusion=vitatt.models.fusion.vitatt.AttentionFusion",
    "--model.fusion.dropout=0",
    "--model.fusion.metadata_dropout=0",
    "--model.fusion.metadata_dropout_all=0",
]
EPOCHS = 2


def run(folder: Path, *words: str, status: int = 0) -> str:
    """Run to the end; what it said on its error output."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [VITATT, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == status, done.stderr
    return done.stderr


def metrics(folder: Path) -> dict[str, list[float]]:
    """Every number that the only run logged, in order."""
    found: dict[str, list[float]] = {}
    for entry in history(only_run(folder)):
        for name, value in entry["history"]["item"].items():
            if name.startswith(("train/", "val/", "test/")) and isinstance(value, int | float):
                found.setdefault(name, []).append(value)
    return found


@pytest.fixture(scope="module")
def recipe(options) -> list[str]:
    return [word for word in options if "batch_size" not in word]


class Folders(dict[str, Path]):
    """A folder for each way to train, made when it is asked for.

    It has a training and, where that is not divided, a test and predictions.
    """

    def __init__(self, parent: pytest.TempPathFactory, recipe: list[str]) -> None:
        super().__init__()
        self.parent, self.recipe = parent, recipe

    def __missing__(self, way: str) -> Path:
        recipe, processes = self.recipe, PROCESSES[way]
        folder = self[way] = self.parent.mktemp(way)
        limits = [f"--trainer.max_epochs={EPOCHS}", "--explanations.size=2"]
        run(folder / "fit", "fit", *recipe, *processes, *WITHOUT_CHANCE, *limits)
        if way == "divided":
            return folder
        checkpoint, words = last(folder / "fit"), [*recipe, *processes]
        few = "--explanation_tests.cases=2"
        run(folder / "test", "test", *words, few, f"--ckpt_path={checkpoint}")
        (root,) = (word.partition("=")[2] for word in recipe if word.startswith("--data.root"))
        more = [f"--ckpt_path={checkpoint}", f"--data.predict_root={root}", "--output=all.csv"]
        run(folder / "predict", "predict", *words, *more)
        return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory, recipe) -> Folders:
    return Folders(tmp_path_factory, recipe)


DIVIDED = pytest.param("divided", marks=pytest.mark.slow)


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def last(folder: Path) -> Path:
    """The only run's last checkpoint."""
    return only(folder, "runs/vitatt/*/checkpoints/last.ckpt")


@pytest.mark.parametrize(
    ("way", "command"),
    [
        ("two", "fit"),
        ("two", "test"),
        pytest.param("divided", "fit", marks=pytest.mark.slow),
    ],
)
def test_the_same_metrics_in_one_run(folders, way, command):
    expected, found = (metrics(folders[name] / command) for name in ("one", way))
    # Of one process's cases; bytes of a table; what the machine took.
    apart = ("train/loss_step", "test/cases.size", "test_explanations/seconds_", "speed/")
    expected, found = (
        {name: values for name, values in one.items() if not name.startswith(apart)}
        for one in (expected, found)
    )
    assert {"fit": "val/auroc", "test": "test/balanced_accuracy"}[command] in expected
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-5, nan_ok=True), name


@pytest.mark.parametrize("way", ["two", DIVIDED])
def test_the_same_weights(folders, way):
    assert_same_weights(*(last(folders[name] / "fit") for name in ("one", way)))


def assert_same_weights(one: Path, other: Path) -> None:
    expected, found = (torch.load(path, weights_only=True) for path in (one, other))
    for name, weight in expected["state_dict"].items():
        if name.endswith("qkv.bias"):
            # The bias of keys shifts all scores alike: Adam makes steps of its rounding errors.
            key = slice(len(weight) // 3, 2 * len(weight) // 3)
            found["state_dict"][name][key] = weight[key]
        torch.testing.assert_close(found["state_dict"][name], weight, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", ["two", DIVIDED])
def test_the_same_maps(folders, way):
    expected, found = (
        {path.name: np.asarray(Image.open(path), float) for path in last_maps(folders[name])}
        for name in ("one", way)
    )
    assert len(expected) == 2
    assert expected.keys() == found.keys()
    for name, figure in expected.items():
        assert np.abs(found[name] - figure).mean() < 0.5, name  # of 255: colours are rounded


def last_maps(folder: Path) -> list[Path]:
    return [*sorted(folder.glob("fit/runs/vitatt/*/maps/step-*"))[-1].glob("tmme/*.jpg")]


@pytest.mark.slow
def test_a_divided_training_goes_on_divided(folders, recipe, tmp_path):
    more = [*recipe, *WITHOUT_CHANCE, f"--trainer.max_epochs={EPOCHS + 1}", "--explanations.size=0"]
    for way in ("one", "divided"):
        checkpoint = f"--ckpt_path={last(folders[way] / 'fit')}"
        run(tmp_path / way, "fit", *more, *PROCESSES[way], checkpoint)
    assert_same_weights(*(last(tmp_path / way) for way in ("one", "divided")))


@pytest.mark.parametrize(
    ("saved", "asked", "message"),
    [
        ("one", "divided", "was not divided among processes, .* leave out `--config conf/hardware"),
        pytest.param(
            "divided",
            "two",
            "was divided among processes, .* strategy ddp: add `--config conf/hard",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_no_other_way_to_go_on(folders, recipe, saved, asked, message, capsys):
    words = [*recipe, *PROCESSES[asked], f"--ckpt_path={last(folders[saved] / 'fit')}"]
    assert main(["fit", *words]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.slow
def test_batches_that_only_one_process_has(recipe, tmp_path):
    odd = "--data.inner_fold=1"  # nine validation cases
    words = [*recipe, *PROCESSES["divided"], "--data.batch_size=1", odd]
    said = run(tmp_path, "fit", *words, status=2)
    assert re.search(r"have \d, \d of them: set `data.batch_size` to at least 2", said), said


def test_every_case_once_with_the_same_probabilities(folders):
    for name, pattern, key in (
        ("test", "runs/vitatt/*/predictions.parquet", "case_id"),
        ("predict", "all.csv", "img_id"),
    ):
        read = pl.read_parquet if name == "test" else pl.read_csv
        expected, found = (read(only(folders[one] / name, pattern)) for one in ("one", "two"))
        assert found[key].is_unique().all()
        assert expected[key].to_list() == found[key].to_list()
        for column, kind in expected.schema.items():
            if kind.is_float():
                same = pytest.approx(expected[column].to_list(), abs=1e-5, nan_ok=True)
                assert found[column].to_list() == same, column


@pytest.mark.parametrize("way", ["one", "two", DIVIDED])
def test_one_folder_and_one_wandb_run(folders, way):
    folder = folders[way]
    for command in ("fit", "test")[: 1 if way == "divided" else 2]:
        assert len(list((folder / command).glob("runs/vitatt/*"))) == 1
        assert len(list((folder / command).glob("runs/wandb/offline-run-*"))) == 1
    steps = only(folder / "fit", "runs/vitatt/*/maps").iterdir()
    assert len(list(steps)) == EPOCHS
