"""What all arms of the comparison have in common."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tests.tasks import CARDINALITIES, make_batch, make_network, make_task
from vitatt.models.classifier import LesionClassifier
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.fusion.bottleneck import BottleneckFusion
from vitatt.models.fusion.concatenation import Concatenation
from vitatt.models.fusion.cross_attention import CrossAttention
from vitatt.models.fusion.film import FiLM
from vitatt.models.fusion.metablock import MetaBlock
from vitatt.models.fusion.metadata_only import MetadataOnly
from vitatt.models.fusion.metanet import MetaNet
from vitatt.models.fusion.mutual_attention import MutualAttention
from vitatt.models.optimizer import make_optimizer
from vitatt.types import Pixels

pytestmark = pytest.mark.long

TASK = make_task(image_size=64)
ENCODERS = ["test_vit", "vitatt_test_registers", "test_efficientnet"]
FUSING: list[Any] = [
    Concatenation,
    MetaBlock,
    MetaNet,
    FiLM,
    CrossAttention,
    MutualAttention,
    BottleneckFusion,
    functools.partial(CrossAttention, depth=2),
    functools.partial(BottleneckFusion, depth=3, bottlenecks=2),
]


def title(arm: Any) -> str:
    return getattr(arm, "__name__", None) or f"{arm.func.__name__}-{arm.keywords['depth']}"


fusing = pytest.mark.parametrize("arm", FUSING, ids=title)
seeing_metadata = pytest.mark.parametrize("arm", [*FUSING, MetadataOnly], ids=title)
encoders = pytest.mark.parametrize("encoder", ENCODERS)


def noise_under_what_is_missing(metadata: Tensor, missing: Tensor) -> Tensor:
    columns = missing.repeat_interleave(torch.tensor(CARDINALITIES), dim=1)
    return torch.where(columns, 7 * torch.randn_like(metadata), metadata)


@encoders
@fusing
def test_logits_come_from_image_and_metadata(arm: Any, encoder: str) -> None:
    network, batch = make_network(TASK, encoder, arm), make_batch(TASK)
    with torch.no_grad():
        output = network(batch)
        torch.testing.assert_close(network.head(output.embedding), output.logits)
        for part, other in (
            ("image", Pixels(255 - batch.pixels)),
            ("metadata", batch.metadata.flip(1)),
            ("missing", ~batch.missing),
        ):
            changed = network(batch._replace(**{part: other})).logits
            told = ~batch.missing.all(1) if part == "metadata" else slice(None)
            assert (changed - output.logits).abs().amax(1)[told].min() > 1e-6, part
    assert output.logits.shape == (8, len(TASK.classes))
    assert output.embedding.shape == (8, network.head.in_features)
    assert network.cardinalities == TASK.cardinalities


@encoders
@fusing
def test_every_parameter_gets_a_gradient_and_learns_once(arm: Any, encoder: str) -> None:
    network = make_network(TASK, encoder, arm).train()
    network(make_batch(TASK)).logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    groups = make_optimizer(
        network, learning_rate=1, encoder_learning_rate=1, layer_decay=1, weight_decay=1
    ).param_groups
    learning = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(learning) == sorted(id(parameter) for parameter in network.parameters())


@seeing_metadata
def test_what_stands_under_a_missing_feature_changes_nothing(arm: Any) -> None:
    network, batch = make_network(TASK, fusion=arm), make_batch(TASK)
    assert batch.missing[0].all(), "the first case lacks every feature"
    noise = noise_under_what_is_missing(batch.metadata, batch.missing)
    with torch.no_grad():
        expected = network(batch).logits
        actual = network(batch._replace(metadata=noise)).logits
    assert expected.isfinite().all()
    torch.testing.assert_close(actual, expected)


@seeing_metadata
def test_in_training_too_and_hidden_features_are_as_missing_ones(arm: Any) -> None:
    """Everything is hidden in nearly every case: logits no longer depend on what was observed."""
    arm = functools.partial(arm, metadata_dropout=0.999999, dropout=0.0)
    network, batch = make_network(TASK, fusion=arm), make_batch(TASK)
    gone = batch._replace(missing=torch.ones_like(batch.missing))
    results = []
    for cases in (batch, batch._replace(metadata=batch.metadata.flip(1)), gone):
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.eval()
        logits = network(cases).logits
        logits.square().sum().backward()
        results.append(logits)
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])


@seeing_metadata
@pytest.mark.parametrize("setting", ["metadata_dropout", "metadata_dropout_all"])
def test_metadata_is_hidden_in_training_alone(arm: Any, setting: str) -> None:
    settings = {"metadata_dropout": 0.0, "metadata_dropout_all": 0.0, setting: 0.5, "dropout": 0.0}
    network, batch = make_network(TASK, fusion=arm, **settings), make_batch(TASK)
    with torch.no_grad():
        torch.testing.assert_close(network(batch).logits, network(batch).logits, rtol=0, atol=0)
        for module in network.train().modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.eval()
        torch.manual_seed(0)
        assert not torch.allclose(network(batch).logits, network(batch).logits)
    with pytest.raises(ValueError, match=r"to be in \[0, 1\), but got 1"):
        make_network(TASK, fusion=arm, **{setting: 1})


@encoders
@fusing
def test_tokens_computed_beforehand_give_the_same_logits(arm: Any, encoder: str) -> None:
    network, batch = make_network(TASK, encoder, arm, frozen=True), make_batch(TASK)
    assert network.cached_blocks == network.encoder.num_blocks
    with torch.no_grad():
        tokens = network.encoder.tokens_after(batch.pixels, network.encoder.num_blocks)
        expected = network(batch).logits
        torch.testing.assert_close(network(batch.with_tokens(tokens)).logits, expected)
        half = network(batch.with_tokens(tokens.half())).logits
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected, rtol=0.02, atol=0.02)


@fusing
def test_a_task_without_features(arm: Any) -> None:
    task = make_task((), image_size=64)
    network = arm(make_encoder("test_vit", image_size=64), task).train()
    logits = network(make_batch(task)).logits
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@seeing_metadata
def test_a_checkpoint_alone_gives_the_same_logits(arm: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LesionClassifier(TASK.to_plain(), encoder="test_vit", fusion=arm, freeze_encoder=True)
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = lightning.Trainer(accelerator="cpu", max_steps=1, **quiet)
    trainer.fit(model, DataLoader([make_batch(TASK)], batch_size=None))
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded = LesionClassifier.load_from_checkpoint(tmp_path / "model.ckpt", map_location="cpu")
    with torch.no_grad():
        expected = model.eval()(make_batch(TASK, seed=3)).logits
        assert torch.equal(loaded.eval()(make_batch(TASK, seed=3)).logits, expected)


@pytest.mark.parametrize(
    ("arm", "settings", "message"),
    [
        (CrossAttention, {"depth": 0}, "`depth` to be at least 1, but got 0"),
        (BottleneckFusion, {"depth": 1}, "`depth` to be at least 2, but got 1"),
        (BottleneckFusion, {"bottlenecks": 0}, "`bottlenecks` to be at least 1, but got 0"),
        (CrossAttention, {"num_heads": 5}, "divide the token width 64, but got 5"),
        (MutualAttention, {"num_heads": 5}, "divide the token width 64, but got 5"),
        (BottleneckFusion, {"num_heads": 5}, "divide the token width 64, but got 5"),
    ],
)
def test_arguments_out_of_range(arm: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_network(TASK, fusion=arm, **settings)
