"""Networks with one encoder run it once, and only those."""

from __future__ import annotations

import functools

import pytest
import torch

from vitatt.inference import Predictor
from vitatt.models.encoders.sharing import same_tokens
from vitatt.models.fusion import FUSIONS
from vitatt.models.fusion.vitatt import AttentionFusion


def encoder_runs(predictor: Predictor, image) -> int:
    """How often image encoders run for one prediction."""
    runs: list[object] = []
    encoders = {
        id(network.encoder): network.encoder
        for network in (model.network for model in predictor.ensemble.models)
        if network.encoder is not None
    }
    hooks = [
        encoder.backbone.patch_embed.register_forward_pre_hook(lambda *_: runs.append(1))
        for encoder in encoders.values()
    ]
    predictor.predict(image)
    for hook in hooks:
        hook.remove()
    return len(runs)


@pytest.fixture
def image(demo_root):
    return next((demo_root / "images").iterdir())


def test_a_shared_frozen_encoder_runs_once(save, data, image):
    paths = [
        save(data, f"{arm}.ckpt", seed=seed, freeze_encoder=True, fusion=FUSIONS[arm])
        for seed, arm in enumerate(["vitatt", "film", "image_only", "metadata_only"])
    ]
    predictor = Predictor.load(paths, device="cpu")
    assert encoder_runs(predictor, image) == 1
    expected = torch.tensor(
        [
            list(Predictor.load(path, device="cpu").predict(image).probabilities.values())
            for path in paths
        ]
    ).mean(0)
    found = torch.tensor(list(predictor.predict(image).probabilities.values()))
    assert (found - expected).abs().max() < 1e-6


def test_other_encoders_run_themselves(save, data, make_data, image):
    first = save(data, "a.ckpt")
    for number, other in enumerate(
        [
            save(data, "b.ckpt", encoder_seed=1),
            save(make_data(48), "c.ckpt"),
            save(data, "d.ckpt", fusion=functools.partial(AttentionFusion, join_at=3)),
        ]
    ):
        assert encoder_runs(Predictor.load(first, other, device="cpu"), image) == 2, number


def test_one_weight_makes_another_encoder(save, data):
    networks = [
        Predictor.load(save(data), device="cpu").ensemble.models[0].network for _ in range(2)
    ]
    one, other = (network.encoder for network in networks)
    assert same_tokens(one, other)
    other.backbone.norm.bias[0] += 1e-3
    assert not same_tokens(one, other)
