"""Weights files as others publish them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file

from tests.models.encoders.published_layouts import (
    LAYOUTS,
    beit,
    convnext,
    dinov2,
    dinov3,
    eva02,
    mae,
    openclip,
    openclip_of_timm,
    swin,
    wrapped,
)
from tests.models.encoders.test_families import SIZE, pixels, saved
from vitatt.models.encoders.base import EncoderError
from vitatt.models.encoders.factory import make_encoder
from vitatt.types import Pixels

CASES = {
    "openclip": ("vitatt_test_clip", openclip),
    "openclip-siglip": ("vitatt_test_siglip", openclip_of_timm),
    "openclip-convnext": ("test_convnext", openclip_of_timm),
    "openclip-eva02": ("vitatt_test_eva02", openclip_of_timm),
    "dinov2": ("vitatt_test_registers", dinov2),
    "mae": ("test_vit", mae),
    "dinov3": ("vitatt_test_dinov3", dinov3),
    "eva02": ("vitatt_test_eva02", eva02),
    "beit": ("vitatt_test_beit", beit),
    "beit-shared": ("vitatt_test_beit_shared", beit),
    "panderm": ("vitatt_test_panderm", beit),
    "convnext": ("test_convnext", convnext),
    "swin": ("vitatt_test_swin", swin),
}


def same_weights(encoder: Any, network: Any) -> None:
    """Compare at the size at which the file was written, so that nothing is interpolated."""
    for key, value in network.state_dict().items():
        torch.testing.assert_close(encoder.backbone.state_dict()[key], value, msg=key)


def size_of(network: Any) -> int:
    return network.patch_embed.img_size[0] if hasattr(network, "patch_embed") else SIZE


@pytest.mark.parametrize("case", CASES)
def test_published_layouts(case: str, tmp_path: Path) -> None:
    name, write = CASES[case]
    network = saved(name, tmp_path / "timm.pt")
    torch.save(write(network), tmp_path / "w.pt")
    size = size_of(network)
    encoder = make_encoder(name, image_size=size, weights=str(tmp_path / "w.pt")).eval()
    plain = make_encoder(name, image_size=size, weights=str(tmp_path / "timm.pt")).eval()
    same_weights(encoder, plain.backbone)
    with torch.no_grad():
        expected = plain(Pixels(pixels(size)))
        torch.testing.assert_close(encoder(Pixels(pixels(size))), expected, rtol=1e-5, atol=1e-5)


WRAPPERS: dict[str, Any] = {
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, "optimizer": {"state": {0: torch.ones(3)}}},
    "module": lambda state: wrapped(state, "module."),
    "compiled": lambda state: wrapped(state, "module._orig_mod."),
    "teacher": lambda state: {
        "student": {key: value + 1 for key, value in wrapped(state, "backbone.").items()},
        "teacher": wrapped(state, "backbone.") | {"dino_head.mlp.weight": torch.ones(3, 3)},
        "epoch": 3,
    },
    "student": lambda state: {"student": wrapped(state, "module.backbone.")},
    "lightning": lambda state: {
        "state_dict": wrapped(state, "model.encoder.") | {"model.classifier.bias": torch.ones(3)},
        "hyper_parameters": {"a": 1},
    },
    "nested": lambda state: {"model": {"teacher": wrapped(state, "module.encoder.backbone.")}},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("case", ["dinov2", "dinov3", "beit", "openclip", "convnext"])
def test_wrappers_around_them(case: str, wrapper: str, tmp_path: Path) -> None:
    name, write = CASES[case]
    network = saved(name, tmp_path / "timm.pt")
    state = write(network)
    state = state.get("model", state)
    torch.save(WRAPPERS[wrapper](state), tmp_path / "w.pt")
    size = size_of(network)
    encoder = make_encoder(name, image_size=size, weights=str(tmp_path / "w.pt"))
    same_weights(encoder, network)


@pytest.mark.parametrize("name", ["vitatt_test_siglip", "vitatt_test_dinov3", "test_convnext"])
def test_files_of_hugging_face(name: str, tmp_path: Path) -> None:
    """OpenCLIP's `open_clip_model.safetensors`, in half precision."""
    network = saved(name, tmp_path / "timm.pt")
    state = {key: value.half() for key, value in openclip_of_timm(network).items()}
    save_file(state, tmp_path / "open_clip_model.safetensors")
    path = str(tmp_path / "open_clip_model.safetensors")
    encoder = make_encoder(name, image_size=SIZE, weights=path)
    for key, value in network.state_dict().items():
        loaded = encoder.backbone.state_dict()[key]
        assert loaded.dtype == torch.float32
        assert torch.equal(loaded, value.half().float()), key


