"""Image encoders by their timm name."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import timm
from timm.models.beit import Beit
from timm.models.convnext import ConvNeXt
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import vitatt.models.encoders.panderm  # noqa: F401  (it registers models)
from vitatt.models.encoders.base import EncoderError, ImageEncoder
from vitatt.models.encoders.beit import BeitEncoder
from vitatt.models.encoders.eva import EvaEncoder
from vitatt.models.encoders.feature_map import FeatureMapEncoder
from vitatt.models.encoders.stages import DIVISIONS, division_of
from vitatt.models.encoders.vit import ViTEncoder
from vitatt.models.encoders.weights import load_weights

_TRANSFORMERS: dict[type[nn.Module], type[ViTEncoder]] = {
    VisionTransformer: ViTEncoder,
    Eva: EvaEncoder,
    Beit: BeitEncoder,
}


def make_encoder(
    name: str,
    *,
    image_size: int,
    weights: str | None = None,
    frozen: bool | int = False,
    gradient_checkpointing: bool = False,
    views: int = 1,
) -> ImageEncoder:
    """A vision transformer, or a network whose last feature map has the patch tokens.

    Args:
        name: Of timm, such as ``vit_small_patch14_dinov2`` or ``convnext_tiny``, or
            ``panderm_base_patch16_224``.
        image_size: Side of the square input, in pixels.
        weights: Path of a weights file, ``hub`` to download timm's own, or None to start at random.
        frozen: Freeze all weights and use evaluation mode; or freeze this number of lower blocks
            and the layers before them.
        gradient_checkpointing: Compute each block's activations again in the backward pass.
        views: Images of a case, V, each of which is encoded by itself.

    Raises:
        EncoderError: If timm has no such network of this name, or the weights, the image size or
            the number of frozen blocks do not fit it.
    """
    network = _create(name, download=weights == "hub")
    if weights and weights != "hub":
        load_weights(network, name, Path(weights).expanduser(), image_size)
    common: dict[str, Any] = {
        "image_size": image_size,
        "frozen": frozen,
        "gradient_checkpointing": gradient_checkpointing,
    }
    if division := division_of(network):
        encoder: ImageEncoder = FeatureMapEncoder(network, division, name, **common)
    else:
        kind = next(kind for base, kind in _TRANSFORMERS.items() if isinstance(network, base))
        encoder = kind(network, name, **common)
    encoder.views = views
    return encoder


def _create(name: str, *, download: bool) -> Any:
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models())
        close = close or difflib.get_close_matches(name, timm.list_models("vit_*"), cutoff=0)
        raise EncoderError(
            f"timm has no model named '{name}'. Did you mean one of {', '.join(close)}?"
        )
    base, _, tag = name.partition(".")
    if tag and name not in (known := timm.list_pretrained(f"{base}.*")):
        raise EncoderError(
            f"timm has no weights '{tag}' of {base}. Known are {', '.join(known) or 'none'}."
        )
    try:
        network = timm.create_model(name, pretrained=download, num_classes=0)
    except Exception as error:
        if not download:
            raise
        # A download can fail in many ways, such as no network or no such weights.
        raise EncoderError(
            f"The weights of '{name}' could not be downloaded ({type(error).__name__}: {error}). "
            "Download them elsewhere and name the file as `model.encoder_weights`."
        ) from error
    allowed = (*_TRANSFORMERS, *DIVISIONS)
    if not isinstance(network, allowed):
        raise EncoderError(
            f"Expected `model.encoder` to be a {_listed(allowed)} of timm, but '{name}' is a "
            f"{type(network).__name__}. Choose a model such as vit_small_patch14_dinov2, "
            "vit_small_patch16_dinov3, vit_base_patch16_siglip_224, beitv2_base_patch16_224, "
            "convnext_tiny, swin_tiny_patch4_window7_224, tf_efficientnetv2_s or resnet50."
        )
    _remove_unused(network)
    return network


def _remove_unused(network: Any) -> None:
    """Remove layers of the classifier, which would get no gradient."""
    if isinstance(network, ConvNeXt) and hasattr(network.head, "pre_logits"):
        network.head.pre_logits = nn.Identity()
    elif isinstance(network, Eva) and network.cls_token is not None:
        network.attn_pool = None


def _listed(kinds: tuple[type[nn.Module], ...]) -> str:
    *names, last = (kind.__name__ for kind in kinds)
    return f"{', '.join(names)} or {last}"
