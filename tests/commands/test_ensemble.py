"""ensemble: the mean of what each model predicts by itself."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from vitatt.cli import main


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


def test_a_checkpoint_that_is_not_there(capsys, demo_root):
    words = ["--ckpt_paths", "none.ckpt", f"--data.predict_root={demo_root}", "--output=x.csv"]
    assert main(["ensemble", *words]) == 2
    assert "The checkpoint none.ckpt does not exist" in capsys.readouterr().err
