"""Networks of checkpoints without a trainer are those that the LightningModule loads."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch

from tests.tasks import make_batch, make_task
from vitatt.models.build import build_network, load_network, without_initialisation
from vitatt.models.classifier import LesionClassifier
from vitatt.models.fusion import FUSIONS
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.types import UsageError

TASK = make_task()


def save(path, **settings):
    torch.manual_seed(1)
    model = LesionClassifier(TASK.to_plain(), **settings)
    saved = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(saved)
    torch.save(saved, path)
    return path


@pytest.mark.parametrize("name", FUSIONS)
@pytest.mark.parametrize("encoder", ["test_vit", "test_efficientnet"])
def test_the_network_that_lightning_loads(tmp_path, name, encoder):
    path = save(tmp_path / "one.ckpt", encoder=encoder, fusion=FUSIONS[name], freeze_encoder=2)
    expected = LesionClassifier.load_from_checkpoint(path).eval().network
    found = load_network(path)
    assert found.task == TASK
    assert found.path == path
    assert type(found.network) is FUSIONS[name]
    assert not found.network.training
    assert not any(weight.requires_grad for weight in found.network.parameters())
    weights = found.network.state_dict()
    for key, weight in expected.state_dict().items():
        assert torch.equal(weights[key], weight), key
    for key, buffer in expected.named_buffers():  # also those that checkpoints do not hold
        assert torch.equal(found.network.get_buffer(key), buffer), key
    batch = make_batch(TASK)
    with torch.no_grad():
        # Weights lie elsewhere in memory, which can change the last digit of a sum.
        torch.testing.assert_close(found.network(batch).logits, expected(batch).logits)


def test_arguments_of_the_network(tmp_path):
    fusion = functools.partial(AttentionFusion, depth=2, missing="token")
    path = save(tmp_path / "one.ckpt", encoder="test_vit", fusion=fusion)
    network = load_network(path).network
    assert len(network.blocks) == 2
    assert network.metadata_encoder.missing == "token"


def test_weights_in_half_precision_are_used_as_the_network_has_them(tmp_path):
    path = save(tmp_path / "one.ckpt", encoder="test_vit")
    saved = torch.load(path, weights_only=True)
    saved["state_dict"] = {key: value.bfloat16() for key, value in saved["state_dict"].items()}
    torch.save(saved, path)
    assert {weight.dtype for weight in load_network(path).network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda saved: saved["state_dict"].pop("network.head.bias"), r"lacks 1 .* network\.head"),
        (lambda saved: saved["state_dict"]["network.head.bias"].fill_(torch.nan), "no finite"),
        (lambda saved: saved["hyper_parameters"].pop("encoder"), "lacks the setting encoder"),
        (lambda saved: saved["hyper_parameters"].update(encoder=5), "encoder is 5, but str"),
        (lambda saved: saved["hyper_parameters"].update(fusion="none"), "names 'none' as its net"),
        (lambda saved: saved.pop("hyper_parameters"), "says nothing of its task"),
    ],
)
def test_checkpoints_that_cannot_be_used(tmp_path, change, said):
    path = save(tmp_path / "one.ckpt", encoder="test_vit")
    saved = torch.load(path, weights_only=True)
    change(saved)
    torch.save(saved, path)
    with pytest.raises(UsageError, match=said):
        load_network(path)


@pytest.mark.parametrize("encoder", ["test_vit", "test_efficientnet"])
def test_without_initialisation_no_random_number_is_drawn_for_a_weight(encoder):
    generator = torch.random.get_rng_state()
    with without_initialisation():
        torch.nn.Linear(300, 300)
    assert torch.equal(torch.random.get_rng_state(), generator)
    with without_initialisation():
        network = build_network(TASK, AttentionFusion, encoder=encoder)
    again = build_network(TASK, AttentionFusion, encoder=encoder)
    shapes = [
        {name: value.shape for name, value in one.state_dict().items()} for one in (network, again)
    ]
    assert shapes[0] == shapes[1]
    assert again.head.weight.std() > 0


def test_encoder_of_another_training(tmp_path):
    path = save(tmp_path / "one.ckpt", encoder="test_vit")
    elsewhere = dataclasses.replace(TASK, dataset="isic_2019")
    for task in (TASK, elsewhere):
        made = build_network(task, AttentionFusion, encoder="test_vit", encoder_weights=str(path))
        expected = load_network(path).network.encoder.state_dict()
        for key, value in made.encoder.state_dict().items():
            assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize("change", [{"fold": 1}, {"inner_fold": 1}, {"seed": 9}])
def test_encoder_of_a_training_on_cases_that_are_held_out(tmp_path, change):
    path = save(tmp_path / "one.ckpt", encoder="test_vit")
    spec = dataclasses.replace(TASK.fold_spec, **change)
    other = dataclasses.replace(TASK, fold_spec=spec)
    with pytest.raises(UsageError, match="was trained on another fold of synthetic"):
        build_network(other, AttentionFusion, encoder="test_vit", encoder_weights=str(path))
