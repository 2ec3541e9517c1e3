"""PanDerm as timm models, so that `model.encoder` can name them.

Source: Yan et al., "A multimodal vision foundation model for clinical dermatology", Nature Medicine
2025. Its networks are vision transformers of the BEiT kind (no bias of the keys, layer scale), with
absolute position embeddings in place of relative position bias, which no model of timm has. The
weights are the authors', under CC-BY-NC-ND 4.0.
"""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.beit import Beit, checkpoint_filter_fn

_LAYOUT = {
    "input_size": (3, 224, 224),
    "fixed_input_size": True,
    "num_classes": 0,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "first_conv": "patch_embed.proj",
    "classifier": "head",
    "license": "cc-by-nc-nd-4.0",
}

default_cfgs = generate_default_cfgs(
    {"panderm_base_patch16_224": _LAYOUT, "panderm_large_patch16_224": _LAYOUT}
)


def panderm_base_patch16_224(pretrained: bool = False, **kwargs: Any) -> Beit:
    """PanDerm Base, ViT-B/16."""
    size = {"embed_dim": 768, "depth": 12, "num_heads": 12}
    return _create("panderm_base_patch16_224", pretrained, size | kwargs)


def panderm_large_patch16_224(pretrained: bool = False, **kwargs: Any) -> Beit:
    """PanDerm Large, ViT-L/16."""
    size = {"embed_dim": 1024, "depth": 24, "num_heads": 16}
    return _create("panderm_large_patch16_224", pretrained, size | kwargs)


def _create(name: str, pretrained: bool, arguments: dict[str, Any]) -> Beit:
    kind = {
        "patch_size": 16,
        "use_abs_pos_emb": True,
        "use_rel_pos_bias": False,
        "init_values": 0.1,
        "global_pool": "token",
    }
    return build_model_with_cfg(
        Beit,
        name,
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        **(kind | arguments),
    )


for _entry in (panderm_base_patch16_224, panderm_large_patch16_224):
    register_model(_entry)
