"""Randomisation and stability: what they do to the network, in what order, and what they find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from tests.tasks import make_batch, make_network, make_task
from vitatt.explain.checks import sanity
from vitatt.explain.checks.sanity import _correlations, _flat, randomisation, stability
from vitatt.explain.methods import explain
from vitatt.explain.methods.relevance import Cost, Relevance
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

pytestmark = pytest.mark.long

SIZE = 4
TASK = make_task(image_size=48)
TARGET = torch.tensor([[0], [1], [2], [3]])
BLOCKS = [f"encoder.vit.blocks.{n}" for n in reversed(range(6))]
VIT = ["encoder.vit.patch_embed", "encoder.vit.pos_embed", "encoder.vit.cls_token"]
BOTH = ["metadata_encoder", "encoder.vit.norm", *BLOCKS, *VIT, "modality_embedding"]

LAYERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "depth2": (
        {"depth": 2},
        ["head", "norm", "blocks.1", "blocks.0", *BOTH],
    ),
    "join3": (
        {"join_at": 3},
        ["head", "norm", *BOTH],
    ),
    "image-only": ({"fusion": ImageOnly}, ["head", "norm", "encoder.vit.norm", *BLOCKS, *VIT]),
}


@pytest.fixture
def batch() -> LesionBatch:
    return make_batch(TASK, SIZE)


def record(monkeypatch: pytest.MonkeyPatch) -> list[LesionNetwork]:
    """Keep the weights of every network that is explained."""
    seen: list[Any] = []

    def note(network: LesionNetwork, *arguments: Any, **named: Any) -> Relevance:
        seen.append({name: p.detach().clone() for name, p in network.named_parameters()})
        return explain(network, *arguments, **named)

    monkeypatch.setattr(sanity, "explain", note)
    return seen


# What is destroyed, and when.


@pytest.mark.parametrize(("arguments", "layers"), LAYERS.values(), ids=LAYERS)
def test_layers_from_the_logits_down_to_the_pixels(
    batch: LesionBatch,
    arguments: dict[str, Any],
    layers: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = make_network(TASK, **arguments)
    before = explain(network, batch, TARGET, method="attention")
    seen = record(monkeypatch)
    found = randomisation(network, batch, TARGET, before, method="attention")
    assert list(found) == layers
    assert len(seen) == len(layers)
    own = dict(network.named_parameters())
    for count, weights in enumerate(seen, start=1):
        gone = tuple(f"{layer}." for layer in layers[:count])
        for name, value in weights.items():
            changed = not torch.equal(value, own[name])
            assert changed == f"{name}.".startswith(gone), (count, name)
    assert all(correlation.shape == (SIZE,) for correlation in found.values())


def test_noise_has_the_mean_and_deviation_of_the_weights(
    batch: LesionBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(TASK)
    before = explain(network, batch, TARGET, method="attention")
    seen = record(monkeypatch)
    randomisation(network, batch, TARGET, before, method="attention", points=1)
    checked = 0
    for name, value in network.named_parameters():
        if value.numel() < 4000:
            continue
        checked += 1
        old, new = value.detach().double().numpy(), seen[0][name].double().numpy()
        error = old.std() / np.sqrt(old.size)
        assert abs(new.mean() - old.mean()) < 5 * error, name
        assert abs(new.std() / old.std() - 1) < 5 / np.sqrt(2 * old.size), name
        assert abs(np.corrcoef(old.ravel(), new.ravel())[0, 1]) < 5 / np.sqrt(old.size), name
        assert abs(scipy.stats.kurtosis(new.ravel())) < 0.5, name  # normal, not uniform (-1.2)
    assert checked > 20


@pytest.mark.parametrize("points", [1, 3, 5])
def test_points_along_the_way(
    batch: LesionBatch, points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(TASK)
    before = explain(network, batch, TARGET, method="rollout")
    seen = record(monkeypatch)
    found = randomisation(network, batch, TARGET, before, method="rollout", points=points)
    every = randomisation(network, batch, TARGET, before, method="rollout")
    assert len(found) == points
    names = list(every)
    assert list(found)[-1] == names[-1], "the last layer is always among them"
    places = [names.index(name) + 1 for name in found]
    ideal = [len(names) * point / points for point in range(1, points + 1)]
    assert all(0 <= place - at < 1 for place, at in zip(places, ideal, strict=True))
    for name, correlation in found.items():
        torch.testing.assert_close(correlation, every[name], rtol=0, atol=0)
    for name, value in network.named_parameters():
        assert not torch.equal(seen[points - 1][name], value), name


# What it leaves.


def test_the_network_is_left_as_it_was(batch: LesionBatch) -> None:
    network = make_network(TASK, frozen=True).train()
    network.head.eval()
    for parameter in list(network.parameters())[-5:]:
        parameter.grad = torch.ones_like(parameter)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    gradients = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    needs = [p.requires_grad for p in network.parameters()]
    modes = [module.training for module in network.modules()]
    places = [p.data_ptr() for p in network.parameters()]
    random = torch.get_rng_state()
    before = explain(network, batch, TARGET)
    randomisation(network, batch, TARGET, before, method="tmme", points=3)
    stability(network, batch, TARGET, before, method="tmme")
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert [p.data_ptr() for p in network.parameters()] == places
    assert [p.requires_grad for p in network.parameters()] == needs
    assert [module.training for module in network.modules()] == modes
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)
    after = explain(network, batch, TARGET)
    torch.testing.assert_close(after.patches, before.patches, rtol=0, atol=0)


@pytest.mark.parametrize("check", [randomisation, stability])
def test_the_seed_decides(batch: LesionBatch, check: Any) -> None:
    network = make_network(TASK)
    before = explain(network, batch, TARGET)
    more = {"points": 2} if check is randomisation else {"noise": 20.0}

    def run(seed: int, around: int = 0) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(around)
            found = check(network, batch, TARGET, before, method="tmme", seed=seed, **more)
        return torch.stack(list(found.values())) if isinstance(found, dict) else found

    assert torch.equal(run(0), run(0, around=5))
    assert not torch.equal(run(0), run(1))


# What it finds.


def test_random_relevance_never_looks_at_the_network(batch: LesionBatch) -> None:
    network = make_network(TASK)
    before = explain(network, batch, TARGET, method="random")
    found = randomisation(network, batch, TARGET, before, method="random")
    assert len(found) > 10
    for correlation in found.values():
        torch.testing.assert_close(correlation, torch.ones(SIZE), rtol=0, atol=1e-6)
    steady = stability(network, batch, TARGET, before, method="random", noise=80.0)
    torch.testing.assert_close(steady, torch.ones(SIZE), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["tmme", "grad_cam", "rollout", "occlusion"])
def test_what_looks_at_the_network_changes_with_it(method: Any) -> None:
    task = make_task(image_size=96)
    batch = make_batch(task, SIZE)
    network = make_network(task)
    before = explain(network, batch, TARGET, method=method)
    found = randomisation(network, batch, TARGET, before, method=method, points=2)
    last = list(found.values())[-1].nan_to_num()
    assert last.abs().mean() < 0.6
    assert last.max() < 0.95


def test_classless_methods_do_not_see_the_head_but_the_others_do(batch: LesionBatch) -> None:
    network = make_network(TASK)
    for method, same in (("attention", True), ("rollout", True), ("tmme", False)):
        before = explain(network, batch, TARGET, method=method)
        head = randomisation(network, batch, TARGET, before, method=method)["head"]
        assert ((head - 1).abs().max().item() < 1e-6) == same


def test_correlations_are_those_of_the_relevance_of_each_network(
    batch: LesionBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SciPy on explicit arrays: patches and features of all classes, a case at a time."""
    network = make_network(TASK)
    target = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]])
    before = explain(network, batch, target)
    explained: list[Relevance] = []

    def note(*arguments: Any, **named: Any) -> Relevance:
        explained.append(explain(*arguments, **named))
        return explained[-1]

    monkeypatch.setattr(sanity, "explain", note)
    found = [*randomisation(network, batch, target, before, method="tmme", points=3).values()]
    found.append(stability(network, batch, target, before, method="tmme", noise=30.0))
    assert len(explained) == len(found) == 4
    for after, correlation in zip(explained, found, strict=True):
        for case in range(SIZE):
            one, other = (
                np.concatenate([r.patches[case].numpy().ravel(), r.features[case].numpy().ravel()])
                for r in (before, after)
            )
            ranks = [scipy.stats.rankdata(values) for values in (one, other)]
            pearson = np.corrcoef(*ranks)[0, 1]
            assert correlation[case].item() == pytest.approx(pearson, abs=1e-6)
            expected = scipy.stats.spearmanr(one, other).statistic
            assert correlation[case].item() == pytest.approx(expected, abs=1e-6)
    assert torch.stack(found).min() < 0.9


