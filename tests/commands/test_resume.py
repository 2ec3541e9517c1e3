"""A training that was interrupted ends with the weights of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from vitatt.cli import main

pytestmark = pytest.mark.long

EPOCHS = ["--trainer.max_epochs=3", "--early_stopping.patience=50"]


def vitatt(*words: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        "import sys; from vitatt.cli import main; sys.exit(main())",
        *words,
    ]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of the last and of the best checkpoint; a resumed training has but one folder."""
    (run,) = (folder / "runs" / "vitatt").iterdir()
    found = {}
    for name in ("last", "best"):
        checkpoint = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert name == "best" or checkpoint["epoch"] == 2
        found |= {f"{name} {key}": value for key, value in checkpoint["state_dict"].items()}
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, options) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NETRC", str(folder / "no-netrc"))
        assert main(["fit", *options, *EPOCHS, "--explanations.size=0"]) == 0
    return weights(folder)


class Stop:
    """Sends a signal to this process in a chosen training step, or dies without a word."""

    def __init__(self, monkeypatch, step: int, number: int) -> None:
        from vitatt.models.classifier import LesionClassifier

        original = LesionClassifier.training_step

        def training_step(module, batch, batch_idx):
            if module.trainer.global_step == step:
                os.kill(os.getpid(), number)
            return original(module, batch, batch_idx)

        monkeypatch.setattr(LesionClassifier, "training_step", training_step)


# Five steps an epoch. The last one of an epoch is followed by its validation and one more step.
@pytest.mark.parametrize(
    ("step", "saved_after", "number"),
    [
        (1, 2, signal.SIGTERM),
        pytest.param(3, 4, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(4, 6, signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param(7, 8, signal.SIGUSR1, marks=pytest.mark.slow),
    ],
)
def test_signal_then_resume(
    options, uninterrupted, monkeypatch, tmp_path, step, saved_after, number
):
    # Explanations in between must not change what is learned either.
    words = ["fit", *options, *EPOCHS, "--explanations.size=2"]
    with monkeypatch.context() as patch:
        Stop(patch, step, number)
        with pytest.raises(SystemExit) as left:
            main(words)
    assert left.value.code == 128 + number
    (checkpoint,) = Path("runs").glob("vitatt/*/checkpoints/interrupted.ckpt")
    assert torch.load(checkpoint, weights_only=True)["global_step"] == saved_after
    assert main([*words, f"--ckpt_path={checkpoint}"]) == 0
    for name, value in weights(tmp_path).items():
        assert torch.equal(value, uninterrupted[name]), name


@pytest.mark.slow
def test_kill_then_resume_from_the_last_epoch(options, uninterrupted, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as here: sums in another order round otherwise
    words = ["fit", *options, *EPOCHS, "--explanations.size=0"]
    process = subprocess.Popen(vitatt(*words), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (found := list(tmp_path.glob("runs/vitatt/*/checkpoints/last.ckpt"))):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    resumed = subprocess.run(
        vitatt(*words, f"--ckpt_path={found[0]}"), check=False, capture_output=True, text=True
    )
    assert resumed.returncode == 0, resumed.stderr
    for name, value in weights(tmp_path).items():
        assert torch.equal(value, uninterrupted[name]), name


def test_resuming_says_whose_settings_count(options, trained):
    checkpoint = trained / "checkpoints" / "last.ckpt"
    words = ["fit", *options, "--model.weight_decay=0.3", f"--ckpt_path={checkpoint}"]
    with pytest.warns(UserWarning, match=r"checkpoint's `model.weight_decay` is kept: 0.01"):
        main([*words, "--trainer.max_epochs=2", "--explanations.size=0"])


def test_a_signal_before_the_first_step_leaves_at_once(options, monkeypatch):
    Stop(monkeypatch, 0, signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        main(["fit", *options, *EPOCHS, "--explanations.size=0"])
    assert left.value.code == 128 + signal.SIGTERM
    assert not list(Path("runs").glob("vitatt/*/checkpoints/*"))


def test_another_batch_size_cannot_go_on(options, trained, capsys):
    checkpoint = trained / "checkpoints" / "last.ckpt"
    words = ["fit", *options, "--data.batch_size=4", f"--ckpt_path={checkpoint}"]
    assert main([*words, *EPOCHS, "--explanations.size=0"]) == 2
    assert "`data.batch_size` to be 8" in capsys.readouterr().err