def clip_of(model: Any, size: int, path: Path, name: str) -> None:
    """Compare the encoder that reads a CLIP model's file with the model's own image tower."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    torch.save(model.state_dict(), path)
    encoder = make_encoder(name, image_size=size, weights=str(path)).eval()
    model.eval().visual.output_tokens = True
    with torch.no_grad():
        pooled, tokens = model.visual(encoder._normalised(pixels(size)))
        actual = encoder(Pixels(pixels(size)))
    torch.testing.assert_close(actual[:, 1:], tokens, rtol=1e-5, atol=1e-5)
    projected = actual[:, 0] @ model.visual.proj
    torch.testing.assert_close(projected, pooled, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("quick", [True, False])
def test_clip_by_open_clip(quick: bool, tmp_path: Path) -> None:
    """The layout of DermLIP; a text context of 16 + 1 tokens is as long as the image's."""
    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=3, width=32, head_width=8, patch_size=16, image_size=SIZE)
    text = CLIPTextCfg(context_length=17, vocab_size=50, width=32, heads=4, layers=3)
    model = CLIP(16, vision, text, quick_gelu=quick)
    if quick:
        clip_of(model, SIZE, tmp_path / "w.pt", "vitatt_test_clip")
        return
    with pytest.raises(AssertionError):  # no key of the file says which GELU it is
        clip_of(model, SIZE, tmp_path / "w.pt", "vitatt_test_clip")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("ViT-B-16", "vit_base_patch16_clip_224"),
        ("ViT-B-16-quickgelu", "vit_base_patch16_clip_quickgelu_224"),
    ],
)
def test_dermlip_by_open_clip(model: str, name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    clip = open_clip.create_model(model, pretrained=None)
    clip_of(clip, 224, tmp_path / "w.pt", name)


def test_what_is_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr("lightning.pytorch.utilities.rank_zero_info", lines.append)
    network = saved("vitatt_test_clip", tmp_path / "timm.pt")
    make_encoder("vitatt_test_clip", image_size=SIZE, weights=str(tmp_path / "timm.pt"))
    assert lines == []
    torch.save({"teacher": wrapped(openclip(network), "module.")}, tmp_path / "w.pt")
    make_encoder("vitatt_test_clip", image_size=SIZE, weights=str(tmp_path / "w.pt"))
    (line,) = lines
    assert line.startswith(
        "w.pt: read the encoder under `teacher.`; left out 16 tensors that are not of it"
    )
    for part in ("transformer (12)", "positional_embedding (1)", "visual (1)", "logit_scale (1)"):
        assert part in line


@pytest.mark.parametrize(
    ("case", "missing", "message"),
    [
        (
            "openclip",
            "visual.transformer.resblocks.1.ln_2.bias",
            r"lacks 1 .*blocks\.1\.norm2\.bias",
        ),
        ("beit", "encoder.blocks.2.gamma_1", r"lacks 1 tensors \(blocks\.2\.gamma_1"),
        ("dinov3", "blocks.1.ls2.gamma", r"lacks 1 tensors \(blocks\.1\.gamma_2"),
        ("convnext", "downsample_layers.2.1.weight", r"lacks 1 tensors \(stages\.2\.downsample"),
    ],
)
def test_files_that_fit_in_part(case: str, missing: str, message: str, tmp_path: Path) -> None:
    name, write = CASES[case]
    state = write(saved(name, tmp_path / "timm.pt"))
    state = state.get("model", state)
    del state[missing]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(EncoderError, match=f"does not hold the weights of '{name}'.*{message}"):
        make_encoder(name, image_size=SIZE, weights=str(tmp_path / "w.pt"))


def test_a_layout_that_timm_does_not_convert(tmp_path: Path) -> None:
    """Hugging Face Transformers."""
    names = [f"vision_model.encoder.layers.{n}.self_attn.q_proj.weight" for n in range(9)]
    torch.save({name: torch.ones(32, 32) for name in names}, tmp_path / "w.pt")
    with pytest.raises(EncoderError, match=r"names such as vision_model\.encoder\.layers\.0"):
        make_encoder("vitatt_test_clip", image_size=SIZE, weights=str(tmp_path / "w.pt"))


def test_blocks_that_the_network_does_not_have(tmp_path: Path) -> None:
    network = saved("vitatt_test_beit", tmp_path / "timm.pt")
    more = {"blocks.3.gamma_1": torch.ones(32), "reg_token": torch.ones(1, 1, 32)}
    torch.save({**network.state_dict(), **more}, tmp_path / "w.pt")
    with pytest.raises(EncoderError, match=r"has unknown 2 tensors \(blocks\.3\.gamma_1, reg_tok"):
        make_encoder("vitatt_test_beit", image_size=SIZE, weights=str(tmp_path / "w.pt"))


def test_biases_that_timm_leaves_out_are_not_lost(tmp_path: Path) -> None:
    state = dinov3(saved("vitatt_test_dinov3", tmp_path / "timm.pt"))
    state["blocks.1.attn.qkv.bias"][3] = 0.5
    torch.save(state, tmp_path / "w.pt")
    message = r"no place for: such are 1 tensors \(blocks\.1\.attn\.qkv\.bias\).*`_qkvb`"
    with pytest.raises(EncoderError, match=message):
        make_encoder("vitatt_test_dinov3", image_size=SIZE, weights=str(tmp_path / "w.pt"))


@pytest.mark.parametrize("name", ["vitatt_test_beit", "vitatt_test_swin", "vitatt_test_eva02"])
def test_checkpoints_of_this_package_at_their_size_and_others(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = make_encoder(name, image_size=96)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.normal_()
    state = {f"network.encoder.{key}": value for key, value in trained.state_dict().items()}
    other = {"network.head.weight": torch.zeros(3, 64), "loss.weight": torch.ones(3)}
    torch.save({"state_dict": state | other}, tmp_path / "best.ckpt")
    again = make_encoder(name, image_size=96, weights=str(tmp_path / "best.ckpt"))
    for key, value in trained.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    larger = make_encoder(name, image_size=128, weights=str(tmp_path / "best.ckpt"))
    assert larger.num_patches > trained.num_patches


def test_every_layout_is_tried() -> None:
    assert {write for _, write in CASES.values()} | {LAYOUTS["timm"]} == set(LAYOUTS.values())
    assert all(timm.is_model(name) for name, _ in CASES.values())