def test_correlations_by_hand() -> None:
    one = torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 1.0, 2.0]])
    other = torch.tensor([[10.0, 20.0, 21.0, 90.0], [4.0, 3.0, 2.0, 1.0], [1.0, 3.0, 3.0, 9.0]])
    # The third: ranks 1.5 1.5 3 4 and 1 2.5 2.5 4.
    third = np.corrcoef([1.5, 1.5, 3, 4], [1, 2.5, 2.5, 4])[0, 1]
    torch.testing.assert_close(_correlations(one, other), torch.tensor([1.0, -1.0, float(third)]))


def test_all_relevance_of_a_case_in_a_row() -> None:
    patches = torch.arange(2 * 2 * 4.0).view(2, 2, 2, 2)
    features = 100 + torch.arange(2 * 2 * 3.0).view(2, 2, 3)
    flat = _flat(Relevance(patches, features, torch.zeros(2, 4), Cost(0, 0, 0.0)))
    assert flat.shape == (2, 2 * 4 + 2 * 3)
    assert flat[1].tolist() == [*range(8, 16), *range(106, 112)]


# Stability.


def test_stability_without_noise_is_one_and_falls_with_it(batch: LesionBatch) -> None:
    network = make_network(TASK)
    before = explain(network, batch, TARGET)
    none, little, much = (
        stability(network, batch, TARGET, before, method="tmme", noise=noise)
        for noise in (0.0, 5.0, 100.0)
    )
    torch.testing.assert_close(none, torch.ones(SIZE), rtol=0, atol=1e-6)
    assert little.mean() < 1
    assert much.mean() < little.mean()
    assert (little > 0).all()


