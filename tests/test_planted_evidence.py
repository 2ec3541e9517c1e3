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
from vitatt.data.images.masks import read_mask
from vitatt.data.synthetic.demo import DemoTruth, write_demo
from vitatt.explain.checks.localization import pointing_game, upsample
from vitatt.explain.methods import METHODS, explain_by
from vitatt.models.classifier import LesionClassifier
from vitatt.types import LesionBatch

pytestmark = pytest.mark.long

CONF = Path(__file__).parents[1] / "conf" / "demo.yaml"
SIZE = 128
RANDOM_NETWORKS = 32


ATTENTION = ["additive=false", "num_heads=null"]  # of the paper, as many heads as the encoder


@pytest.fixture(scope="module", params=[[], ATTENTION], ids=["as shipped", "attention alone"])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and a model as `make train` makes them, and with attention alone."""
    folder = tmp_path_factory.mktemp("planted")
    write_demo(folder / "data", num_cases=1600, image_size=SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NETRC", str(folder / "no-netrc"))
        words = [f"--data.root={folder / 'data'}", f"--data.cache_dir={folder / 'cache'}"]
        words += [f"--model.fusion.init_args.{option}" for option in request.param]
        quiet = ["--explanations.size=0", "--trainer.enable_progress_bar=false"]
        assert main(["fit", f"--config={CONF}", *words, *quiet]) == 0
    return folder


def measure(
    model: LesionClassifier,
    batch: LesionBatch,
    masks: torch.Tensor,
    decoys: torch.Tensor,
    planted: list[int],
    methods: Sequence[str] = tuple(METHODS),
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
        maps = upsample(patches[shown], (SIZE, SIZE))
        on_sign, on_decoy = (
            pointing_game(maps, places[shown]).mean().item() for places in (masks, decoys)
        )
        on_top = np.isin(features[recorded].argmax(1).numpy(), planted).mean()
        rows.append((method, on_sign, on_decoy, on_top))
    columns = ["method", "on the sign", "on the decoy", "planted on top"]
    return pl.DataFrame(rows, columns, orient="row")


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
    stems = [Path(case_id).stem for case_id in batch.case_id]
    masks, decoys = (
        torch.from_numpy(np.stack([read_mask(path, SIZE) for path in paths]))
        for paths in (
            [truth.masks / f"{name}_segmentation.png" for name in stems],
            [truth.decoys / f"{name}_decoy.png" for name in stems],
        )
    )

    with torch.no_grad():
        accuracy = (model(batch).logits.argmax(1) == batch.target).float().mean().item()
    trained = measure(model, batch, masks, decoys, planted)
    random = []
    for seed in range(RANDOM_NETWORKS):  # one of them may prefer any mark or feature in every case
        torch.manual_seed(seed)
        untrained = LesionClassifier(task=model.task.to_plain(), encoder="test_vit").eval()
        random.append(measure(untrained, batch, masks, decoys, planted, ["tmme"]))
    untrained = pl.concat(random).with_columns(
        (pl.col("on the sign") - pl.col("on the decoy")).alias("sign less decoy")
    )
    means = untrained.mean().row(0, named=True)
    errors = {
        name: untrained[name].std() / RANDOM_NETWORKS**0.5  # type: ignore[operator]
        for name in untrained.columns[1:]
    }
    print(f"\n{len(batch.target)} test cases, accuracy {accuracy:.3f}")
    print("trained", trained, f"\nTMME, random weights, mean of {RANDOM_NETWORKS} networks")
    for name, error in errors.items():
        print(f"  {name:16} {means[name]:.3f} (standard error {error:.3f})")

    found = {row["method"]: row for row in trained.iter_rows(named=True)}
    assert found["tmme"]["on the sign"] >= 0.95
    assert found["tmme"]["planted on top"] >= 0.95
    # Chance: marks stand out to random weights too, but what means nothing as much as the sign.
    for name, chance in (("sign less decoy", 0), ("planted on top", len(planted) / len(names))):
        assert abs(means[name] - chance) < 3 * errors[name], name


VIEWS = CONF.with_name("demo_views.yaml")


@pytest.mark.slow
def test_a_sign_is_found_in_the_view_that_shows_it(tmp_path: Path) -> None:
    write_demo(tmp_path / "data", dataset="derm7pt", num_cases=1600, image_size=SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setenv("NETRC", str(tmp_path / "no-netrc"))
        words = [f"--data.root={tmp_path / 'data'}", f"--data.cache_dir={tmp_path / 'cache'}"]
        quiet = ["--explanations.size=0", "--trainer.enable_progress_bar=false"]
        assert main(["fit", f"--config={VIEWS}", *words, *quiet]) == 0
    (checkpoint,) = tmp_path.glob("runs/vitatt/*/checkpoints/best.ckpt")
    print(in_its_view(checkpoint, tmp_path / "data", tmp_path / "cache"))
    found = in_its_view(checkpoint, tmp_path / "data", tmp_path / "cache")
    assert found["most relevance in the view"] >= 0.95
    assert found["on the sign"] >= 0.95


def in_its_view(checkpoint: Path, data: Path, cache: Path) -> dict[str, float]:
    """Shares of test cases whose sign TMME finds, of those that show one."""
    model = LesionClassifier.load_from_checkpoint(checkpoint, map_location="cpu").eval()
    datamodule = LesionDataModule(
        "derm7pt", str(data), cache_dir=str(cache), task=model.task.to_plain()
    )
    truth, cases = DemoTruth.load(data), datamodule.cases("test")
    dataset = datamodule.dataset_of("test")
    batch = dataset.__getitems__(range(len(dataset)))
    with torch.no_grad():
        predicted = torch.cat([model(part).logits.argmax(1) for part in dataset.batches(64)])
    masks = torch.from_numpy(
        np.stack(
            [
                [
                    read_mask(truth.masks / f"{Path(path).stem}_segmentation.png", SIZE)
                    for path in images
                ]
                for images in cases["image"]
            ]
        )
    )  # (N, 2, H, W)
    parts = [batch.cases(slice(n, n + 64)) for n in range(0, len(batch.target), 64)]
    found = [explain_by(model.network, part, methods=["tmme"])["tmme"] for part in parts]
    patches = torch.cat([part.patches[:, 0] for part in found])
    shows = masks.flatten(2).any(2)  # (N, 2)
    shown = shows.any(1)
    of_views = patches.unflatten(1, (2, -1)).sum((2, 3))
    maps = upsample(patches, (2 * SIZE, SIZE))
    return {
        "cases": len(cases),
        "accuracy": (predicted == batch.target).float().mean().item(),
        "shown": int(shown.sum()),
        "most relevance in the view": (of_views.argmax(1) == shows.int().argmax(1))[shown]
        .float()
        .mean()
        .item(),
        "on the sign": pointing_game(maps[shown], masks.flatten(1, 2)[shown]).mean().item(),
    }
