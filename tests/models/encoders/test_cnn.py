from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from tests.tasks import make_batch, make_network, make_task
from vitatt.models.encoders.base import EncoderError
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.models.optimizer import make_optimizer
from vitatt.types import Pixels

NAME = "test_efficientnet"
SIZE = 64
TASK = make_task(image_size=SIZE)


def pixels(size: int = SIZE, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=generator)


def saved_cnn(path: Path, name: str = NAME) -> Any:
    """A timm model in evaluation mode, its weights and a classifier's in a file."""
    cnn = timm.create_model(name, num_classes=7).eval()
    with torch.no_grad():
        for parameter in cnn.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        for key, buffer in cnn.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_()
    torch.save(cnn.state_dict(), path)
    return cnn


@pytest.mark.parametrize(
    ("name", "size", "dim"), [(NAME, 64, 256), (NAME, 96, 256), ("tf_efficientnet_lite0", 64, 1280)]
)
def test_tokens_are_the_positions_of_timms_map_and_their_mean(
    name: str, size: int, dim: int, tmp_path: Path
) -> None:
    cnn = saved_cnn(tmp_path / "w.pt", name)
    encoder = make_encoder(name, image_size=size, weights=str(tmp_path / "w.pt")).eval()
    data = timm.data.resolve_model_data_config(cnn)
    mean, std = (torch.tensor(data[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        expected = cnn.forward_features((pixels(size) / 255 - mean) / std)
        actual = encoder(Pixels(pixels(size)))
    side = size // 32
    assert encoder.grid_size == expected.shape[2:] == (side, side)
    assert actual.shape == (2, 1 + side**2, dim) == (2, *encoder.token_shape(encoder.num_blocks))
    for row in range(side):
        for column in range(side):
            torch.testing.assert_close(
                actual[:, 1 + row * side + column],
                expected[:, :, row, column],
                rtol=1e-4,
                atol=1e-4,
            )
    torch.testing.assert_close(actual[:, 0], expected.mean((2, 3)), rtol=1e-4, atol=1e-4)


def test_frozen_it_stays_in_evaluation_mode_and_keeps_its_statistics() -> None:
    encoder = make_encoder(NAME, image_size=SIZE, frozen=True)
    torch.nn.Sequential(encoder).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert not encoder(Pixels(pixels())).requires_grad
    assert not any(module.training for module in encoder.modules())
    torch.testing.assert_close(encoder.state_dict(), before, rtol=0, atol=0)
    learning = make_encoder(NAME, image_size=SIZE)
    assert all(module.training for module in learning.modules())
    assert learning(Pixels(pixels())).requires_grad


def test_a_blank_image_leaves_no_trace_when_it_is_made() -> None:
    fresh, encoder = timm.create_model(NAME), make_encoder(NAME, image_size=SIZE)
    assert torch.equal(encoder.cnn.bn1.running_mean, fresh.bn1.running_mean)
    assert encoder.cnn.bn1.num_batches_tracked == 0


def test_frozen_lower_stages_rest_and_the_others_learn() -> None:
    encoder = make_encoder(NAME, image_size=SIZE, frozen=2).train()
    encoder(Pixels(pixels())).sum().backward()
    resting = ("cnn.conv_stem", "cnn.bn1.", "cnn.blocks.0.", "cnn.blocks.1.")
    for name, parameter in encoder.named_parameters():
        assert parameter.requires_grad != name.startswith(resting), name
        assert (parameter.grad is None) == name.startswith(resting), name
    modes = [stage.training for stage in encoder.cnn.blocks]
    assert modes == [False, False, True, True, True]
    assert not encoder.cnn.bn1.training


def test_what_frozen_stages_give_does_not_depend_on_the_statistics_of_others() -> None:
    encoder, rested = (make_encoder(NAME, image_size=SIZE, frozen=2) for _ in range(2))
    names = encoder.frozen_state().keys()
    assert {"mean", "std", "cnn.conv_stem.weight", "cnn.blocks.1.0.bn1.running_mean"} <= names
    assert not any(name.startswith(("cnn.blocks.2.", "cnn.bn2.")) for name in names)
    before = {name: value.clone() for name, value in encoder.frozen_state().items()}
    encoder.train()(Pixels(pixels()))  # moves the statistics of what learns
    torch.testing.assert_close(encoder.frozen_state(), before, rtol=0, atol=0)
    rested.load_state_dict({**rested.state_dict(), **before})
    tokens = [part.tokens_after(pixels(), 2) for part in (encoder, rested)]
    torch.testing.assert_close(*tokens)


@pytest.mark.parametrize("blocks", [1, 3, 5])
@pytest.mark.parametrize("fusion", [ImageOnly, AttentionFusion])
def test_tokens_of_frozen_stages_stand_for_the_pixels(blocks: int, fusion: Any) -> None:
    network = make_network(TASK, NAME, fusion, frozen=blocks)
    batch, encoder = make_batch(TASK), network.encoder
    assert network.cached_blocks == blocks
    encoder.given_blocks = blocks
    with torch.no_grad():
        tokens = encoder.tokens_after(batch.pixels, blocks)
        assert tokens.shape[1:] == encoder.token_shape(blocks)
        expected = network(batch).logits
        torch.testing.assert_close(network(batch.with_tokens(tokens)).logits, expected)
        half = network(batch.with_tokens(tokens.half())).logits
    torch.testing.assert_close(half, expected, rtol=0.02, atol=0.02)


def test_vitatt_fuses_its_positions_with_the_metadata() -> None:
    network = make_network(TASK, NAME, depth=2)
    assert [layout.sizes for layout in network.layouts] == [[1, 4, 4]] * 2
    batch = make_batch(TASK)
    logits = network(batch).logits
    assert logits.shape == (8, 4)
    changed = batch._replace(metadata=batch.metadata.flip(1))
    assert not torch.allclose(network(changed).logits, logits)


def test_lower_stages_learn_more_slowly_and_each_parameter_once() -> None:
    network = make_network(TASK, NAME, ImageOnly)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    rates: dict[str, float] = {}
    optimizer = make_optimizer(
        network,
        learning_rate=1.0,
        encoder_learning_rate=1e-5,
        layer_decay=0.5,
        weight_decay=0.1,
    )
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert names[id(parameter)] not in rates
            rates[names[id(parameter)]] = group["lr"]
            assert (group["weight_decay"] > 0) == (parameter.ndim > 1)
    assert rates.keys() == {name for name, p in network.named_parameters() if p.requires_grad}
    assert rates["head.weight"] == 1.0
    assert rates["encoder.cnn.conv_head.weight"] == pytest.approx(1e-5)
    stages = [rates[f"encoder.cnn.blocks.{n}.0.bn1.weight"] for n in range(5)]
    assert rates["encoder.cnn.conv_stem.weight"] < stages[0]
    assert stages == sorted(set(stages))


# What it refuses.


@pytest.mark.parametrize(("size", "nearest"), [(50, 64), (3, 32), (224 - 7, 224)])
def test_image_size_that_is_no_multiple_of_the_stride(size: int, nearest: int) -> None:
    message = f"multiple of the stride 32 of {NAME}, but got {size}; {nearest} would do"
    with pytest.raises(EncoderError, match=message):
        make_encoder(NAME, image_size=size)


def test_more_stages_to_freeze_than_there_are() -> None:
    with pytest.raises(EncoderError, match=f"up to the 5 of {NAME}, but got 6"):
        make_encoder(NAME, image_size=SIZE, frozen=6)


def test_activations_that_are_computed_twice() -> None:
    with pytest.raises(EncoderError, match=r"`model\.gradient_checkpointing` to be false"):
        make_encoder(NAME, image_size=SIZE, gradient_checkpointing=True)


def test_metadata_cannot_join_inside() -> None:
    encoder = make_encoder(NAME, image_size=SIZE)
    with pytest.raises(ValueError, match="`join_at` to be null with EfficientNet as"):
        AttentionFusion(encoder, TASK, join_at=2)


def test_weights_of_another_cnn(tmp_path: Path) -> None:
    saved_cnn(tmp_path / "w.pt")
    with pytest.raises(EncoderError, match="does not hold the weights of 'tf_efficientnet_lite0'"):
        make_encoder("tf_efficientnet_lite0", image_size=64, weights=str(tmp_path / "w.pt"))
