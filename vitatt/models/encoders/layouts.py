"""Layouts of weights files: where in a file an encoder is, and which names its tensors have."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitatt.models.encoders.input_size import interpolation_of_tables

_RANKS = {"teacher": -1, "student": 1, "state_dict_ema": 1, "model_ema": 1, "ema": 1}
"""Which of several networks in a file is read; the others are 0, the first of them first."""

_HEADS = ("head.fc.", "head.pre_logits.", "head.weight", "head.bias")
"""Of classifiers, in networks whose `head` has a layer that the encoder needs."""
_TRANSFORMER_PARTS = frozenset(
    {
        *("cls_token", "dist_token", "reg_token", "register_tokens", "storage_tokens"),
        *("pos_embed", "rel_pos_bias", "rope", "norm_pre", "norm", "fc_norm"),
    }
)
_POSITIONS = ("pos_embed", "relative_position_bias_table")
_CONSTANTS = (
    *("relative_position_index", "relative_coords_table", "attn_mask", "bias_mask"),
    *("mask_token", "periods", "freqs_cos", "freqs_sin"),
)
"""Last words of names that are no weights of an encoder."""


class FoundState(NamedTuple):
    """An encoder's tensors in a file.

    Attributes:
        place: Before their names in the file, such as ``teacher.backbone.``.
        prefix: The part of `place` that is in the names of tensors.
        whole: All tensors that are saved together with them, by name.
        source: Those under the prefix, by the name after it.
        state: The same under timm's names.
        by_timm: Whether timm's filter of the model family gave these names.
    """

    place: str
    prefix: str
    whole: dict[str, Tensor]
    source: dict[str, Tensor]
    state: dict[str, Tensor]
    by_timm: bool

    def converted_again(self, network: nn.Module) -> FoundState:
        """The same tensors for a network whose positions have another grid now."""
        own = network.state_dict()
        if not self.by_timm and _score(self.state, own, exactly=True)[0] == len(own):
            return self
        converted = _by_timm(network, self.source)
        return self if converted is None else self._replace(state=_with_final_norm(converted, own))

    def left_out(self, own: Mapping[str, Tensor]) -> dict[str, int]:
        """Number of tensors of the file, by group, that are not of the encoder."""
        shared = [prefix for prefix in _prefixes(self.whole, len(self.whole)) if prefix]
        wrapper = shared[-1] if shared else ""
        groups = Counter(_group(key, self.prefix, wrapper, own) for key in self._unused(own))
        return dict(groups)

    def dropped_weights(self, own: Mapping[str, Tensor]) -> list[str]:
        """Names of tensors of the encoder that timm's filter leaves out although they are not 0."""
        return [
            key
            for key in self._unused(own)
            if key.startswith(self.prefix)
            and is_of_encoder(key.removeprefix(self.prefix), own)
            and key.rpartition(".")[2] not in _CONSTANTS
            and bool(self.whole[key].nan_to_num().any())
        ]

    def _unused(self, own: Mapping[str, Tensor]) -> list[str]:
        used = {value.data_ptr() for key, value in self.state.items() if key in own}
        return [
            key
            for key, value in self.whole.items()
            if value.data_ptr() not in used and key.removeprefix(self.prefix) not in own
        ]


def find_state(network: nn.Module, saved: Mapping[str, Any]) -> FoundState | None:
    """The tensors of a file that fit a network best, under timm's names.

    These layouts are read, and any combination of them:

    - timm's names, those of Hugging Face files that timm publishes among them;
    - the originals that timm's own filter of the model family converts: OpenCLIP (``visual.*``
      beside a text tower), DINOv2 and DINOv3, MAE, BEiT, SigLIP, Swin, ConvNeXt and others;
    - wrappers: a network under a key such as ``state_dict``, ``model``, ``teacher`` or ``student``
      (the teacher is read if there are both);
    - prefixes such as ``module.``, ``backbone.``, ``encoder.``, and those of checkpoints of this
      package.

    Args:
        network: A timm network.
        saved: The content of the file.

    Returns:
        None if the file holds no tensors.
    """
    own = network.state_dict()
    best, best_score = None, (-1, 0)
    for found in _candidates(network, saved, own):
        score = _score(found.state, own)
        if score > best_score:
            best, best_score = found, score
        if best_score == (len(own), 0):
            break
    return best


