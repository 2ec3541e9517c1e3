"""Small tasks, batches and networks shared by the tests of models and explanations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from timm.layers import LayerNorm
from timm.models import register_model
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitatt.models.encoders.factory import make_encoder
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.types import FeatureEncoding, FoldSpec, LesionBatch, LesionTask, Pixels

CLASSES = ("ACK", "BCC", "MEL", "NEV")
CARDINALITIES = (2, 3, 4, 5)
COUNTS = (40, 30, 3, 15)


@register_model
def vitatt_test_registers(pretrained: bool = False, **_: Any) -> VisionTransformer:
    """A small encoder with class and register tokens, layer scale and norms inside attention."""
    return VisionTransformer(
        img_size=64,
        patch_size=16,
        embed_dim=32,
        depth=3,
        num_heads=4,
        num_classes=0,
        reg_tokens=3,
        no_embed_class=True,
        init_values=0.5,
        qk_norm=True,
    )


SMALL: dict[str, Any] = {
    "img_size": 64,
    "patch_size": 16,
    "embed_dim": 32,
    "depth": 3,
    "num_heads": 4,
    "num_classes": 0,
}
"""Sizes of the small transformers."""


@register_model
def vitatt_test_dinov3(pretrained: bool = False, **_: Any) -> Eva:
    """Rotary position and registers, as DINOv3."""
    return Eva(
        **SMALL,
        qkv_bias=False,
        init_values=0.5,
        num_reg_tokens=2,
        use_abs_pos_emb=False,
        use_rot_pos_emb=True,
        rope_type="dinov3",
        rope_temperature=100,
        rope_rotate_half=True,
        use_fc_norm=False,
        dynamic_img_size=True,
    )


@register_model
def vitatt_test_eva02(pretrained: bool = False, **_: Any) -> Eva:
    """Learnt and rotary position, a gated MLP, and a norm after pooling, as EVA-02."""
    return Eva(
        **SMALL,
        qkv_fused=False,
        swiglu_mlp=True,
        scale_mlp=True,
        use_rot_pos_emb=True,
        ref_feat_shape=(4, 4),
    )


@register_model
def vitatt_test_rope_mixed(pretrained: bool = False, **_: Any) -> Eva:
    """Rotary position that is learnt for each block and head."""
    return Eva(
        **SMALL,
        attn_type="rope",
        use_abs_pos_emb=False,
        use_rot_pos_emb=True,
        rope_type="mixed",
        use_fc_norm=False,
    )


@register_model
def vitatt_test_eva_plain(pretrained: bool = False, **_: Any) -> Eva:
    """Learnt position only, as EVA."""
    return Eva(**SMALL, global_pool="token")


@register_model
def vitatt_test_grouped(pretrained: bool = False, **_: Any) -> Eva:
    """Keys that two heads share, as Sapiens 2."""
    return Eva(**SMALL, attn_type="rope", qkv_fused=False, num_kv_heads=2, use_rot_pos_emb=True)


@register_model
def vitatt_test_beit(pretrained: bool = False, **_: Any) -> Beit:
    """A table of relative position for each block, and a norm after pooling, as BEiT."""
    return Beit(**SMALL, use_abs_pos_emb=False, use_rel_pos_bias=True, init_values=0.5)


@register_model
def vitatt_test_beit_shared(pretrained: bool = False, **_: Any) -> Beit:
    """One table of relative position for all blocks, as in the pretraining of BEiT."""
    return Beit(**SMALL, use_shared_rel_pos_bias=True, init_values=0.5, global_pool="token")


@register_model
def vitatt_test_panderm(pretrained: bool = False, **_: Any) -> Beit:
    """Absolute positions, as PanDerm."""
    return Beit(**SMALL, use_abs_pos_emb=True, init_values=0.1, global_pool="token")


@register_model
def vitatt_test_siglip(pretrained: bool = False, **_: Any) -> VisionTransformer:
    """An attention pool in place of a class token, as SigLIP."""
    return VisionTransformer(**SMALL, class_token=False, global_pool="map")


@register_model
def vitatt_test_pool_registers(pretrained: bool = False, **_: Any) -> VisionTransformer:
    """An attention pool, and register tokens to which it does not attend."""
    return VisionTransformer(**SMALL, class_token=False, reg_tokens=2, global_pool="map")


@register_model
def vitatt_test_mean(pretrained: bool = False, **_: Any) -> VisionTransformer:
    """The mean of the patch tokens in place of a class token, and registers."""
    return VisionTransformer(**SMALL, class_token=False, reg_tokens=2, global_pool="avg")


@register_model
def vitatt_test_clip(pretrained: bool = False, **_: Any) -> VisionTransformer:
    """A norm before the blocks, and QuickGELU, as CLIP."""
    norm = functools.partial(LayerNorm, eps=1e-5)
    return VisionTransformer(**SMALL, pre_norm=True, act_layer="quick_gelu", norm_layer=norm)


SMALL_SWIN: dict[str, Any] = {
    "img_size": 64,
    "embed_dim": 16,
    "depths": (2, 1, 1, 1),
    "num_heads": (1, 2, 2, 4),
    "window_size": 4,
    "num_classes": 0,
}


@register_model
def vitatt_test_swin(pretrained: bool = False, **_: Any) -> SwinTransformer:
    """A small Swin transformer."""
    return SwinTransformer(**SMALL_SWIN)


@register_model
def vitatt_test_swin2(pretrained: bool = False, **_: Any) -> SwinTransformerV2:
    """A small Swin transformer of version 2."""
    return SwinTransformerV2(**SMALL_SWIN)


def make_task(
    cardinalities: Sequence[int] = CARDINALITIES,
    *,
    classes: Sequence[str] = CLASSES,
    image_size: int = 32,
) -> LesionTask:
    features = tuple(
        FeatureEncoding(
            name=f"feature_{i}",
            label=f"Feature {i}",
            kind="categorical",
            categories=tuple(f"c{c}" for c in range(cardinality)),
        )
        for i, cardinality in enumerate(cardinalities)
    )
    return LesionTask(
        dataset="synthetic",
        classes=tuple(classes),
        class_counts=COUNTS[: len(classes)],
        features=features,
        smoothing=0.1,
        image_size=image_size,
        fold_spec=FoldSpec(fold=0, num_folds=5, seed=0),
    )


def make_batch(
    task: LesionTask, size: int = 8, *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> LesionBatch:
    """Random cases: the first lacks every feature, the second none, the others some."""
    generator = torch.Generator().manual_seed(seed)
    side = task.image_size
    blocks = [
        torch.rand(size, cardinality, generator=generator).mul(3).softmax(-1).to(dtype)
        for cardinality in task.cardinalities
    ]
    missing = torch.rand(size, len(task.features), generator=generator) < 0.4
    missing[0], missing[1:2] = True, False
    return LesionBatch(
        image=Pixels(
            torch.randint(0, 256, (size, 3, side, side), generator=generator, dtype=torch.uint8)
        ),
        metadata=torch.cat(blocks, dim=1) if blocks else torch.zeros(size, 0, dtype=dtype),
        missing=missing,
        target=torch.randint(0, len(task.classes), (size,), generator=generator),
        case_id=[f"case_{i}" for i in range(size)],
    )


def make_views_batch(task: LesionTask, size: int = 8, *, seed: int = 0) -> LesionBatch:
    """Random cases of two views: of the third the second is absent, of the fourth the first."""
    one, other = (make_batch(task, size, seed=seed + part) for part in range(2))
    absent = torch.zeros(size, 2, dtype=torch.bool)
    absent[2, 1] = absent[3, 0] = True
    pixels = torch.cat([one.pixels, other.pixels], dim=2)
    return one._replace(image=Pixels(pixels, absent))


def tensors(batch: LesionBatch) -> tuple[Tensor, ...]:
    """Image, metadata, missing mask and target of a batch."""
    return batch.image.values, *batch[1:4]


def make_network(
    task: LesionTask,
    encoder: str = "test_vit",
    fusion: Callable[..., LesionNetwork] = AttentionFusion,
    *,
    frozen: bool | int = False,
    seed: int = 0,
    **arguments: Any,
) -> LesionNetwork:
    """A network in evaluation mode whose every weight matters and whose attention is uneven."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        image_encoder = make_encoder(
            encoder, image_size=task.image_size, frozen=frozen, views=task.num_views
        )
        network = fusion(image_encoder, task, **arguments)
        with torch.no_grad():
            for parameter in network.parameters():
                scale = 1.5 * parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 0.2
                parameter.add_(torch.randn_like(parameter) * scale)
            for name, buffer in network.named_buffers():
                if name.endswith("running_mean"):
                    buffer.normal_()
                elif name.endswith("running_var"):
                    buffer.uniform_(0.5, 1.5)
    return network.eval()


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference in a case and class, as a share of its largest expected value."""
    if expected.numel() == 0:
        assert actual.shape == expected.shape
        return 0.0
    difference = (actual.double() - expected).flatten(2).abs().amax(-1)
    return (difference / expected.flatten(2).abs().amax(-1).clamp(min=1e-300)).max().item()
