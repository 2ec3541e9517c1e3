"""Image encoders by their timm name."""

from __future__ import annotations

import difflib
from pathlib import Path

import timm
from timm.models.efficientnet import EfficientNet
from timm.models.vision_transformer import VisionTransformer

from vitatt.models.encoders.base import EncoderError, ImageEncoder
from vitatt.models.encoders.cnn import CNNEncoder
from vitatt.models.encoders.vit import ViTEncoder
from vitatt.models.encoders.weights import load_weights


def make_encoder(
    name: str,
    *,
    image_size: int,
    weights: str | None = None,
    frozen: bool | int = False,
    gradient_checkpointing: bool = False,
    views: int = 1,
) -> ImageEncoder:
    """A vision transformer or an EfficientNet as image encoder.

    Args:
        name: Of timm, such as ``vit_small_patch14_dinov2`` or ``tf_efficientnet_lite0``.
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
        load_weights(network, name, Path(weights).expanduser())
    kind = ViTEncoder if isinstance(network, VisionTransformer) else CNNEncoder
    encoder = kind(
        network,
        name,
        image_size=image_size,
        frozen=frozen,
        gradient_checkpointing=gradient_checkpointing,
    )
    encoder.views = views
    return encoder


def _create(name: str, *, download: bool) -> VisionTransformer | EfficientNet:
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models())
        close = close or difflib.get_close_matches(name, timm.list_models("vit_*"), cutoff=0)
        raise EncoderError(
            f"timm has no model named '{name}'. Did you mean one of {', '.join(close)}?"
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
    if not isinstance(network, VisionTransformer | EfficientNet):
        raise EncoderError(
            f"Expected `model.encoder` to be a vision transformer or an EfficientNet of timm, but "
            f"'{name}' is a {type(network).__name__}. Choose a model such as "
            "vit_small_patch16_224, vit_small_patch14_dinov2 or tf_efficientnet_lite0."
        )
    return network