def is_of_encoder(name: str, own: Mapping[str, Tensor]) -> bool:
    """Whether a tensor of this name belongs to an encoder, if not to this one.

    One that an encoder with the tensors `own` does not have says that it is another encoder.
    """
    parts = {key.partition(".")[0] for key in own} | _TRANSFORMER_PARTS
    return name.partition(".")[0] in parts and not name.startswith(_HEADS)


def _candidates(
    network: nn.Module, saved: Mapping[str, Any], own: Mapping[str, Tensor]
) -> Iterator[FoundState]:
    for wrapper, whole in _tensors(saved):
        for prefix in _prefixes(whole, len(own) // 2):
            source = {k.removeprefix(prefix): v for k, v in whole.items() if k.startswith(prefix)}
            place = wrapper + prefix
            yield FoundState(place, prefix, whole, source, _with_final_norm(source, own), False)
            converted = _by_timm(network, source)
            if converted is not None:
                state = _with_final_norm(converted, own)
                yield FoundState(place, prefix, whole, source, state, True)


def _tensors(saved: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """All dicts of tensors in a file, and where they are."""
    here = {k: v for k, v in saved.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if here:
        yield place, here
    nested = [k for k, v in saved.items() if isinstance(k, str) and isinstance(v, Mapping)]
    for key in sorted(nested, key=lambda key: _RANKS.get(key, 0)):
        yield from _tensors(saved[key], f"{place}{key}.")


def _prefixes(names: Mapping[str, Tensor], least: int) -> list[str]:
    """Prefixes that at least this number of names share, shortest first."""
    counts: Counter[str] = Counter()
    for name in names:
        words = name.split(".")[:-1]
        counts.update(".".join(words[:length]) + "." for length in range(1, len(words) + 1))
    shared = [prefix for prefix, count in counts.items() if count >= max(1, least)]
    return ["", *sorted(shared, key=lambda prefix: prefix.count("."))]


def _by_timm(network: nn.Module, source: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Tensors under timm's names by its filter of the model family; None if it takes no such."""
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return None
    options = {"adapt_layer_scale": True} if isinstance(network, VisionTransformer) else {}
    try:
        # It prints what a variant does not have.
        with contextlib.redirect_stdout(io.StringIO()), interpolation_of_tables():
            state: dict[str, Tensor] = convert(dict(source), network, **options)
    except (KeyError, AttributeError, IndexError, RuntimeError, ValueError, AssertionError):
        return None  # these tensors are of another network
    return state


def _with_final_norm(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The norm after the last block under the name that the network has for it.

    It is named ``norm`` before and ``fc_norm`` after pooling, and the same layer of pretraining and
    fine-tuning.
    """
    for there, here in (("norm.", "fc_norm."), ("fc_norm.", "norm.")):
        has = any(key.startswith(here) for key in own) and not any(
            key.startswith(there) for key in own
        )
        if has and not any(key.startswith(here) for key in state):
            state = {
                here + key.removeprefix(there) if key.startswith(there) else key: value
                for key, value in state.items()
            }
    return state


def _score(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], *, exactly: bool = False
) -> tuple[int, int]:
    """Number of the network's tensors that are there, and, negative, of another encoder's.

    Positions may have another grid, unless `exactly`.
    """
    fitting = sum(
        key in state
        and (state[key].shape == value.shape or (not exactly and key.endswith(_POSITIONS)))
        for key, value in own.items()
    )
    return fitting, -sum(key not in own and is_of_encoder(key, own) for key in state)


def _group(key: str, prefix: str, wrapper: str, own: Mapping[str, Tensor]) -> str:
    """The part of a file that a tensor is of, without what is before all names in it."""
    name = key.removeprefix(prefix)
    if key.startswith(prefix) and is_of_encoder(name, own):
        return re.sub(r"\.\d+\.", ".*.", name)
    return key.removeprefix(wrapper).partition(".")[0]
