"""What encoders of all families have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from tests.tasks import make_batch, make_network, make_task
from vitatt.models.encoders.base import EncoderError
from vitatt.models.encoders.beit import BeitEncoder
from vitatt.models.encoders.eva import EvaEncoder
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.encoders.feature_map import FeatureMapEncoder
from vitatt.models.encoders.input_size import set_input_size
from vitatt.models.encoders.stages import division_of
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.models.optimizer import make_optimizer
from vitatt.types import Pixels, Tokens

TRANSFORMERS = [
    *("test_vit", "vitatt_test_registers", "vitatt_test_clip"),
    *("vitatt_test_siglip", "vitatt_test_pool_registers", "vitatt_test_mean"),
    *("vitatt_test_dinov3", "vitatt_test_eva02", "vitatt_test_rope_mixed", "vitatt_test_eva_plain"),
    *("vitatt_test_beit", "vitatt_test_beit_shared", "vitatt_test_panderm"),
]
WITHOUT_BATCH_NORM = ["test_convnext", "vitatt_test_swin", "vitatt_test_swin2"]
MAPS = [*WITHOUT_BATCH_NORM, "test_efficientnet", "test_resnet"]
EVERY = [*TRANSFORMERS, *MAPS]
REAL = {
    "vit_small_patch16_dinov3": 48,
    "eva02_tiny_patch14_224": 28,
    "vit_medium_patch16_rope_reg1_gap_256": 48,
    "vit_base_patch16_rope_mixed_224": 48,
    "vit_pe_core_tiny_patch16_384": 48,
    "beitv2_base_patch16_224": 48,
    "panderm_base_patch16_224": 48,
    "vit_base_patch16_siglip_224": 48,
    "vit_base_patch16_siglip_gap_224": 48,
    "vit_base_patch16_clip_quickgelu_224": 48,
    "test_vit3": 48,
    "test_vit4": 48,
    "convnext_tiny": 64,
    "convnextv2_atto": 64,
    "swin_tiny_patch4_window7_224": 64,
    "swinv2_tiny_window8_256": 64,
    "tf_efficientnetv2_s": 64,
    "resnet26t": 64,
    "vit_small_patch16_dinov3_qkvb": 48,
}
SIZE = 64


def pixels(size: int = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=generator)


def saved(name: str, path: Path) -> Any:
    """A timm network in evaluation mode whose every weight matters, and which a file holds."""
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=0).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 1
            parameter.add_(torch.randn_like(parameter) * min(0.05, 0.2 * fan**-0.5))
        for key, buffer in network.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(std=0.1)
    torch.save(network.state_dict(), path)
    return network


def timms_tokens(network: Any, image: Tensor) -> Tensor:
    """The pooled vector, or the class token, and all other tokens, as timm computes them."""
    data = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(data[key]).view(3, 1, 1) for key in ("mean", "std"))
    features = network.forward_features((image / 255 - mean) / std)
    division = division_of(network)
    if division is None:
        if network.cls_token is not None:
            is_new = type(network).__name__ in ("Eva", "Beit")
            return network.fc_norm(features) if is_new else features
        rest = network.fc_norm(features)
    else:
        positions = features if division.channels_last else features.movedim(1, -1)
        rest = positions.flatten(1, 2)
        if hasattr(network.head if division.head else None, "norm"):
            norm = network.head.norm
            rest = torch.layer_norm(rest, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    pooled = network.forward_head(features, pre_logits=True)
    return torch.cat([pooled.unsqueeze(1), rest], dim=1)


def compare(name: str, size: int, path: Path) -> Any:
    """An encoder whose tokens were compared with timm's."""
    network = saved(name, path)
    encoder = make_encoder(name, image_size=size, weights=str(path)).eval()
    if hasattr(network, "set_input_size"):
        set_input_size(network, size)
    with torch.no_grad():  # in float64: in deep CNNs of random weights, rounding errors grow
        expected = timms_tokens(network.double(), pixels(size).double())
        actual = encoder.double()(Pixels(pixels(size)))
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
    assert actual.shape == (2, *encoder.token_shape(encoder.num_blocks))
    assert actual.shape[1:] == (encoder.num_prefix + encoder.num_patches, encoder.dim)
    assert len(encoder.blocks) == encoder.num_blocks
    return encoder


@pytest.mark.parametrize("size", [64, 96])
@pytest.mark.parametrize("name", EVERY)
def test_tokens_are_those_of_timm(name: str, size: int, tmp_path: Path) -> None:
    encoder = compare(name, size, tmp_path / "w.pt")
    for parameter in encoder.parameters():
        parameter.grad = None
    encoder.train()(Pixels(pixels(size))).square().sum().backward()
    without = [key for key, parameter in encoder.named_parameters() if parameter.grad is None]
    assert without == [], "every parameter takes part"


