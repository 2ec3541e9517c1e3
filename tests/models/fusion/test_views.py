"""Networks on cases of several images."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.tasks import make_batch, make_network, make_task, make_views_batch
from vitatt.models.fusion import FUSIONS
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.types import LesionBatch, LesionTask, Pixels, UsageError, split_views, stack_views

SIZE = 6
ONE = make_task(image_size=48)
TWO = dataclasses.replace(ONE, views=("close-up", "dermoscopic"))
ENCODERS = (
    *("test_vit", "vitatt_test_registers", "tf_efficientnet_lite0", "vitatt_test_dinov3"),
    *("vitatt_test_beit", "vitatt_test_pool_registers", "vitatt_test_mean", "vitatt_test_swin"),
)
OF_IMAGES = [name for name in FUSIONS if name not in ("metadata_only", "missing_pattern")]


def without(batch: LesionBatch, view: int) -> LesionBatch:
    absent = torch.zeros(len(batch.target), 2, dtype=torch.bool)
    absent[:, view] = True
    return batch._replace(image=Pixels(batch.pixels, absent))


def one_view(batch: LesionBatch, view: int) -> LesionBatch:
    pixels = batch.pixels.unflatten(2, (2, -1))[:, :, view]
    return batch._replace(image=Pixels(pixels))


@pytest.mark.parametrize("name", OF_IMAGES)
@pytest.mark.parametrize("view", [0, 1])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_with_one_view_absent_a_model_is_that_of_the_other_view(
    name: str, view: int, encoder: str
) -> None:
    tasks = [dataclasses.replace(task, image_size=64) for task in (TWO, ONE)]
    batch = make_views_batch(tasks[0], SIZE)
    two, one = (make_network(task, encoder, FUSIONS[name]) for task in tasks)
    state = {key: value.clone() for key, value in two.state_dict().items()}
    if (of_views := state.pop("view_embedding", None)) is not None:
        state["modality_embedding"][1] += of_views[view]
    one.load_state_dict(state)
    expected = one(one_view(batch, view))
    found = two(without(batch, 1 - view))
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_both_views_count(name: str) -> None:
    batch = make_views_batch(TWO, SIZE)
    network = make_network(TWO, fusion=FUSIONS[name])
    logits = network(batch).logits
    assert logits.shape == (SIZE, len(TWO.classes))
    for view in range(2):
        changed = batch.pixels.clone()
        changed[:, :, 48 * view : 48 * (view + 1)] = 255 - changed[:, :, 48 * view :][:, :, :48]
        other = network(batch.with_pixels(changed)).logits
        there = ~batch.image.absent[:, view]
        assert (other - logits)[there].abs().amax(1).min() > 1e-4
        torch.testing.assert_close(other[~there], logits[~there])


def test_views_change_places_with_their_embedding() -> None:
    batch = make_views_batch(TWO, SIZE)
    network = make_network(TWO, additive=True)
    logits = network(batch).logits
    order = torch.tensor([1, 0])
    pixels = stack_views(
        split_views(batch.pixels, 2).unflatten(0, (-1, 2))[:, order].flatten(0, 1), 2
    )
    swapped = batch._replace(image=Pixels(pixels, batch.image.absent[:, order]))
    assert (network(swapped).logits - logits).abs().max() > 1e-4
    network.view_embedding.data = network.view_embedding.data[order]
    torch.testing.assert_close(network(swapped).logits, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_tokens_of_views_can_be_given(encoder: str) -> None:
    task = dataclasses.replace(TWO, image_size=64)
    batch = make_views_batch(task, SIZE)
    network = make_network(task, encoder)
    tokens = network.encoder.encoded(batch.image)
    each = split_views(batch.pixels, 2)
    alone = network.encoder.tokens_after(each, network.encoder.num_blocks)
    torch.testing.assert_close(tokens.values.unflatten(1, (2, -1)).flatten(0, 1), alone)
    given = network(batch._replace(image=tokens)).logits
    torch.testing.assert_close(given, network(batch).logits)


def test_gradients_reach_both_views_and_no_absent_one() -> None:
    batch = make_views_batch(TWO, SIZE)
    network = make_network(TWO)
    pixels = batch.pixels.float().requires_grad_()
    network(batch.with_pixels(pixels)).logits.square().sum().backward()
    assert pixels.grad is not None
    by_view = pixels.grad.unflatten(2, (2, -1)).abs().amax((1, 3, 4))
    assert ((by_view > 0) == ~batch.image.absent).all()


def test_stacking_and_splitting() -> None:
    batch = make_views_batch(TWO, SIZE)
    apart = split_views(batch.pixels, 2)
    assert apart.shape == (2 * SIZE, 3, 48, 48)
    assert apart[3].equal(batch.pixels[1, :, 48:])
    assert stack_views(apart, 2).equal(batch.pixels)
    assert split_views(batch.pixels, 1).equal(batch.pixels)


def test_metadata_cannot_join_inside_the_encoder() -> None:
    expected = (
        r"Expected argument `join_at` to be null with cases of 2 images \(close-up, dermoscopic\), "
        "but got 1: the encoder sees each image by itself"
    )
    with pytest.raises(UsageError, match=expected):
        make_network(TWO, fusion=AttentionFusion, join_at=1)


def test_one_view_is_as_before() -> None:
    network = make_network(ONE)
    assert not any("view" in name for name in network.state_dict())
    assert make_batch(ONE).image.absent is None
    assert LesionTask.from_plain(TWO.to_plain()) == TWO
    older = {key: value for key, value in ONE.to_plain().items() if key != "views"}
    assert LesionTask.from_plain(older) == ONE
