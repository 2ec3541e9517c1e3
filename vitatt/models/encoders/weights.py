"""Weights files of image encoders."""

from __future__ import annotations

import argparse
import contextlib
import math
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import Tensor, nn

from vitatt.models.encoders.base import EncoderError
from vitatt.models.encoders.input_size import set_input_size
from vitatt.models.encoders.layouts import FoundState, find_state, is_of_encoder

_TABLE = "relative_position_bias_table"
_COUNT = "num_batches_tracked"


def load_weights(network: nn.Module, name: str, path: Path, image_size: int) -> None:
    """Load all weights of a timm network from a weights file, or from a checkpoint.

    Position embeddings and tables of relative position keep the grid that they have in the file.
    One line says which tensors of the file are not of the encoder.

    Args:
        network: The network, without a classification head.
        name: Its name, for messages.
        path: Saved by torch or as safetensors, in a layout of `find_state`.
        image_size: Side of the square input that the encoder will have, in pixels.

    Raises:
        EncoderError: If there is no such file, it cannot be read, or it holds other weights, or
            only a part of them.
    """
    saved = _read(path)
    found = find_state(network, saved)
    if found is None:
        raise EncoderError(f"{path} is no weights file: {_content(saved)}.")
    if _set_grid(network, found.source, image_size):
        found = found.converted_again(network)
    own = network.state_dict()
    state = {key: value for key, value in found.state.items() if is_of_encoder(key, own)}
    # Counts of batches are no weights, and files of before 2018 have none.
    state |= {key: own[key] for key in own if key.endswith(_COUNT) and key not in state}
    lacking = [key for key in own if key not in state]
    strange = [key for key in state if key not in own]
    differing = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if lacking or strange or differing:
        names = f" Its tensors have names such as {', '.join(list(found.whole)[:2])}."
        raise EncoderError(
            f"{path} does not hold the weights of '{name}': {_some('lacks', lacking)}; "
            f"{_some('has unknown', strange)}; {_some('has the wrong shape for', differing)}. "
            "Name the encoder that the file was made for as `model.encoder`."
            + names
            * (len(lacking) > len(own) // 2)
        )
    if homeless := found.dropped_weights(own):
        raise EncoderError(
            f"{path} holds weights that '{name}' has no place for: {_some('such are', homeless)}. "
            "Name a variant of the encoder that has them, such as one ending in `_qkvb`."
        )
    _check_values(path, state, own)
    network.load_state_dict({key: value.to(own[key].dtype) for key, value in state.items()})
    _say_what_was_left_out(path, found, own)


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise EncoderError(
            f"The weights file {path} {found}. Name a file as `model.encoder_weights`, or "
            "`hub` to download them."
        )
    try:
        with path.open("rb") as file:
            start = file.read(64)
        saved = _load(path, start)
    except pickle.UnpicklingError as error:
        raise EncoderError(
            f"{path} is no weights file that can be read: {_reason(path, start)}"
        ) from error
    except Exception as error:  # any of pickle, zip, safetensors and the system may fail
        found = "it is empty (0 bytes)." if path.stat().st_size == 0 else f"{error}"
        raise EncoderError(f"{path} is no weights file that can be read: {found}") from error
    if not isinstance(saved, Mapping):
        raise EncoderError(
            f"{path} is no weights file: it holds a {type(saved).__name__}, not tensors by name."
        )
    return saved


def _load(path: Path, start: bytes) -> Any:
    """The content of a file, whatever its name ends in; nothing in it is called."""
    if start[8:9] == b"{":  # after the length of the header
        return safetensors.torch.load_file(path)
    known = torch.serialization.safe_globals([argparse.Namespace])  # files of timm have one
    with known, path.open("rb") as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def _reason(path: Path, start: bytes) -> str:
    """Why a file was not unpickled."""
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS in place of the file. Fetch it by `git lfs pull`."
    if start.lstrip().startswith(b"<"):
        return "it is a web page, not the file that the page offers. Download the file itself."
    if not start.startswith((b"\x80", b"PK")):
        return "it is neither safetensors nor saved by torch."
    names = ""
    with contextlib.suppress(Exception), path.open("rb") as file:  # old files have no list of them
        names = ", ".join(torch.serialization.get_unsafe_globals_in_checkpoint(file)[:3])
    return (
        f"it holds Python objects beside tensors{names and f' ({names})'}, which could run code. "
        "Save the `state_dict()` of its network alone, where you trust it."
    )


def _check_values(path: Path, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Check that weights are finite numbers, and not integers of a quantised network."""
    odd = [
        f"{key} {value.dtype}"
        for key, value in state.items()
        if own[key].is_floating_point() and not value.is_floating_point()
    ]
    if odd:
        raise EncoderError(
            f"{path} does not hold floating-point weights: {_some('other types have', odd)}. "
            "Name a file that is not quantised."
        )
    wrong = [key for key, value in state.items() if not value.float().isfinite().all()]
    if wrong:
        raise EncoderError(
            f"{path} has weights that are infinite or not a number: {_some('such are in', wrong)}. "
            "The file is damaged, or its training diverged: name another one."
        )


def _content(saved: Mapping[str, Any]) -> str:
    kinds = [f"{key} is a {type(value).__name__}" for key, value in list(saved.items())[:3]]
    return f"it holds no tensors ({', '.join(kinds)})" if kinds else "it is empty"


def _set_grid(network: Any, source: Mapping[str, Tensor], image_size: int) -> bool:
    """Give a network the grid of a file's positions, so that they are not resampled twice.

    Returns:
        Whether the file has positions on a grid of its own.
    """
    if isinstance(network, SwinTransformer | SwinTransformerV2):
        # Its windows depend on the image size, and so their tables of relative position.
        if image_size % network.feature_info[-1]["reduction"] == 0:
            set_input_size(network, image_size)
        return True
    for side in _sides(network, source):
        patch = network.patch_embed.patch_size[0]
        set_input_size(network, side * patch)
        return True
    return False


def _sides(network: Any, source: Mapping[str, Tensor]) -> Iterator[int]:
    """Patches along a side of a file's position embeddings or tables."""
    # A text tower has embeddings too, and stands beside `visual`.
    for key in sorted(source, key=lambda key: "visual" not in key):
        value, last = source[key], key.rpartition(".")[2]
        if last == _TABLE:
            # BEiT: a row for each difference of positions, and three for the class token.
            yield (math.isqrt(max(0, len(value) - 3)) + 1) // 2
        position = getattr(network, "pos_embed", None)
        if position is None or last not in ("pos_embed", "positional_embedding"):
            continue
        if value.ndim > 1 and value.shape[-1] == position.shape[-1]:
            embedded = not getattr(network, "no_embed_class", False)
            for prefix in (network.num_prefix_tokens if embedded else 0, 0, 1):
                side = math.isqrt(max(0, value.shape[-2] - prefix))
                if side and side**2 + prefix == value.shape[-2]:
                    yield side


def _say_what_was_left_out(path: Path, found: FoundState, own: Mapping[str, Tensor]) -> None:
    left_out = found.left_out(own)
    if not left_out:
        return
    # Prediction loads no weights files, and not Lightning either.
    from lightning.pytorch.utilities import rank_zero_info

    count = sum(left_out.values())
    groups = ", ".join(f"{group} ({size})" for group, size in left_out.items())
    place = f" under `{found.place}`" if found.place else ""
    rank_zero_info(
        f"{path.name}: read the encoder{place}; left out {count} tensors that are not of it, such "
        f"as heads and text towers: {groups}."
    )


def _some(what: str, keys: list[str]) -> str:
    shown = ", ".join([*keys[:3], *(["..."] if len(keys) > 3 else [])])
    return f"{what} {len(keys)} tensors" + (f" ({shown})" if keys else "")
