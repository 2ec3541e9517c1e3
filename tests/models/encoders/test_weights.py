from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

import tests.tasks  # noqa: F401  (it registers an encoder with register tokens)
from vitatt.models.encoders.base import EncoderError
from vitatt.models.encoders.factory import make_encoder


def test_weights_in_safetensors_and_with_a_head(tmp_path: Path) -> None:
    vit = timm.create_model("test_vit", num_classes=10)
    save_file(vit.state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": vit.state_dict()}, tmp_path / "w.pt")
    for file in ("w.safetensors", "w.pt"):
        encoder = make_encoder("test_vit", image_size=160, weights=str(tmp_path / file))
        for name, value in encoder.vit.state_dict().items():
            assert torch.equal(value, vit.state_dict()[name]), name


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet", "vitatt_test_registers"])
def test_encoder_of_a_checkpoint_at_its_own_size(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = make_encoder(name, image_size=32)
    state = {f"network.encoder.{key}": value for key, value in trained.state_dict().items()}
    other = {"network.head.weight": torch.zeros(3, 64), "loss.weight": torch.ones(3)}
    torch.save({"state_dict": state | other}, tmp_path / "best.ckpt")
    torch.manual_seed(1)
    again = make_encoder(name, image_size=32, weights=str(tmp_path / "best.ckpt"))
    for key, value in trained.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    larger = make_encoder(name, image_size=64, weights=str(tmp_path / "best.ckpt"))
    assert larger.num_patches == 4 * trained.num_patches


def test_weights_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pt", tmp_path):
        with pytest.raises(EncoderError, match=r"does not exist|is a folder") as info:
            make_encoder("test_vit", image_size=32, weights=str(path))
        assert str(path) in str(info.value)


@pytest.mark.parametrize("file", ["w.pt", "w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x00garbage" * 99, b"version https://git-lfs"])
def test_weights_file_that_is_garbage(file: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(EncoderError, match="is no weights file that can be read"):
        make_encoder("test_vit", image_size=32, weights=str(path))


@pytest.mark.parametrize("saved", [[1, 2], 3, {"cls_token": 1}], ids=["list", "number", "values"])
def test_weights_file_that_holds_no_tensors(saved: object, tmp_path: Path) -> None:
    torch.save(saved, tmp_path / "w.pt")
    with pytest.raises(EncoderError, match=str(tmp_path)):
        make_encoder("test_vit", image_size=32, weights=str(tmp_path / "w.pt"))


def test_weights_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    wanting = [
        ({k: v for k, v in state.items() if k != "norm.bias"}, r"lacks 1 tensors \(norm\.bias,"),
        ({**state, "reg_token": state["norm.bias"]}, r"has unknown 1 tensors \(reg_token,"),
        ({**state, "norm.bias": torch.zeros(3)}, r"norm\.bias \(3,\) instead of \(64,\)"),
        (timm.create_model("resnet18").state_dict(), r"lacks \d+ tensors \(cls_token, pos_embed"),
    ]
    for other, message in wanting:
        torch.save(other, path)
        with pytest.raises(
            EncoderError, match=f"does not hold the weights of 'test_vit'.*{message}"
        ):
            make_encoder("test_vit", image_size=32, weights=str(path))
