from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

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


@pytest.mark.parametrize("file", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"it is empty \(0 bytes\)"),
        (b"<!doctype html><title>404</title>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS .* `git lfs pull`"),
        (b"no tensors at all, but text", "it is neither safetensors nor saved by torch"),
    ],
)
def test_what_was_fetched_instead_of_weights(
    file: str, content: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(EncoderError, match=reason):
        make_encoder("test_vit", image_size=32, weights=str(tmp_path / file))


class Harmful:
    """Calls a function when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "save", [torch.save, lambda one, path: path.write_bytes(pickle.dumps(one, protocol=2))]
)
def test_nothing_in_a_weights_file_is_called(save: Callable[..., None], tmp_path: Path) -> None:
    save({"model": Harmful(tmp_path / "called")}, tmp_path / "w.pt")
    with pytest.raises(EncoderError, match=r"holds Python objects .* Save the `state_dict\(\)`"):
        make_encoder("test_vit", image_size=32, weights=str(tmp_path / "w.pt"))
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("file", ["w", "w.pt", "w.safetensors"])
@pytest.mark.parametrize("save", [torch.save, save_file])
def test_the_content_tells_the_format(save: Callable[..., None], file: str, tmp_path: Path) -> None:
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    save(state, tmp_path / file)
    encoder = make_encoder("test_vit", image_size=160, weights=str(tmp_path / file))
    assert torch.equal(encoder.vit.state_dict()["norm.bias"], state["norm.bias"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: x * torch.nan,
            r"not a number: such are in 1 tensors \(norm\.weight\)\. The file",
        ),
        (lambda x: x / 0, r"infinite or not a number: such are in 1 tensors \(norm\.weight\)"),
        (lambda x: x.to(torch.int8), r"1 tensors \(norm\.weight torch\.int8\).* not quantised"),
    ],
)
def test_values_that_are_no_weights(
    change: Callable[[Tensor], Tensor], message: str, tmp_path: Path
) -> None:
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    torch.save({**state, "norm.weight": change(state["norm.weight"])}, tmp_path / "w.pt")
    with pytest.raises(EncoderError, match=message):
        make_encoder("test_vit", image_size=32, weights=str(tmp_path / "w.pt"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_weights_of_other_precision(dtype: torch.dtype, tmp_path: Path) -> None:
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    torch.save({key: value.to(dtype) for key, value in state.items()}, tmp_path / "w.pt")
    encoder = make_encoder("test_vit", image_size=160, weights=str(tmp_path / "w.pt"))
    found = encoder.vit.state_dict()["patch_embed.proj.weight"]
    assert found.dtype == torch.float32
    assert torch.equal(found, state["patch_embed.proj.weight"].to(dtype).float())


def test_old_files_do_not_count_batches(tmp_path: Path) -> None:
    state = timm.create_model("resnet10t", num_classes=0).state_dict()
    bare = {key: value for key, value in state.items() if "num_batches_tracked" not in key}
    torch.save(bare, tmp_path / "w.pt")
    found = make_encoder("resnet10t", image_size=32, weights=str(tmp_path / "w.pt")).backbone
    assert all(torch.equal(found.state_dict()[key], value) for key, value in bare.items())


@pytest.mark.parametrize("saved", [[1, 2], 3, {"cls_token": 1}], ids=["list", "number", "values"])
def test_weights_file_that_holds_no_tensors(saved: object, tmp_path: Path) -> None:
    torch.save(saved, tmp_path / "w.pt")
    with pytest.raises(EncoderError, match=str(tmp_path)):
        make_encoder("test_vit", image_size=32, weights=str(tmp_path / "w.pt"))


def test_weights_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    state = timm.create_model("test_vit", num_classes=0).state_dict()
    wanting = [
        ({k: v for k, v in state.items() if k != "norm.bias"}, r"lacks 1 tensors \(norm\.bias\)"),
        ({**state, "reg_token": state["norm.bias"]}, r"has unknown 1 tensors \(reg_token\)"),
        ({**state, "norm.bias": torch.zeros(3)}, r"norm\.bias \(3,\) instead of \(64,\)"),
        (timm.create_model("resnet18").state_dict(), r"lacks \d+ tensors \(cls_token, pos_embed"),
    ]
    for other, message in wanting:
        torch.save(other, path)
        with pytest.raises(
            EncoderError, match=f"does not hold the weights of 'test_vit'.*{message}"
        ):
            make_encoder("test_vit", image_size=32, weights=str(path))
