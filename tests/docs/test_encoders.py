"""The table of docs/encoders.md: every cell is tried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml

from tests.docs.blocks import DOCS, ROOT
from tests.models.encoders.published_layouts import LAYOUTS
from tests.models.encoders.test_families import pixels, saved
from tests.tasks import make_batch, make_network, make_task
from vitatt.explain.methods import explain
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.models.optimizer import make_optimizer
from vitatt.types import Pixels, Tokens, UsageError

pytestmark = pytest.mark.long

SIZE = 64
SMALL = {
    "ViT": ["test_vit", "vitatt_test_registers", "vitatt_test_clip"],
    "ViT with attention pool": ["vitatt_test_siglip", "vitatt_test_pool_registers"],
    "ViT without class token": ["vitatt_test_mean"],
    "DINOv3": ["vitatt_test_dinov3"],
    "EVA-02": ["vitatt_test_eva02"],
    "EVA": ["vitatt_test_eva_plain"],
    "BEiT": ["vitatt_test_beit", "vitatt_test_beit_shared"],
    "PanDerm": ["vitatt_test_panderm"],
    "ConvNeXt": ["test_convnext"],
    "Swin": ["vitatt_test_swin"],
    "Swin V2": ["vitatt_test_swin2"],
    "EfficientNet": ["test_efficientnet"],
    "ResNet": ["test_resnet"],
}
"""Small encoders of each family."""


def table() -> dict[str, dict[str, str]]:
    """Rows of the table by family, cells by column."""
    text = (DOCS / "encoders.md").read_text(encoding="utf-8")
    lines = text[text.index("| family |") :].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    header, _, *rows = cells
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def tried(action: Callable[[], Any]) -> str:
    try:
        action()
    except UsageError:
        return "no"
    return "yes"


def trained(encoder: ImageEncoder) -> None:
    encoder.train()(Pixels(pixels(SIZE))).square().sum().backward()


def class_token(name: str) -> str:
    encoder = make_encoder(name, image_size=SIZE)
    return {"token": "own", "attention": "attention pool", "mean": "mean"}[encoder.class_token]


def tmme(name: str) -> str:
    task = make_task(image_size=SIZE)
    network, batch = make_network(task, name), make_batch(task, 3)
    target = torch.arange(4).expand(3, -1)
    assert explain(network, batch, target).patches.amax() > 0
    below, pools = network.layouts[:-1], [layout.pools for layout in network.layouts]
    alone = make_network(task, name, ImageOnly)
    assert bool(alone.layouts) == (network.encoder.class_token != "mean")
    if alone.layouts:
        assert explain(alone, batch, target).patches.amax() > 0
    if not below:
        return "fusion"
    return "blocks, pool and fusion" if any(pools) else "blocks and fusion"


def frozen_by(name: str) -> str:
    encoder = make_encoder(name, image_size=SIZE, frozen=2)
    trained(encoder)
    learning = [any(p.grad is not None for p in b.parameters()) for b in encoder.blocks]
    assert learning == [False] * 2 + [True] * (encoder.num_blocks - 2)
    return "block" if encoder.attends else "stage"


def cached(name: str) -> str:
    encoder = make_encoder(name, image_size=SIZE, frozen=2).eval()
    with torch.no_grad():
        tokens = encoder.tokens_after(pixels(SIZE), 2)
        expected = encoder(Pixels(pixels(SIZE)))
        encoder.given_blocks = 2
        torch.testing.assert_close(encoder(Tokens(tokens)), expected)
    return "yes"


def layer_decay(name: str) -> str:
    network = make_network(make_task(image_size=SIZE), name)
    optimizer = make_optimizer(
        network, learning_rate=9.0, encoder_learning_rate=1.0, layer_decay=0.5, weight_decay=0.0
    )
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    highest = [max(rates[id(p)] for p in block.parameters()) for block in network.encoder.blocks]
    return "yes" if highest == sorted(set(highest)) else "no"


def checkpointing(name: str) -> str:
    return tried(lambda: trained(make_encoder(name, image_size=SIZE, gradient_checkpointing=True)))


def join_at(name: str) -> str:
    task = make_task(image_size=SIZE)

    def join() -> None:
        network = AttentionFusion(make_encoder(name, image_size=SIZE), task, join_at=1)
        assert network(make_batch(task)).logits.isfinite().all()

    return tried(join)


def image_side(name: str) -> str:
    network = timm.create_model(name)
    patches = hasattr(network, "blocks") and hasattr(network, "pos_drop")
    step = network.patch_embed.patch_size[0] if patches else 32
    for side in (step * 3, step * 5):
        encoder = make_encoder(name, image_size=side).eval()
        with torch.no_grad():
            assert encoder(Pixels(pixels(side))).isfinite().all()
        assert encoder.grid_size == (side // step, side // step)
    assert tried(lambda: make_encoder(name, image_size=step * 3 + 1)) == "no"
    return "patches" if patches else str(step)


CELLS = {
    "class token": class_token,
    "TMME": tmme,
    "frozen by": frozen_by,
    "cached tokens": cached,
    "layer decay": layer_decay,
    "gradient checkpointing": checkpointing,
    "`join_at`": join_at,
    "image side": image_side,
}


def test_the_table_has_all_families_and_columns() -> None:
    rows = table()
    assert rows.keys() == SMALL.keys()
    for row in rows.values():
        assert row.keys() == {"family", "such as", *CELLS, "files"}


@pytest.mark.parametrize("column", CELLS)
@pytest.mark.parametrize("family", SMALL)
def test_a_cell(family: str, column: str) -> None:
    for name in SMALL[family]:
        assert CELLS[column](name) == table()[family][column], name


@pytest.mark.parametrize("family", SMALL)
def test_names_are_of_the_family(family: str) -> None:
    small = type(timm.create_model(SMALL[family][0]))
    for name in table()[family]["such as"].replace("`", "").split(", "):
        with torch.device("meta"):
            network = timm.create_model(name)
        assert issubclass(type(network), small), name


def loads(name: str, layout: str, folder: Path) -> bool:
    """Whether a file in the layout gives the weights that the network had, exactly."""
    network = saved(name, folder / "timm.pt")
    try:
        torch.save(LAYOUTS[layout](network), folder / "w.pt")
    except KeyError:  # the layout has what the network does not, such as registers
        return False
    side = network.patch_embed.img_size[0] if hasattr(network, "patch_embed") else SIZE
    encoder = make_encoder(name, image_size=side, weights=str(folder / "w.pt"))
    for key, value in network.state_dict().items():
        torch.testing.assert_close(encoder.backbone.state_dict()[key], value)
    return True


@pytest.mark.parametrize("family", SMALL)
def test_files(family: str, tmp_path: Path) -> None:
    for layout in table()[family]["files"].split(", "):
        assert any(loads(name, layout, tmp_path) for name in SMALL[family]), layout


def test_overlays_are_listed() -> None:
    text = (DOCS / "encoders.md").read_text(encoding="utf-8")
    for path in (ROOT / "conf" / "encoder").glob("*.yaml"):
        assert path.name in text, path.name
        assert timm.is_model(yaml.safe_load(path.read_text())["model"]["encoder"])
