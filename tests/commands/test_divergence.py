"""A training that diverges ends with a word, and leaves its last good checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.commands.runs import only_run
from vitatt.cli import main
from vitatt.models.classifier import LesionClassifier
from vitatt.models.losses import WeightedLoss

pytestmark = pytest.mark.long

QUIET = [
    "--trainer.logger=false",
    "--explanations.size=0",
    "--early_stopping.patience=50",
    "--trainer.max_epochs=4",
]


def no_number_at(monkeypatch, step: int, value: float = float("nan")) -> None:
    """Make the loss of one training step, counted from 1, no number."""
    original = LesionClassifier.training_step

    def training_step(module, batch, batch_idx):
        output = original(module, batch, batch_idx)
        if module.trainer.global_step == step - 1:
            output["loss"] = output["loss"] * value
        return output

    monkeypatch.setattr(LesionClassifier, "training_step", training_step)


def status_and_error(words: list[str], capsys) -> tuple[int, str]:
    capsys.readouterr()
    status = main(words)
    return status, " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "value", [float("nan"), pytest.param(float("inf"), marks=pytest.mark.slow)]
)
def test_the_first_loss_that_is_no_number(options, monkeypatch, capsys, value):
    with monkeypatch.context() as patch:
        no_number_at(patch, 13, value)
        status, said = status_and_error(["fit", *options, *QUIET], capsys)
    assert status == 2
    assert re.search(
        r"training loss of step 13 \(epoch 2\) is no finite number: the training diverged. The "
        r"likely cause is `model.learning_rate` \(0.001\)",
        said,
    ), said
    folder = only_run() / "checkpoints"
    assert f"The weights from before are kept: {folder}/best.ckpt, {folder}/last.ckpt." in said
    last = torch.load(folder / "last.ckpt", weights_only=True)
    assert (last["epoch"], last["global_step"]) == (1, 10)
    # The last good checkpoints are as good as any.
    assert main(["test", *options, "--ckpt_path=best", "--explanation_tests.cases=0"]) == 0
    assert main(["fit", *options, *QUIET, f"--ckpt_path={folder.parent}"]) == 0


def test_in_the_first_epoch_nothing_was_saved(options, monkeypatch, capsys):
    no_number_at(monkeypatch, 2)
    status, said = status_and_error(["fit", *options, *QUIET], capsys)
    assert status == 2
    assert "step 2 (epoch 0)" in said
    assert "No checkpoint was saved before." in said
    assert not list(Path("runs").rglob("*.ckpt"))


def test_a_learning_rate_that_is_too_high(options, capsys):
    words = ["fit", *options, *QUIET, "--model.learning_rate=1e30"]
    status, said = status_and_error(words, capsys)
    assert status == 2
    assert "the training diverged" in said or "the network diverged" in said
    for path in Path("runs").rglob("*.ckpt"):
        state = torch.load(path, weights_only=True)["state_dict"]
        assert all(value.isfinite().all() for value in state.values())


def test_a_validation_that_is_no_number(options, monkeypatch, capsys):
    original = WeightedLoss.forward

    def forward(loss, logits, target):
        found = original(loss, logits, target)
        return found if torch.is_grad_enabled() else found * float("nan")

    monkeypatch.setattr(WeightedLoss, "forward", forward)
    status, said = status_and_error(["fit", *options, *QUIET], capsys)
    assert status == 2
    assert "The validation loss after step 5 (epoch 0) is no finite number" in said


def test_weights_that_are_no_numbers_are_not_saved(options, monkeypatch, capsys):
    """The step after the last loss may be the one that breaks them."""
    original = LesionClassifier.on_train_epoch_end

    def break_weights(module):
        original(module)
        if module.trainer.current_epoch == 1:
            with torch.no_grad():
                module.network.head.weight[0, 0] = float("nan")

    monkeypatch.setattr(LesionClassifier, "on_train_epoch_end", break_weights)
    status, said = status_and_error(["fit", *options, *QUIET], capsys)
    assert status == 2
    assert "weights that are no finite numbers, the first being network.head.weight" in said
    last = torch.load(only_run() / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 0


@pytest.mark.parametrize("command", ["validate", "test", "predict", "explain", "ensemble", "fit"])
def test_weights_that_are_no_numbers_are_not_used(
    options, trained, demo_root, tmp_path, capsys, command
):
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["state_dict"]["network.head.weight"][0, 0] = float("nan")
    path = tmp_path / "spoilt.ckpt"
    torch.save(checkpoint, path)
    own = [word for word in options if word.startswith("--data") and "features" not in word]
    words = {
        "predict": [*options, f"--data.predict_root={demo_root}", "--output=p.csv"],
        "explain": [*own, "--output=why"],
        "ensemble": [
            *(word for word in own if "dataset" not in word and "root" not in word),
            f"--data.predict_root={demo_root}",
            "--output=p.csv",
        ],
    }.get(command, options)
    name = "ckpt_paths" if command == "ensemble" else "ckpt_path"
    status, said = status_and_error([command, *words, f"--{name}={path}"], capsys)
    assert status == 2
    assert "weights that are no finite numbers, the first being network.head.weight" in said
    assert not Path("p.csv").exists()
    assert not Path("runs/wandb").exists(), "no W&B run was begun"
