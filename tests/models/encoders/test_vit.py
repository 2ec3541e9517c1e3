from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

import tests.tasks  # noqa: F401  (it registers an encoder with register tokens)
from vitatt.models.encoders.base import EncoderError
from vitatt.models.encoders.factory import make_encoder
from vitatt.types import Pixels, Tokens

REGISTERS = "vitatt_test_registers"


def saved_vit(name: str, path: Path) -> VisionTransformer:
    """A timm model in evaluation mode whose weights are in a file."""
    vit = timm.create_model(name, num_classes=0).eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    torch.save(vit.state_dict(), path)
    return vit


def pixels(size: int, batch: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("name", "size", "prefix"),
    [
        ("test_vit", 32, 1),
        ("test_vit", 160, 1),  # its own size: nothing is resampled
        ("deit_tiny_distilled_patch16_224", 48, 2),
        ("vit_small_patch14_reg4_dinov2", 28, 5),
    ],
)
@pytest.mark.long
def test_tokens_are_those_of_timm_on_normalised_pixels(
    name: str, size: int, prefix: int, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    state = saved_vit(name, path).state_dict()
    encoder = make_encoder(name, image_size=size, weights=str(path)).eval()
    vit = timm.create_model(name, num_classes=0, img_size=size).eval()
    vit.load_state_dict(checkpoint_filter_fn(state, vit, "bicubic", antialias=True))
    data = timm.data.resolve_model_data_config(vit)
    image = pixels(size)
    mean, std = (torch.tensor(data[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        expected = vit.forward_features((image / 255 - mean) / std)
        actual = encoder(Pixels(image))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    assert encoder.num_prefix == prefix
    assert actual.shape == (2, prefix + encoder.num_patches, encoder.dim)
    assert encoder.grid_size[0] * encoder.vit.patch_embed.patch_size[0] == size


@pytest.mark.parametrize("name", ["test_vit", REGISTERS])
def test_position_embeddings_are_resampled_and_prefix_ones_kept(name: str, tmp_path: Path) -> None:
    vit = saved_vit(name, tmp_path / "w.pt")
    encoder = make_encoder(name, image_size=32, weights=str(tmp_path / "w.pt"))
    count = vit.pos_embed.shape[1] - vit.patch_embed.num_patches
    side = vit.patch_embed.grid_size[0]
    grid = vit.pos_embed[:, count:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    small = torch.nn.functional.interpolate(grid, (2, 2), mode="bicubic", antialias=True)
    expected = torch.cat([vit.pos_embed[:, :count], small.flatten(2).transpose(1, 2)], dim=1)
    torch.testing.assert_close(encoder.vit.pos_embed, expected)


def test_frozen_encoder_stays_in_evaluation_mode_and_without_gradient() -> None:
    encoder = make_encoder("test_vit", image_size=32, frozen=True)
    torch.nn.Sequential(encoder).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder(Pixels(pixels(32))).requires_grad
    learning = make_encoder("test_vit", image_size=32).train()
    assert all(module.training for module in learning.modules())
    assert all(parameter.requires_grad for parameter in learning.parameters())


@pytest.mark.parametrize("blocks", [1, 4])
def test_frozen_lower_blocks_rest_and_the_others_learn(blocks: int) -> None:
    encoder = make_encoder("test_vit", image_size=32, frozen=blocks).train()
    encoder(Pixels(pixels(32))).sum().backward()
    resting = {f"vit.blocks.{n}." for n in range(blocks)} | {"vit.patch", "vit.pos", "vit.cls"}
    for name, parameter in encoder.named_parameters():
        rests = name.startswith(tuple(resting))
        assert parameter.requires_grad != rests, name
        assert (parameter.grad is None) == rests, name
    modes = [block.training for block in encoder.vit.blocks]
    assert modes == [False] * blocks + [True] * (6 - blocks)
    assert not any(module.training for module in encoder.eval().modules())


@pytest.mark.parametrize("blocks", [0, 1, 4, 6])
def test_tokens_of_lower_blocks_stand_for_the_pixels(blocks: int) -> None:
    encoder, image = make_encoder("test_vit", image_size=32, frozen=blocks).eval(), pixels(32)
    encoder.given_blocks = blocks
    torch.testing.assert_close(
        encoder(Tokens(encoder.tokens_after(image, blocks))), encoder(Pixels(image))
    )


@pytest.mark.parametrize("blocks", [-1, 7])
def test_more_blocks_to_freeze_than_there_are(blocks: int) -> None:
    with pytest.raises(EncoderError, match=f"up to the 6 of test_vit, but got {blocks}"):
        make_encoder("test_vit", image_size=32, frozen=blocks)


@pytest.mark.parametrize("frozen", [False, 2])
def test_gradients_with_and_without_checkpointing(frozen: bool | int) -> None:
    results = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        encoder = make_encoder(
            "test_vit", image_size=32, frozen=frozen, gradient_checkpointing=checkpointing
        ).train()
        kept: list[torch.Tensor] = []

        def keep(tensor: torch.Tensor, kept: list[torch.Tensor] = kept) -> torch.Tensor:
            kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            encoder(Pixels(pixels(32))).square().mean().backward()
        gradients = {n: p.grad for n, p in encoder.named_parameters() if p.requires_grad}
        results.append((gradients, sum(tensor.numel() for tensor in kept)))
    torch.testing.assert_close(results[1][0], results[0][0])
    assert results[1][1] < results[0][1] / 3, "activations were kept"


def test_tokens_pass_through() -> None:
    tokens = torch.randn(2, 5, 64).half()
    passed = make_encoder("test_vit", image_size=32)(Tokens(tokens))
    assert passed.dtype == torch.float32
    assert torch.equal(passed, tokens.float())


def test_blocks_can_be_run_in_their_place() -> None:
    encoder, image = make_encoder("test_vit", image_size=32).eval(), pixels(32)
    ran: list[int] = []

    def at_block(index: int, tokens: torch.Tensor) -> torch.Tensor:
        ran.append(index)
        return encoder.run_block(index, tokens)

    torch.testing.assert_close(encoder(Pixels(image), at_block), encoder(Pixels(image)))
    assert ran == list(range(6))


@pytest.mark.parametrize(("size", "nearest"), [(40, 32), (33, 32), (60, 64), (3, 16)])
def test_image_size_that_is_no_multiple_of_the_patch(size: int, nearest: int) -> None:
    message = f"multiple of the patch size 16 of test_vit, but got {size}; {nearest} would do"
    with pytest.raises(EncoderError, match=message):
        make_encoder("test_vit", image_size=size)
