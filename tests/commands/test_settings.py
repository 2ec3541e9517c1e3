"""Settings that would be silently wrong are refused before any work, in one line."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import re
from pathlib import Path

import pytest
import torch

from tests.commands.runs import only_run, refused
from tests.tasks import make_task
from vitatt import training
from vitatt.cli import main
from vitatt.models import fusion
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.metrics import LesionMetrics, check_monitor, direction, logged_name
from vitatt.ranges import Range, check_ranges
from vitatt.types import UsageError

pytestmark = pytest.mark.long

QUIET = ["--trainer.logger=false", "--explanations.size=0", "--trainer.max_epochs=1"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("model.learning_rate=-1", "`model.learning_rate` to be above 0, but got -1"),
        ("model.encoder_learning_rate=-0.1", "at least 0, but got -0.1"),
        ("model.layer_decay=0", "above 0 and at most 1, but got 0"),
        ("model.weight_decay=-1", "`model.weight_decay` to be at least 0"),
        ("model.warmup=1.5", "`model.warmup` to be at least 0 and at most 1, but got 1.5"),
        ("model.label_smoothing=2", "`model.label_smoothing` to be at least 0 and below 1"),
        ("model.focal_gamma=-2", "`model.focal_gamma` to be at least 0"),
        ("model.learning_rate=.nan", "`model.learning_rate` to be above 0, but got nan"),
        ("model.learning_rate=.inf", "`model.learning_rate` to be above 0, but got inf"),
        ("model.freeze_encoder=-1", "`model.freeze_encoder` to be at least 0"),
        ("model.fusion.init_args.dropout=1", "`model.fusion.init_args.dropout` to be at least 0"),
        ("model.fusion.init_args.depth=-1", "`model.fusion.init_args.depth` to be at least 0"),
        ("data.image_size=0", "`data.image_size` to be at least 1, but got 0"),
        ("data.num_workers=-1", "`data.num_workers` to be at least 0, but got -1"),
        ("data.batch_size=0", "`data.batch_size` to be at least 1, but got 0"),
        ("data.smoothing=1", "`data.smoothing` to be"),
        ("data.num_bins=1", "`data.num_bins` to be at least 2"),
        ("data.seed=-1", "`data.seed` to be at least 0"),
        ("explanations.size=-1", "`explanations.size` to be at least 0, but got -1"),
        ("explanation_tests.cases=-1", "`explanation_tests.cases` to be at least 0"),
        ("token_cache.augmentations=-1", "`token_cache.augmentations` to be at least 0"),
        ("checkpoint.save_top_k=-2", "`checkpoint.save_top_k` to be at least -1"),
        ("early_stopping.patience=-1", "`early_stopping.patience` to be at least 0"),
        ("early_stopping.min_delta=-1", "`early_stopping.min_delta` to be at least 0"),
    ],
)
def test_a_number_out_of_its_range(options, capsys, setting, said):
    words = ["fit", *options, "--model.fusion=AttentionFusion", f"--{setting}"]
    # Data that cannot be read would be found later.
    assert said in refused([*words, "--data.root=nowhere"], capsys)


def numbers(function: object) -> set[str]:
    """Arguments that are numbers."""
    found = inspect.signature(function).parameters.values()
    return {p.name for p in found if re.search(r"\b(int|float)\b", str(p.annotation))}


NETWORKS = [kind for kind in LesionNetwork.__subclasses__() if kind.__module__.startswith("vitatt")]


@pytest.mark.parametrize("kind", [*training.SECTIONS.values(), *NETWORKS], ids=lambda k: k.__name__)
def test_every_number_has_a_range(kind):
    assert numbers(kind) <= kind.ranges.keys()


def test_there_are_networks_to_look_at():
    assert fusion.__name__
    assert {kind.__name__ for kind in NETWORKS} >= {"AttentionFusion"}


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (Range(least=0), [0, 0.5, 1e9], [-1e-9, float("nan"), float("inf")]),
        (Range(above=0, most=1), [1e-9, 1], [0, 1.1]),
        (Range(least=0, below=1), [0, 0.99], [1, -1]),
    ],
)
def test_ranges(allowed, inside, outside):
    for value in inside:
        check_ranges({"x": allowed}, {"x": value})
    for value in [*outside, [inside[0], outside[0]]]:
        with pytest.raises(UsageError, match=f"Expected `part.x` to be {allowed}, but got"):
            check_ranges({"x": allowed}, {"x": value}, "part")
    check_ranges({"x": allowed}, {"x": None})
    check_ranges({"x": allowed}, {"x": True})


def test_directions():
    classes = ("ACK", "MEL")
    task = dataclasses.replace(make_task(classes=classes), positive="MEL")
    metrics = LesionMetrics(classes, "MEL")
    metrics.update(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([0, 1]))
    perfect = metrics.compute()
    metrics.reset()
    metrics.update(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([0, 1]))
    wrong = metrics.compute()
    for name in perfect:
        logged = logged_name("val", name)
        check_monitor(logged, task, "checkpoint.monitor")
        better = {"max": perfect[name] > wrong[name], "min": perfect[name] < wrong[name]}
        assert better[direction(logged)], name
    assert direction("val/loss") == "min"


def test_the_lowest_loss_is_best(options, monkeypatch):
    words = ["--checkpoint.monitor=val/loss", "--early_stopping.monitor=val/loss"]
    words += ["--trainer.max_epochs=4", "--explanations.size=0", "--early_stopping.patience=1"]
    assert main(["fit", *options, *words]) == 0
    folder = only_run() / "checkpoints"
    last = torch.load(folder / "last.ckpt", weights_only=True)
    history = last["callbacks"]["BestCheckpoint"]["history"]
    lowest = min(history, key=lambda one: one[0])
    assert torch.load(folder / "best.ckpt", weights_only=True)["epoch"] == lowest[1]
    falling = all(b[0] < a[0] for a, b in itertools.pairwise(history))
    assert not falling or len(history) == 4, "it does not stop while the loss falls"


def test_without_a_metric_the_end_of_the_training_is_kept(options, caplog):
    words = ["--checkpoint.monitor=null", "--trainer.max_epochs=3", "--explanations.size=0"]
    assert main(["fit", *options, *words]) == 0
    assert "is epoch 2, the last of 3 validation runs" in caplog.text
    folder = only_run() / "checkpoints"
    best, last = (
        torch.load(folder / f"{name}.ckpt", weights_only=True) for name in ("best", "last")
    )
    assert best["global_step"] == last["global_step"]
    for key, value in last["state_dict"].items():
        assert torch.equal(best["state_dict"][key], value), key


@pytest.mark.parametrize("section", ["checkpoint", "early_stopping"])
def test_an_unknown_metric(options, capsys, section):
    said = refused(["fit", *options, f"--{section}.monitor=val/balanced_acc"], capsys)
    assert f"`{section}.monitor` to be a metric of a validation run" in said
    assert "Did you mean val/balanced_accuracy?" in said
    assert "val/loss, val/balanced_accuracy, val/auroc" in said


def test_a_metric_that_is_undefined(options, monkeypatch, capsys):
    compute = LesionMetrics.compute

    def undefined(metrics):
        return {**compute(metrics), "selection": torch.tensor(float("nan"))}

    monkeypatch.setattr(LesionMetrics, "compute", undefined)
    assert main(["fit", *options, *QUIET]) == 2
    assert (
        "val/selection, which `checkpoint.monitor` names, is undefined" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "model:\n  warmup: 0\ntrainer:\n  max_epochs: 1\nmodel:\n  weight_decay: 0\n",
            "twice.yaml, line 5: the key 'model' stands in line 1 already",
        ),
        ("model: {warmup: 0, warmup: 1}\n", "line 1: the key 'warmup' stands in line 1 already"),
        ("data:\n  root: [a\nmodel: 1\n", "twice.yaml, line 3: this is no YAML"),
        (b"data:\n  root: \xff\n", "twice.yaml, line 2: this is no UTF-8 text"),
        ("", "twice.yaml to hold settings by name"),
        ("- data\n", "but it holds something else"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "check-data", "benchmark"])
def test_a_configuration_that_is_read_otherwise_than_written(
    options, tmp_path, capsys, command, text, said
):
    path = tmp_path / "twice.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    data = [word for word in options if word.startswith("--data")]
    assert said in refused([command, *data, "--config", str(path)], capsys)


def test_a_configuration_that_is_not_there(options, capsys, tmp_path):
    for path, found in (("gone.yaml", "does not exist"), (tmp_path, "is a folder")):
        said = refused(["fit", *options, f"--config={path}"], capsys)
        assert f"The configuration file {path} {found}" in said


@pytest.mark.parametrize("name", ["max_epochs", "max_steps"])
def test_a_training_of_no_steps(options, capsys, name):
    said = refused(["fit", *options, f"--trainer.{name}=0"], capsys)
    assert f"`trainer.{name}` to be at least 1" in said


def test_a_mode_that_wandb_does_not_have(options, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "nonsense")
    said = refused(["fit", *options], capsys)
    assert "WANDB_MODE to be one of online, offline" in said
    assert "but got 'nonsense'" in said


def test_another_metric_cannot_decide_what_goes_on(options, trained, capsys):
    words = ["--checkpoint.monitor=val/auroc", f"--ckpt_path={trained}"]
    said = refused(["fit", *options, *words, "--trainer.max_epochs=3"], capsys)
    assert "`checkpoint.monitor` to be val/selection, as in the training that goes on" in said


def test_a_training_without_validation(options, caplog):
    assert main(["fit", *options, *QUIET, "--trainer.limit_val_batches=0"]) == 0
    assert "No validation run took place" in caplog.text
    (last,) = Path("runs").rglob("*.ckpt")
    assert last.name == "last.ckpt"
