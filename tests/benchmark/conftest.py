"""A small benchmark: two folds, one seed, networks that learn in seconds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch  # noqa: F401  its log handler must not be bound to one test's stream
import polars as pl
import pytest
import yaml

from vitatt.benchmark.plan import Benchmark
from vitatt.commands.benchmark import benchmark, make_plan
from vitatt.data.synthetic.demo import write_demo
from vitatt.options import arguments_of, run_command

TRAINING = {
    "data": {"dataset": "pad_ufes_20", "image_size": 32, "batch_size": 16, "num_workers": 0},
    "model": {"encoder": "test_vit", "learning_rate": 0.003, "freeze_encoder": True},
    "token_cache": {"augmentations": 1},
    "trainer": {"max_epochs": 2, "accelerator": "cpu"},
}
IMAGE_ONLY = "vitatt.models.fusion.image_only.ImageOnly"
ARMS = {
    "vitatt": {"title": "ViTAtt"},
    "one_feature": {"title": "HC-1", "settings": {"data.features": "hc-1"}},
    "image_only": {"title": "Image only", "settings": {"model.fusion": IMAGE_ONLY}},
    "trees": {"title": "Boosted trees", "classical": "gradient_boosting"},
    "regression": {"title": "Regression", "classical": "logistic_regression"},
    "regression_image": {
        "title": "Regression, image only",
        "classical": "logistic_regression",
        "settings": {"model.fusion": IMAGE_ONLY},
    },
    "two_stage": {"title": "Two stages", "classical": "two_stage", "first_stage": "image_only"},
    "chosen": {"title": "Chosen inside", "choose_from": ["vitatt", "one_feature"]},
    "tuned": {"title": "Tuned", "tune": {"model.learning_rate": [0.001, 0.01]}},
    "averaged": {"title": "Both", "choose_from": ["vitatt", "one_feature"], "average": 2},
}
PLAN = {"reference": "vitatt", "num_folds": 2, "inner_folds": 3, "seeds": [0], "keep": ["vitatt"]}


@pytest.fixture(scope="session")
def bench_root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "data"
    write_demo(folder, num_cases=90, image_size=32)
    return folder


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bench-cache")


Words = Callable[..., list[str]]


def run(words: list[str]) -> int:
    """The exit status of `vitatt benchmark`."""
    return run_command(benchmark, words)


def plan_of(words: list[str]) -> Benchmark:
    """The plan that options of `vitatt benchmark` describe."""
    bound = inspect.signature(benchmark).bind(**arguments_of(benchmark, words))
    bound.apply_defaults()
    of_plan = inspect.signature(make_plan).parameters
    return make_plan(**{name: bound.arguments[name] for name in of_plan})


@pytest.fixture(scope="session")
def words(bench_root, cache_dir) -> Words:
    """Options of `vitatt benchmark` for a configuration written into a folder."""

    def write(folder: Path, root: Path = bench_root, **changes: object) -> list[str]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "training.yaml").write_text(yaml.safe_dump(TRAINING))
        plan = {"configs": ["training.yaml"], "arms": ARMS, "output": str(folder / "out"), **PLAN}
        (folder / "plan.yaml").write_text(yaml.safe_dump(plan | changes, sort_keys=False))
        return [
            f"--config={folder / 'plan.yaml'}",
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
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory, words) -> Path:
    """The output folder of a benchmark that nothing disturbed."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        assert run(words(folder)) == 0
    return folder / "out"


def tables_of(output: Path) -> dict[str, pl.DataFrame]:
    """What must not depend on how often or where a benchmark was run."""
    frames = {path.stem: pl.read_csv(path) for path in sorted((output / "tables").glob("*.csv"))}
    return frames | {"predictions": pl.read_parquet(output / "predictions.parquet")}
