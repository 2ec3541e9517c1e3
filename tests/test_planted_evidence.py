"""On the demo, whose evidence is known, the maps fall on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from vitatt.cli import main
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.synthetic import DemoTruth, write_demo
from vitatt.explain.methods import explain
from vitatt.models.classifier import LesionClassifier

CONF = Path(__file__).parents[1] / "conf" / "demo.yaml"


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    write_demo(folder / "data", num_cases=320, image_size=128)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NETRC", str(folder / "no-netrc"))
        words = [f"--data.root={folder / 'data'}", f"--data.cache_dir={folder / 'cache'}"]
        quiet = ["--explanations.size=0", "--trainer.enable_progress_bar=false"]
        assert main(["fit", f"--config={CONF}", *words, *quiet]) == 0
    return folder


@pytest.mark.slow
def test_maps_fall_on_the_sign_and_rank_the_planted_features_first(demo):
    torch.set_num_threads(2)
    (checkpoint,) = demo.glob("runs/vitatt/*/checkpoints/best.ckpt")
    model = LesionClassifier.load_from_checkpoint(checkpoint, map_location="cpu").eval()
    datamodule = LesionDataModule(
        "pad_ufes_20",
        str(demo / "data"),
        cache_dir=str(demo / "cache"),
        task=model.task.to_plain(),
    )
    dataset = datamodule.dataset_of("test")
    batch = dataset.__getitems__(range(len(dataset)))
    truth = DemoTruth.load(demo / "data")
    masks = np.stack(
        [
            np.asarray(Image.open(truth.masks / f"{Path(c).stem}_segmentation.png")) > 127
            for c in batch.case_id
        ]
    )
    with torch.no_grad():
        predicted = model(batch).logits.argmax(1)
    accuracy = (predicted == batch.target).float().mean().item()
    names = [feature.name for feature in model.task.features]
    rows = [("accuracy", accuracy, float("nan"), "")]
    for method in ("tmme", "attention"):
        relevance = explain(model.network, batch, predicted[:, None], method=method)
        maps = F.interpolate(relevance.patches, masks.shape[1:], mode="bilinear")[:, 0].numpy()
        hottest = maps.reshape(len(maps), -1).argmax(1)
        pointing = masks.reshape(len(masks), -1)[np.arange(len(masks)), hottest].mean()
        ranked = relevance.features[:, 0].mean(0).argsort(descending=True)
        first = [names[number] for number in ranked[: len(truth.planted)]]
        rows.append((method, pointing, masks.mean(), ", ".join(first)))
        assert pointing > 5 * masks.mean(), "five times what a random point would hit"
        if method == "tmme":
            # They agree with each other, so that a model may rest on one of them.
            assert first[0] in truth.planted
    columns = ["method", "pointing game", "chance", "highest mean relevance"]
    print(f"\n{len(masks)} test cases\n", pl.DataFrame(rows, columns, orient="row"))
    assert accuracy > 0.8
