"""The temperature in the checkpoints of a training."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from tests.commands.runs import only_run
from vitatt.callbacks import calibration
from vitatt.cli import main
from vitatt.models.build import load_network
from vitatt.models.classifier import LesionClassifier

SHORT = ["--explanations.size=0", "--trainer.logger=false"]


def test_checkpoints_hold_the_temperature_and_training_ignores_it(options, monkeypatch):
    weights = []
    for temperature in (1.0, 1.75):
        monkeypatch.setattr(calibration, "fit_temperature", lambda *_, t=temperature: t)
        folder = f"t{temperature}"
        words = [f"--trainer.default_root_dir={folder}", "--trainer.max_epochs=3"]
        assert main(["fit", *options, *SHORT, *words]) == 0
        run = only_run(Path(folder))
        for name in ("best.ckpt", "last.ckpt"):
            network = load_network(run / "checkpoints" / name).network
            assert float(network.head.temperature) == temperature
        saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
        weights.append((saved["callbacks"]["BestCheckpoint"]["history"], saved["state_dict"]))
    assert weights[0][0] == weights[1][0], "another epoch would be best"
    for key, value in weights[0][1].items():
        if not key.endswith("temperature"):
            assert torch.equal(value, weights[1][1][key]), key


@pytest.mark.long
def test_a_checkpoint_from_before_has_temperature_1(options):
    assert main(["fit", *options, *SHORT, "--trainer.max_epochs=1"]) == 0
    path = only_run() / "checkpoints" / "last.ckpt"
    former = copy.deepcopy(torch.load(path, weights_only=True))
    del former["state_dict"]["network.head.temperature"]
    path = path.with_name("former.ckpt")
    torch.save(former, path)
    for load in (load_network, LesionClassifier.load_from_checkpoint):
        assert float(load(path).network.head.temperature) == 1
    more = ["--trainer.max_epochs=2", f"--ckpt_path={path}", "--explanations.size=0"]
    assert main(["fit", *options, *more]) == 0