def test_noisy_pixels_are_bytes_of_the_said_deviation(
    batch: LesionBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(TASK)
    before = explain(network, batch, TARGET, method="random")
    noisy: list[Tensor] = []

    def note(network: LesionNetwork, batch: LesionBatch, *_: Any, **__: Any) -> Relevance:
        noisy.append(batch.pixels)
        return before

    monkeypatch.setattr(sanity, "explain", note)
    image = batch.pixels.clone()
    image[:, :, :8], image[:, :, 8:16], image[:, :, 16:] = 0, 255, 128
    stability(network, batch.with_pixels(image), TARGET, before, method="tmme", noise=6.0)
    assert noisy[0].dtype == torch.uint8
    # At the ends values are cut off, not wrapped round.
    assert noisy[0][:, :, :8].max() < 60
    assert noisy[0][:, :, 8:16].min() > 195
    middle = noisy[0][:, :, 16:].double()
    assert abs(middle.mean().item() - 128) < 0.3
    assert middle.std().item() == pytest.approx(6.0, rel=0.05)


@pytest.mark.slow
def test_a_compiled_network(batch: LesionBatch) -> None:
    network = make_network(TASK)
    before = explain(network, batch, TARGET)
    expected = randomisation(network, batch, TARGET, before, method="tmme", points=2)
    network.compile(backend="eager")
    with torch.no_grad():
        network(batch)
    actual = randomisation(network, batch, TARGET, before, method="tmme", points=2)
    for name, correlation in expected.items():
        torch.testing.assert_close(actual[name], correlation, rtol=0, atol=0.05)


def test_within_inference_mode(batch: LesionBatch) -> None:
    network = make_network(TASK)
    before = explain(network, batch, TARGET)
    expected = randomisation(network, batch, TARGET, before, method="tmme", points=2)
    with torch.inference_mode():
        found = randomisation(network, batch, TARGET, before, method="tmme", points=2)
    assert found.keys() == expected.keys()
    for layer, correlations in expected.items():
        torch.testing.assert_close(found[layer], correlations)