@pytest.mark.long
@pytest.mark.parametrize(("name", "size"), REAL.items())
def test_tokens_of_published_architectures_are_those_of_timm(
    name: str, size: int, tmp_path: Path
) -> None:
    compare(name, size, tmp_path / "w.pt")


@pytest.mark.parametrize("name", EVERY)
def test_lower_blocks_are_frozen_and_the_others_learn(name: str) -> None:
    frozen = 2
    encoder = make_encoder(name, image_size=SIZE, frozen=frozen).train()
    encoder(Pixels(pixels())).square().sum().backward()
    above = [*encoder.blocks[frozen:], *encoder._parts_above()[encoder.num_blocks - frozen :]]
    learning = {id(parameter) for part in above for parameter in part.parameters()}
    assert learning
    for key, parameter in encoder.named_parameters():
        assert parameter.requires_grad == (id(parameter) in learning), key
        assert (parameter.grad is not None) == (id(parameter) in learning), key
    assert [block.training for block in encoder.blocks] == [
        index >= frozen for index in range(encoder.num_blocks)
    ]
    before = {key: value.clone() for key, value in encoder.frozen_state().items()}
    assert not any(id(value) in learning for value in encoder.frozen_state().values())
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.requires_grad:
                parameter.add_(1)
    torch.testing.assert_close(encoder.frozen_state(), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", EVERY)
def test_frozen_wholly_it_stays_in_evaluation_mode(name: str) -> None:
    encoder = make_encoder(name, image_size=SIZE, frozen=True)
    torch.nn.Sequential(encoder).train()
    assert not any(module.training for module in encoder.modules())
    assert not encoder(Pixels(pixels())).requires_grad
    assert encoder.frozen
    every = {*encoder.state_dict(), *(key for key, _ in encoder.named_buffers())}
    assert encoder.frozen_state().keys() == every


@pytest.mark.parametrize("fusion", [ImageOnly, AttentionFusion])
@pytest.mark.parametrize("name", EVERY)
def test_tokens_of_lower_blocks_stand_for_the_pixels(name: str, fusion: Any) -> None:
    task = make_task(image_size=SIZE)
    network, batch = make_network(task, name, fusion), make_batch(task)
    encoder = network.encoder
    with torch.no_grad():
        expected = network(batch).logits
        for blocks in range(encoder.num_blocks + 1):
            encoder.given_blocks = blocks
            tokens = encoder.tokens_after(batch.pixels, blocks)
            assert tokens.shape[1:] == encoder.token_shape(blocks)
            actual = network(batch.with_tokens(tokens)).logits
            torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("name", EVERY)
def test_lower_blocks_learn_more_slowly_and_each_parameter_once(name: str) -> None:
    network = make_network(make_task(image_size=SIZE), name, ImageOnly)
    encoder = network.encoder
    optimizer = make_optimizer(
        network, learning_rate=1.0, encoder_learning_rate=0.5, layer_decay=0.5, weight_decay=0.1
    )
    rates: dict[int, float] = {}
    decayed = set()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert id(parameter) not in rates
            rates[id(parameter)] = group["lr"]
            if group["weight_decay"]:
                decayed.add(id(parameter))
    assert rates.keys() == {id(parameter) for parameter in network.parameters()}
    names = {id(parameter): key for key, parameter in encoder.named_parameters()}
    largest = [max(rates[id(p)] for p in block.parameters()) for block in encoder.blocks]
    assert largest == sorted(set(largest)), largest
    assert max(rates[key] for key in names) == 0.5
    exempt = ("token", "pos_embed", "bias_table", "latent", "freqs", "bias")
    for key in decayed & names.keys():
        assert not names[key].endswith(exempt), names[key]


@pytest.mark.parametrize("frozen", [False, 1])
@pytest.mark.parametrize("name", [*TRANSFORMERS, *WITHOUT_BATCH_NORM])
def test_gradients_with_and_without_checkpointing(name: str, frozen: bool | int) -> None:
    results = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        encoder = make_encoder(
            name, image_size=SIZE, frozen=frozen, gradient_checkpointing=checkpointing
        ).train()
        kept: list[int] = []

        def keep(tensor: Tensor, kept: list[int] = kept) -> Tensor:
            kept.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            encoder(Pixels(pixels())).square().mean().backward()
        gradients = {n: p.grad for n, p in encoder.named_parameters() if p.requires_grad}
        results.append((gradients, sum(kept)))
    torch.testing.assert_close(results[1][0], results[0][0])
    assert results[1][1] < results[0][1] * 0.7, "activations were kept"


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet"])
def test_batch_norm_and_activations_that_are_computed_twice(name: str) -> None:
    message = r"`model\.gradient_checkpointing` to be false, but got true: .* batch normalisation"
    with pytest.raises(EncoderError, match=message):
        make_encoder(name, image_size=SIZE, gradient_checkpointing=True)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vitatt_test_dinov3", "Eva as .* rotary position is defined for the patches"),
        ("vitatt_test_beit", "Beit as .* take no mask for missing tokens"),
        ("vitatt_test_siglip", "VisionTransformer as .* blocks have no class token"),
        ("vitatt_test_mean", "VisionTransformer as .* blocks have no class token"),
        ("test_convnext", "ConvNeXt as .* no attention over all patches"),
        ("vitatt_test_swin", "SwinTransformer as .* no attention over all patches"),
        ("test_resnet", "ResNet as .* no attention over all patches"),
    ],
)
def test_metadata_cannot_join_inside(name: str, reason: str) -> None:
    encoder = make_encoder(name, image_size=SIZE)
    with pytest.raises(ValueError, match=f"`join_at` to be null with {reason}.*Metadata can join"):
        AttentionFusion(encoder, make_task(image_size=SIZE), join_at=1)


