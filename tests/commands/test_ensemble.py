"""ensemble: the mean of what each model predicts by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from vitatt.cli import main
from vitatt.inference.ensemble import Ensemble

pytestmark = pytest.mark.long


@pytest.fixture
def checkpoints(trained, tmp_path) -> list[str]:
    """A trained model, and the same with another head."""
    best = trained / "checkpoints" / "best.ckpt"
    other = torch.load(best, weights_only=True)
    torch.manual_seed(0)
    head = other["state_dict"]["network.head.weight"]
    head.add_(torch.randn_like(head))
    torch.save(other, tmp_path / "other.ckpt")
    return [str(best), str(tmp_path / "other.ckpt")]


def test_the_mean_of_single_predictions(checkpoints, options, demo_root):
    single = []
    for number, path in enumerate(checkpoints):
        words = [*options, f"--data.predict_root={demo_root}", "--trainer.logger=false"]
        output = f"{number}.csv"
        assert main(["predict", *words, f"--ckpt_path={path}", f"--output={output}"]) == 0
        single.append(pl.read_csv(output))
    data = [word for word in options if word.startswith("--data.cache_dir")]
    words = [*data, f"--data.predict_root={demo_root}", "--output=both.csv"]
    assert main(["ensemble", "--ckpt_paths", *checkpoints, *words]) == 0
    both = pl.read_csv("both.csv")
    assert both.columns == single[0].columns
    assert both["img_id"].equals(single[0]["img_id"])
    one, other, mean = (frame.drop("img_id").to_numpy() for frame in (*single, both))
    assert np.abs(one - other).max() > 0.01
    assert np.abs(mean - (one + other) / 2).max() < 1e-6


def test_a_file_that_is_there_is_not_written_over(checkpoints, options, demo_root, capsys):
    data = [word for word in options if word.startswith("--data.cache_dir")]
    words = [*data, f"--data.predict_root={demo_root}", "--output=both.csv"]
    Path("both.csv").write_text("mine")
    assert main(["ensemble", "--ckpt_paths", *checkpoints, *words]) == 2
    assert "to be a new file, but both.csv exists already" in capsys.readouterr().err
    assert Path("both.csv").read_text() == "mine"


def test_a_model_that_cannot_be_loaded_is_found_before_the_work(
    checkpoints, options, demo_root, capsys, monkeypatch
):
    broken = torch.load(checkpoints[1], weights_only=True)
    broken["state_dict"]["network.head.bias"] = torch.zeros(3)
    torch.save(broken, checkpoints[1])
    monkeypatch.setattr(Ensemble, "probabilities", lambda *_: pytest.fail("predicted"))
    words = [f"--data.predict_root={demo_root}", "--output=x.csv"]
    assert main(["ensemble", "--ckpt_paths", *checkpoints, *words]) in (2, 3)
    assert "network.head.bias" in capsys.readouterr().err
    assert not Path("x.csv").exists()


def test_the_checkpoints_may_stand_in_a_configuration(checkpoints, options, demo_root):
    (cache,) = [word for word in options if word.startswith("--data.cache_dir")]
    plain = {"ckpt_paths": checkpoints, "data": {"dataset": "pad_ufes_20"}}
    Path("both.yaml").write_text(yaml.safe_dump(plain))
    words = ["--config=both.yaml", cache, f"--data.predict_root={demo_root}", "--output=x.csv"]
    assert main(["ensemble", *words]) == 0
    assert pl.read_csv("x.csv").height == 60


def test_a_checkpoint_that_is_not_there(capsys, demo_root):
    words = ["--ckpt_paths", "none.ckpt", f"--data.predict_root={demo_root}", "--output=x.csv"]
    assert main(["ensemble", *words]) == 2
    assert "The checkpoint none.ckpt does not exist" in capsys.readouterr().err
