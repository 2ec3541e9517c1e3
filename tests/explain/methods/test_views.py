"""Explanations of cases with several views."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from tests.explain.reference_views import reference_views
from tests.tasks import make_network, make_task, make_views_batch, relative_error
from vitatt.explain.checks.faithfulness import faithfulness
from vitatt.explain.methods import METHODS, explain
from vitatt.models.fusion import FUSIONS
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.types import LesionTask, Pixels, UsageError

SIZE = 6
ENCODERS = (
    *("test_vit", "vitatt_test_registers", "vitatt_test_dinov3", "vitatt_test_beit_shared"),
    *("vitatt_test_siglip", "vitatt_test_pool_registers", "vitatt_test_mean", "vitatt_test_swin"),
    "tf_efficientnet_lite0",
)
NETWORKS: dict[str, dict[str, Any]] = {
    "depth1": {"depth": 1},
    "depth2": {"depth": 2, "num_heads": 4},
    "joint": {"granularity": "joint"},
    "registers": {"encoder": "vitatt_test_registers"},
    "image-only": {"fusion": ImageOnly},
}


def views_task(image_size: int = 48) -> LesionTask:
    return dataclasses.replace(make_task(image_size=image_size), views=("close-up", "dermoscopic"))


@pytest.mark.parametrize("arguments", NETWORKS.values(), ids=NETWORKS)
def test_tmme_of_two_views_agrees_with_a_naive_reference(arguments: dict[str, Any]) -> None:
    task = views_task()
    batch = make_views_batch(task, SIZE)
    network = make_network(task, **arguments).double()
    batch = batch._replace(metadata=batch.metadata.double())
    patches, features, logits = reference_views(network, batch)
    target = torch.arange(len(task.classes)).expand(SIZE, -1)
    found = explain(network, batch, target)
    assert found.patches.shape == (SIZE, len(task.classes), 6, 3)
    by_view = found.patches.unflatten(2, (2, 3)).flatten(3)
    assert (by_view[2, :, 1] == 0).all(), "its second view is absent"
    assert (by_view[3, :, 0] == 0).all(), "its first view is absent"
    assert (by_view[0].amax(-1) > 1e-3).all()
    assert relative_error(found.patches.flatten(2), patches) < 1e-10
    assert relative_error(found.features, features) < 1e-10
    torch.testing.assert_close(found.logits, logits, rtol=1e-10, atol=1e-10)


def test_tmme_of_two_views_with_an_additive_path() -> None:
    task = views_task()
    batch = make_views_batch(task, SIZE).cases([0, 1, 4, 5])  # with both views
    network = make_network(task, additive=True).double()
    batch = batch._replace(metadata=batch.metadata.double())
    patches, features, _ = reference_views(network, batch)
    found = explain(network, batch, torch.arange(len(task.classes)).expand(4, -1))
    assert relative_error(found.patches.flatten(2), patches) < 1e-10
    assert relative_error(found.features, features) < 1e-10


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_map_for_each_view(method: str, fusion: str) -> None:
    task = views_task(64)
    batch = make_views_batch(task, 4)
    network = make_network(task, fusion=FUSIONS[fusion])
    if network.encoder is None or (METHODS[method].reads_attention and not network.layouts):
        with pytest.raises(UsageError, match="appl"):
            explain(network, batch, method=method)
        return
    found = explain(network, batch, method=method)
    assert found.patches.shape == (4, 1, 8, 4)
    if method != "random":
        by_view = found.patches[:, 0].unflatten(1, (2, 4)).flatten(2)
        assert (by_view[2, 1] == 0).all()
        assert (by_view[3, 0] == 0).all()
        assert by_view[0].amax() > 0


@pytest.mark.parametrize("view", [0, 1])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_with_one_view_absent_relevance_is_that_of_the_other_view(encoder: str, view: int) -> None:
    """Of every kind of encoder, by every method that reads attention or gradients."""
    two = views_task(64)
    one = dataclasses.replace(two, views=())
    batch = make_views_batch(two, 4)
    batch = batch._replace(metadata=batch.metadata.double())
    absent = torch.zeros(4, 2, dtype=torch.bool)
    absent[:, 1 - view] = True
    both = make_network(two, encoder)
    state = {key: value.clone() for key, value in both.state_dict().items()}
    state["modality_embedding"][1] += state.pop("view_embedding")[view]
    alone = make_network(one, encoder)
    alone.load_state_dict(state)
    half = batch.pixels.unflatten(2, (2, -1))[:, :, view]
    target = torch.arange(len(two.classes)).expand(4, -1)
    for method in ("tmme", "rollout", "attention", "grad_cam"):
        expected = explain(
            alone.double(), batch._replace(image=Pixels(half)), target, method=method
        )
        found = explain(
            both.double(), batch._replace(image=Pixels(batch.pixels, absent)), target, method=method
        )
        by_view = found.patches.unflatten(2, (2, -1))
        torch.testing.assert_close(by_view[:, :, view], expected.patches, rtol=1e-4, atol=1e-7)
        assert (by_view[:, :, 1 - view] == 0).all()
        torch.testing.assert_close(found.features, expected.features, rtol=1e-4, atol=1e-7)


def test_explaining_does_not_depend_on_the_pixels_of_an_absent_view() -> None:
    task = views_task()
    batch = make_views_batch(task, SIZE)
    network = make_network(task)
    pixels = batch.pixels.clone()
    pixels[2, :, 48:] = 200
    other = batch._replace(image=Pixels(pixels, batch.image.absent))
    for method in ("tmme", "grad_cam", "integrated_gradients"):
        one, two = (explain(network, cases, method=method) for cases in (batch, other))
        torch.testing.assert_close(one.patches[2], two.patches[2])


def test_faithfulness_hides_absent_views_last() -> None:
    task = views_task()
    batch = make_views_batch(task, SIZE)
    network = make_network(task)
    relevance = explain(network, batch, batch.target[:, None])
    curves = faithfulness(network, batch, batch.target, relevance)
    # The first case lacks all features; half of the parts are all patches of the view of case 2.
    patches, count = relevance.patches[0].numel(), len(task.features)
    present = patches // 2 + int((~batch.missing[2]).sum())
    after = curves.shares > present / (patches + count) + 0.05
    assert after.any()
    for test in ("most_relevant_first", "least_relevant_first"):
        rest = curves.probability[test][2][after]
        torch.testing.assert_close(rest, rest[-1:].expand_as(rest))
