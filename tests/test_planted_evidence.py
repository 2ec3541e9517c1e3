"""On the demo, whose evidence is known, relevance falls on it; with random weights it does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from vitatt.cli import main
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.masks import read_mask
from vitatt.data.synthetic import DemoTruth, write_demo
from vitatt.explain.localization import pointing_game, upsample
from vitatt.explain.methods import METHODS, Method, explain_by
from vitatt.models.classifier import LesionClassifier
from vitatt.types import LesionBatch

CONF = Path(__file__).parents[1] / "conf" / "demo.yaml"
SIZE = 128


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and a model as `make train` makes them."""
    folder = tmp_path_factory.mktemp("planted")
    write_demo(folder / "data", num_cases=1600, image_size=SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NETRC", str(folder / "no-netrc"))
        words = [f"--data.root={folder / 'data'}", f"--data.cache_dir={folder / 'cache'}"]
        quiet = ["--explanations.size=0", "--trainer.enable_progress_bar=false"]
        assert main(["fit", f"--config={CONF}", *words, *quiet]) == 0
    return folder


def measure(
    model: LesionClassifier,
    batch: LesionBatch,
    masks: torch.Tensor,
    planted: list[int],
    methods: Sequence[Method] = METHODS,
) -> pl.DataFrame:
    """Per method: pointing game where a sign shows, and how often a planted feature is on top."""
    shown = masks.flatten(1).any(1)
    recorded = ~batch.missing[:, planted].any(1)
    parts = [batch.cases(slice(n, n + 64)) for n in range(0, len(batch.target), 64)]
    found = [explain_by(model.network, part, methods=methods) for part in parts]
    rows = []
    for method in methods:
        patches = torch.cat([part[method].patches[:, 0] for part in found])
        features = torch.cat([part[method].features[:, 0] for part in found])
        pointing = pointing_game(upsample(patches[shown], (SIZE, SIZE)), masks[shown])
        on_top = np.isin(features[recorded].argmax(1).numpy(), planted)
        rows.append((method, pointing.mean().item(), on_top.mean()))
    return pl.DataFrame(rows, ["method", "pointing game", "planted on top"], orient="row")


@pytest.mark.slow
def test_relevance_falls_on_what_was_planted(demo: Path) -> None:
    (checkpoint,) = demo.glob("runs/vitatt/*/checkpoints/best.ckpt")
    model = LesionClassifier.load_from_checkpoint(checkpoint, map_location="cpu").eval()
    datamodule = LesionDataModule(
        "pad_ufes_20", str(demo / "data"), cache_dir=str(demo / "cache"), task=model.task.to_plain()
    )
    dataset = datamodule.dataset_of("test")
    batch = dataset.__getitems__(range(len(dataset)))
    truth = DemoTruth.load(demo / "data")
    names = [feature.name for feature in model.task.features]
    planted = [names.index(name) for name in truth.planted]
    paths = [truth.masks / f"{Path(case_id).stem}_segmentation.png" for case_id in batch.case_id]
    masks = torch.from_numpy(np.stack([read_mask(path, SIZE) for path in paths]))

    with torch.no_grad():
        accuracy = (model(batch).logits.argmax(1) == batch.target).float().mean().item()
    trained = measure(model, batch, masks, planted)
    chance = []
    for seed in range(8):  # one random network may prefer any feature in every case
        torch.manual_seed(seed)
        untrained = LesionClassifier(task=model.task.to_plain(), encoder="test_vit").eval()
        chance.append(measure(untrained, batch, masks, planted, ["tmme"]))
    random_weights = pl.concat(chance).drop("method").mean()
    print(f"\n{len(batch.target)} test cases, accuracy {accuracy:.3f}")
    print("trained", trained, "\nTMME, random weights, mean of 8", random_weights)

    found = {row["method"]: row for row in trained.iter_rows(named=True)}
    assert found["tmme"]["pointing game"] >= 0.95
    assert found["tmme"]["planted on top"] >= 0.95
    # More than the sign covers (0.04 of the area): it stands out, to random weights as well.
    assert random_weights["pointing game"].item() < 0.5
    assert random_weights["planted on top"].item() < 2 / len(names) + 0.25
