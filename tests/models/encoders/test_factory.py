from __future__ import annotations

import pytest
import timm

import tests.tasks  # noqa: F401  (it registers small encoders)
from vitatt.models.encoders.base import EncoderError
from vitatt.models.encoders.factory import make_encoder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test_vi", "timm has no model named 'test_vi'. Did you mean one of test_vit"),
        ("test_vit.r160", "timm has no weights 'r160' of test_vit. Known are test_vit.r160_in1k."),
        ("no such model", "timm has no model named 'no such model'. Did you mean one of vit_"),
        ("test_vit_relpos", "'test_vit_relpos' is a VisionTransformerRelPos"),
        ("test_mambaout", r"ResNet, ConvNeXt, .* of timm, but 'test_mambaout' is a MambaOut"),
        ("vit_dwee_patch16_reg1_gap_256", "of the kind Block with DiffAttention"),
        ("vit_pwee_patch16_reg1_gap_256", "of the kind ParallelScalingBlock with NoneType"),
        ("vitatt_test_grouped", "EvaBlock with AttentionRope of 2 queries to a key, whose"),
    ],
)
def test_models_that_cannot_be_fused(name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        make_encoder(name, image_size=32)


def test_the_hub_has_no_weights_of_panderm() -> None:
    message = r"'panderm_base_patch16_224' could not be downloaded \(RuntimeError: No pretrained"
    with pytest.raises(EncoderError, match=f"{message}.*name the file as"):
        make_encoder("panderm_base_patch16_224", image_size=224, weights="hub")


def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, *, pretrained: bool, **_: object) -> None:
        assert pretrained
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(EncoderError, match=r"(?s)no route to host.*`model\.encoder_weights`"):
        make_encoder("test_vit", image_size=32, weights="hub")
