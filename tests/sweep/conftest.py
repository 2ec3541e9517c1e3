"""A small sweep: two inner folds, networks that learn in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401  its log handler must not be bound to one test's stream
import polars as pl
import pytest
import yaml

from vitatt.commands.sweep import sweep
from vitatt.data.synthetic.demo import write_demo
from vitatt.options import run_command
from vitatt.sweep.plan import SweepPlan, make_plan
from vitatt.sweep.trials import Trial

TRAINING = {
    "data": {"dataset": "pad_ufes_20", "image_size": 32, "batch_size": 16, "num_workers": 0},
    "model": {"encoder": "test_vit", "learning_rate": 0.003, "freeze_encoder": True},
    "token_cache": {"augmentations": 1},
    "trainer": {"max_epochs": 1, "accelerator": "cpu"},
}
PARAMETERS = {
    "model.learning_rate": {"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1},
    "model.fusion.init_args.num_heads": {"values": [1, 2]},
    "model.fusion.init_args.metadata_dropout": {"min": 0.0, "max": 0.5},
}
SWEEP = {
    "program": "vitatt",
    "method": "bayes",
    "metric": {"name": "val/selection", "goal": "maximize"},
    "run_cap": 6,
    "parameters": PARAMETERS,
}

Words = Callable[..., list[str]]


def plan_of(parameters: dict[str, Any] = PARAMETERS, **changes: Any) -> SweepPlan:
    """A plan; its trainings are not made."""
    settings: dict[str, Any] = {
        "method": "bayes",
        "metric": SWEEP["metric"],
        "command": ["vitatt", "fit", "--config", "training.yaml", "${args}"],
        "training_options": (),
        "output": Path("out"),
        "trials": 7,
        "inner_folds": 2,
        "seed": 0,
        "threads": 1,
    }
    return make_plan(parameters=parameters, **(settings | changes))


def values_of(trials: list[Trial]) -> list[Any]:
    """What must not depend on interruptions: all but times."""
    return [
        (
            *(one.number, one.parameters, one.state, one.reason),
            [(fold.inner_fold, fold.value, fold.epoch) for fold in one.folds],
        )
        for one in trials
    ]


def run(words: list[str]) -> int:
    """The exit status of `vitatt sweep`."""
    return run_command(sweep, words)


@pytest.fixture(scope="session")
def sweep_root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "data"
    write_demo(folder, num_cases=90, image_size=32)
    return folder


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sweep-cache")


@pytest.fixture(scope="session")
def words(sweep_root, cache_dir) -> Words:
    """Options of `vitatt sweep` for a file written into a folder."""

    def write(folder: Path, root: Path = sweep_root, **changes: object) -> list[str]:
        folder.mkdir(parents=True, exist_ok=True)
        training = folder / "training.yaml"
        training.write_text(yaml.safe_dump(TRAINING))
        made = SWEEP | {"command": ["vitatt", "fit", "--config", str(training), "${args}"]}
        (folder / "sweep.yaml").write_text(yaml.safe_dump(made | changes, sort_keys=False))
        return [
            f"--config={folder / 'sweep.yaml'}",
            f"--output={folder / 'out'}",
            "--inner_folds=2",
            "--data.root",
            str(root),
            f"--data.cache_dir={cache_dir}",
        ]

    return write


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """W&B knows no login."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory, words) -> Path:
    """The output folder of a sweep that nothing disturbed."""
    pytest.importorskip("optuna")
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        assert run(words(folder)) == 0
    return folder / "out"


def table_of(output: Path) -> pl.DataFrame:
    """The table of trials without times."""
    return pl.read_csv(output / "trials.csv").drop("seconds")
