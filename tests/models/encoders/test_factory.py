from __future__ import annotations

import pytest
import timm

from vitatt.models.encoders.base import EncoderError
from vitatt.models.encoders.factory import make_encoder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test_vi", "timm has no model named 'test_vi'. Did you mean one of test_vit"),
        ("no such model", "timm has no model named 'no such model'. Did you mean one of vit_"),
        ("resnet18", "'resnet18' is a ResNet"),
        ("test_vit_relpos", "'test_vit_relpos' is a VisionTransformerRelPos"),
        ("swin_tiny_patch4_window7_224", "is a SwinTransformer"),
        ("test_vit2", "'test_vit2' has no class token"),
    ],
)
def test_models_that_cannot_be_fused(name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        make_encoder(name, image_size=32)


def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, *, pretrained: bool, **_: object) -> None:
        assert pretrained
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(EncoderError, match=r"(?s)no route to host.*`model\.encoder_weights`"):
        make_encoder("test_vit", image_size=32, weights="hub")
