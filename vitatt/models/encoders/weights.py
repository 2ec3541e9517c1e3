"""Weights files of image encoders."""

from __future__ import annotations

import math
import re
from pathlib import Path

from timm.models import load_state_dict
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitatt.models.encoders.base import EncoderError

_HEADS = ("head.", "head_dist.", "classifier.")
_IN_CHECKPOINT = re.compile(r"network\.encoder\.(?:vit|cnn)\.")
"""Before the names of an encoder's weights in a checkpoint of this package."""


def load_weights(network: nn.Module, name: str, path: Path) -> None:
    """Load all weights of a timm network from a weights file or a checkpoint of this package.

    Position embeddings keep the grid that they have in the file.

    Args:
        network: The network, without a classification head.
        name: Its name, for messages.
        path: Saved by torch or as safetensors with timm's names of weights, with or without a
            classification head; or a checkpoint, of which the encoder is taken.

    Raises:
        EncoderError: If there is no such file, it cannot be read, or it holds other weights.
    """
    if not path.is_file():
        raise EncoderError(
            f"The weights file {path} does not exist. Name a file as `model.encoder_weights`, or "
            "`hub` to download them."
        )
    try:
        state = load_state_dict(str(path), use_ema=False, device="cpu")
    except Exception as error:  # any of pickle, zip, safetensors and the system may fail
        raise EncoderError(f"{path} is no weights file that can be read: {error}") from error
    if of_encoder := {
        _IN_CHECKPOINT.sub("", k): v for k, v in state.items() if _IN_CHECKPOINT.match(k)
    }:
        state = of_encoder
    # Published files may hold a classification head, which is not used.
    state = {key: value for key, value in state.items() if not key.startswith(_HEADS)}
    if strangers := [key for key, value in state.items() if not isinstance(value, Tensor)]:
        raise EncoderError(f"{path} is no weights file: {strangers[0]} is no tensor.")
    if isinstance(network, VisionTransformer) and "pos_embed" in state:
        _set_grid(network, state["pos_embed"])
    own = network.state_dict()
    lacking = [key for key in own if key not in state]
    strange = [key for key in state if key not in own]
    differing = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if lacking or strange or differing:
        raise EncoderError(
            f"{path} does not hold the weights of '{name}': {_some('lacks', lacking)}; "
            f"{_some('has unknown', strange)}; {_some('has the wrong shape for', differing)}. "
            "Name the encoder that the file was made for as `model.encoder`."
        )
    network.load_state_dict({key: value.to(own[key].dtype) for key, value in state.items()})


def _set_grid(vit: VisionTransformer, embedding: Tensor) -> None:
    """Give a transformer the square grid of a position embedding (1, positions, D)."""
    prefix = 0 if vit.no_embed_class else vit.num_prefix_tokens
    side = math.isqrt(max(0, embedding.shape[-2] - prefix)) if embedding.ndim > 1 else 0
    if side and side**2 + prefix == embedding.shape[-2]:
        vit.set_input_size(img_size=side * vit.patch_embed.patch_size[0])


def _some(what: str, keys: list[str]) -> str:
    return f"{what} {len(keys)} tensors" + (f" ({', '.join(keys[:3])}, ...)" if keys else "")
