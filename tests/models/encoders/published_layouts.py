"""Weights in the layouts of published files, written from a timm network of random weights.

Each writer undoes by itself what timm's filter of the family does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

State = dict[str, Any]


def timm_names(network: Any) -> State:
    """timm's own files, also on Hugging Face, with a classifier."""
    return {**network.state_dict(), "head.fc.weight": torch.ones(7, 3), "fc.bias": torch.ones(7)}


def openclip(network: Any) -> State:
    """OpenCLIP's own transformer, beside a text tower whose context is as long as a grid."""
    renames = {
        "patch_embed.proj": "conv1",
        "pos_embed": "positional_embedding",
        "cls_token": "class_embedding",
        "norm_pre": "ln_pre",
        "attn.qkv.": "attn.in_proj_",
        "attn.proj": "attn.out_proj",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    }
    state: State = {"positional_embedding": torch.ones(26, 32), "logit_scale": torch.ones(())}
    for key, value in network.state_dict().items():
        for new, old in renames.items():
            key = key.replace(new, old)
        key = re.sub(r"^blocks\.(\d+)\.norm(\d)", r"transformer.resblocks.\1.ln_\2", key)
        key = re.sub(r"^blocks\.", "transformer.resblocks.", key).replace("norm.", "ln_post.")
        flat = {"class_embedding": (0, 0), "positional_embedding": (0,)}
        state[f"visual.{key}"] = value[flat[key]] if key in flat else value
        if "resblocks.0." in key:
            state[key] = value[:1].clone()  # the text tower has the same names
    width = len(state["visual.class_embedding"])
    return state | {"visual.proj": torch.randn(width, 16), "token_embedding.weight": torch.ones(9)}


def openclip_of_timm(network: Any) -> State:
    """OpenCLIP around a timm network, as SigLIP and BiomedCLIP."""
    trunk = {f"visual.trunk.{key}": value for key, value in network.state_dict().items()}
    return {**trunk, "text.token_embedding.weight": torch.ones(9), "logit_scale": torch.ones(())}


def dinov2(network: Any) -> State:
    """DINOv2 with registers: positions have a place for the class token, not for registers."""
    state = dict(network.state_dict())
    place = torch.randn_like(state["cls_token"])
    state["cls_token"] = state["cls_token"] - place
    state["pos_embed"] = torch.cat([place, state["pos_embed"]], dim=1)
    state["register_tokens"] = state.pop("reg_token")
    return {**state, "mask_token": torch.ones(1, 32)}


def mae(network: Any) -> State:
    """MAE: the encoder beside the decoder of its pretraining."""
    decoder = {
        "decoder_embed.weight": torch.ones(3, 3),
        "decoder_blocks.0.norm1.bias": torch.ones(3),
    }
    return {"model": {**network.state_dict(), "mask_token": torch.ones(1, 1, 3), **decoder}}


def dinov3(network: Any) -> State:
    """DINOv3: names of layer scale and registers, constants, and biases that are 0."""
    state: State = {}
    for key, value in network.state_dict().items():
        key = re.sub(r"gamma_(\d)", r"ls\1.gamma", key).replace("reg_token", "storage_tokens")
        state[key] = value
        if key.endswith("attn.qkv.weight"):
            state[key.replace("weight", "bias")] = torch.zeros(len(value))
            state[key.replace("weight", "bias_mask")] = torch.ones(len(value))
    return {**state, "rope_embed.periods": torch.ones(2), "mask_token": torch.ones(1, 32)}


def eva02(network: Any) -> State:
    """EVA-02: names of the gated MLP and of biases, and constants."""
    renames = {
        "mlp.norm": "mlp.ffn_ln",
        "mlp.fc1_g": "mlp.w1",
        "mlp.fc1_x": "mlp.w2",
        "mlp.fc2": "mlp.w3",
        "q_proj.bias": "q_bias",
        "v_proj.bias": "v_bias",
        "fc_norm.": "norm.",
    }
    state: State = {"rope.freqs_cos": torch.ones(3), "mask_token": torch.ones(1, 1, 32)}
    for key, value in network.state_dict().items():
        for new, old in renames.items():
            key = key.replace(new, old)
        state[key] = value
        if key.endswith("attn.proj.weight"):
            state[key.replace("proj.weight", "rope.freqs_cos")] = torch.ones(3)
    return {"module": state}


def beit(network: Any) -> State:
    """BEiT and CAE: the encoder under a prefix, its decoder and teacher, and constants.

    The norm after the last block is not yet moved behind the pooling.
    """
    state: State = {"decoder.norm.weight": torch.ones(3), "teacher.cls_token": torch.ones(3)}
    for key, value in network.state_dict().items():
        state["encoder." + key.replace("fc_norm.", "norm.")] = value
        if key.endswith("relative_position_bias_table"):
            state[f"encoder.{key.rpartition('.')[0]}.relative_position_index"] = torch.arange(3)
    return {"model": state}


def convnext(network: Any) -> State:
    """The original ConvNeXt."""
    state: State = {"head.weight": torch.ones(7, 3), "head.bias": torch.ones(7)}
    for key, value in network.state_dict().items():
        key = re.sub(r"^stem\.", "downsample_layers.0.", key)
        key = re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", key)
        key = key.replace("blocks.", "").replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        state[key.replace("head.norm", "norm")] = value
    return {"model": state}


def swin(network: Any) -> State:
    """The original Swin, which reduces a map at the end of a stage, not at the beginning."""
    state: State = {"head.weight": torch.ones(7, 3), "head.bias": torch.ones(7)}
    for key, value in network.state_dict().items():
        moved = re.match(r"layers\.(\d)\.downsample", key)
        if moved:
            key = key.replace(moved[0], f"layers.{int(moved[1]) - 1}.downsample")
        state[key] = value
        if key.endswith("relative_position_bias_table"):
            state[key.replace("bias_table", "index")] = torch.arange(3)
            state[key.replace("attn.relative_position_bias_table", "attn_mask")] = torch.ones(3)
    return {"model": state}


LAYOUTS: dict[str, Callable[[Any], State]] = {
    "timm": timm_names,
    "OpenCLIP": openclip,
    "OpenCLIP of timm": openclip_of_timm,
    "DINOv2": dinov2,
    "MAE": mae,
    "DINOv3": dinov3,
    "EVA-02": eva02,
    "BEiT": beit,
    "ConvNeXt": convnext,
    "Swin": swin,
}
"""Writers by the name of the layout in docs/encoders.md."""


def wrapped(state: State, prefix: str) -> State:
    """The same tensors with a prefix before their names."""
    return {prefix + key: value for key, value in state.items() if isinstance(value, Tensor)}