@pytest.mark.parametrize("name", ["test_vit", "vitatt_test_clip", "vitatt_test_eva_plain"])
def test_metadata_joins_inside(name: str) -> None:
    task = make_task(image_size=SIZE)
    network, batch = make_network(task, name, join_at=1), make_batch(task)
    logits = network(batch).logits
    changed = batch._replace(metadata=batch.metadata.flip(1))
    assert not torch.allclose(network(changed).logits[1:], logits[1:])


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("vitatt_test_dinov3", 40, "patch size 16 of vitatt_test_dinov3, but got 40; 32 would do"),
        ("vitatt_test_beit", 40, "patch size 16 of vitatt_test_beit, but got 40; 32 would do"),
        ("vitatt_test_swin", 80, "stride 32 of vitatt_test_swin, but got 80; 64 would do"),
        ("test_convnext", 80, "stride 32 of test_convnext, but got 80; 64 would do"),
        ("test_resnet", 80, "stride 32 of test_resnet, but got 80; 64 would do"),
    ],
)
def test_image_sizes_that_are_refused(name: str, size: int, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        make_encoder(name, image_size=size)


def test_encoders_by_class() -> None:
    for name in ("vitatt_test_dinov3", "vitatt_test_eva02"):
        assert isinstance(make_encoder(name, image_size=SIZE), EvaEncoder)
    assert isinstance(make_encoder("vitatt_test_beit", image_size=SIZE), BeitEncoder)
    for name in MAPS:
        encoder = make_encoder(name, image_size=SIZE)
        assert isinstance(encoder, FeatureMapEncoder)
        assert not encoder.attends
        assert encoder.class_token == "mean"


def test_tokens_pass_through() -> None:
    encoder = make_encoder("vitatt_test_siglip", image_size=SIZE)
    tokens = torch.randn(2, *encoder.token_shape(encoder.num_blocks)).half()
    assert torch.equal(encoder(Tokens(tokens)), tokens.float())


def test_a_bias_is_interpolated_between_positions() -> None:
    """A table of differences of rows stays one, and what is of the class token stays."""
    vit = timm.create_model("vitatt_test_beit").eval()
    side = vit.patch_embed.grid_size[0]
    rows = torch.arange(1.0 - side, side).repeat_interleave(2 * side - 1)
    table = torch.cat([rows, torch.tensor([7.0, 8.0, 9.0])]).unsqueeze(1).expand(-1, 4)
    vit.blocks[0].attn.relative_position_bias_table.data.copy_(table)
    set_input_size(vit, 32)
    small = vit.blocks[0].attn.relative_position_bias_table
    assert small.shape == (9 + 3, 4)
    assert torch.equal(small[-3:, 0], torch.tensor([7.0, 8.0, 9.0]))
    torch.testing.assert_close(
        small[:9, 0].view(3, 3), small[:9, :1].view(3, 3)[:, :1].expand(3, 3)
    )
    assert small[0, 0] <= -1
    torch.testing.assert_close(small[:9, 0].flip(0), -small[:9, 0], rtol=1e-4, atol=1e-4)


def test_augmented_positions_are_the_same_in_all_blocks() -> None:
    """Sapiens rescales coordinates in training: blocks would each draw their own."""
    encoder = make_encoder("vitatt_test_dinov3", image_size=SIZE).train()
    assert encoder.training
    assert not encoder.vit.rope.training
    assert encoder.vit.blocks[0].training
