"""Perturbation curves against a loop over cases and shares, and orders whose curves are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.ndimage
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.tasks import CARDINALITIES, make_batch, make_network, make_task, tensors
from vitatt.explain.checks.faithfulness import STEPS, TESTS, Curves, Test, _blurred, faithfulness
from vitatt.explain.methods import explain
from vitatt.explain.methods.relevance import Cost, Relevance
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.layers.class_head import ClassHead
from vitatt.types import LesionBatch, LesionOutput, LesionTask, Pixels

pytestmark = pytest.mark.long

SIZE, PATCH = 4, 16


def relevance_of(
    patches: Tensor, features: Tensor, network: LesionNetwork | None = None
) -> Relevance:
    count = 4 if network is None else network.head.out_features
    return Relevance(
        patches.unsqueeze(1),
        features.unsqueeze(1),
        torch.zeros(len(patches), count),
        Cost(0, 0, 0.0),
    )


def made_up(batch: LesionBatch, side: int, columns: int, *, levels: int = 0) -> Relevance:
    """Random relevance, of a few levels only if there are to be ties, 0 where not observed."""
    generator = torch.Generator().manual_seed(5)
    values = torch.rand(len(batch.target), side * side + columns, generator=generator)
    if levels:
        values = (values * levels).floor() / levels
    features = values[:, side * side :]
    if columns == batch.missing.shape[1]:
        features = features.masked_fill(batch.missing, 0)
    return relevance_of(values[:, : side * side].unflatten(1, (side, side)), features)


# A loop.


def blurred(image: NDArray[Any]) -> NDArray[Any]:
    """A Gaussian of 8 % of the side, cut off after two deviations."""
    sigma = 0.08 * image.shape[-1]
    result = np.stack(
        [
            scipy.ndimage.gaussian_filter(
                channel.astype(np.float64), sigma, mode="mirror", radius=round(2 * sigma)
            )
            for channel in image
        ]
    )
    return np.round(result).astype(np.uint8) if image.dtype == np.uint8 else result


def probability(network: LesionNetwork, case: LesionBatch, target: int) -> float:
    with torch.no_grad():
        logits = network(case).logits[0].double().numpy()
    shifted = np.exp(logits - logits.max())
    return float(shifted[target] / shifted.sum())


def naive(
    network: LesionNetwork, batch: LesionBatch, target: Tensor, relevance: Relevance
) -> dict[Test, list[list[float]]]:
    """One case and one share at a time."""
    curves: dict[Test, list[list[float]]] = {test: [] for test in TESTS}
    side = batch.pixels.shape[-1] // PATCH
    mean = network.encoder.mean.flatten().tolist()
    if batch.pixels.dtype == torch.uint8:
        mean = [round(value) for value in mean]
    count = len(network.cardinalities)
    for n in range(len(target)):
        case, label = batch.cases([n]), int(target[n])
        image = case.pixels[0].numpy()
        blank = np.stack([np.full(image.shape[1:], m, dtype=image.dtype) for m in mean])
        soft = blurred(image)
        parts: list[tuple[str, int, float, bool]] = []
        for place, value in enumerate(relevance.patches[n, 0].flatten().tolist()):
            parts.append(("patch", place, value, False))
        of_features = relevance.features[n, 0].tolist()
        for place, value in enumerate(of_features):
            gone = bool(case.missing[0, place]) if len(of_features) == count else False
            parts.append(("feature", place, value, gone))
        numbers = range(len(parts))
        most = sorted(numbers, key=lambda i, p=parts: (p[i][3], -p[i][2], i))
        least = sorted(numbers, key=lambda i, p=parts: (p[i][3], p[i][2], i))
        alone = sorted(range(side * side), key=lambda i, p=parts: (-p[i][2], i))

        def patch(place: int, side: int = side) -> tuple[slice, slice, slice]:
            y, x = divmod(place, side)
            rows = slice(y * PATCH, (y + 1) * PATCH)
            return slice(None), rows, slice(x * PATCH, (x + 1) * PATCH)

        for test, order in (("most_relevant_first", most), ("least_relevant_first", least)):
            curve = []
            for step in range(11):
                pixels = image.copy()
                metadata, missing = case.metadata.clone(), case.missing.clone()
                for i in order[: round(step * len(parts) / 10)]:
                    kind, place, _, _ = parts[i]
                    if kind == "patch":
                        pixels[patch(place)] = blank[patch(place)]
                        continue
                    hidden = range(count) if len(of_features) == 1 else [place]
                    for f in hidden:
                        start = sum(network.cardinalities[:f])
                        k = network.cardinalities[f]
                        metadata[0, start : start + k] = 1 / k
                        missing[0, f] = True
                changed = case._replace(
                    image=Pixels(torch.from_numpy(pixels)[None]), metadata=metadata, missing=missing
                )
                curve.append(probability(network, changed, label))
            curves[test].append(curve)
        for test, below, above in (("deletion", image, blank), ("insertion", soft, image)):
            curve = []
            for step in range(11):
                pixels = below.copy()
                for place in alone[: round(step * side * side / 10)]:
                    pixels[patch(place)] = above[patch(place)]
                changed = case.with_pixels(torch.from_numpy(pixels)[None])
                curve.append(probability(network, changed, label))
            curves[test].append(curve)
    return curves


CASES: dict[str, tuple[dict[str, Any], int, int, torch.dtype]] = {
    "depth1": ({}, 4, 0, torch.float64),
    "bytes": ({}, 4, 0, torch.uint8),
    "ties": ({}, 4, 3, torch.float64),
    "all-equal": ({}, 3, 1, torch.uint8),
    "join3": ({"join_at": 3}, 3, 4, torch.float64),
    "joint": ({"granularity": "joint", "missing": "token"}, 3, 0, torch.float64),
    "image-only": ({"fusion": ImageOnly}, 3, 3, torch.float64),
}


@pytest.mark.parametrize(("arguments", "side", "levels", "pixels"), CASES.values(), ids=CASES)
def test_curves_are_those_of_a_loop(
    arguments: dict[str, Any], side: int, levels: int, pixels: torch.dtype
) -> None:
    task = make_task(image_size=side * PATCH)
    batch = make_batch(task, SIZE, dtype=torch.float64)
    batch = batch.with_pixels(batch.pixels.to(pixels))
    network = make_network(task, **arguments).double()
    columns = len(network.cardinalities)
    columns = 1 if arguments.get("granularity") == "joint" else columns
    relevance = made_up(batch, side, columns, levels=levels)
    target = torch.arange(SIZE)
    curves = faithfulness(network, batch, target, relevance)
    torch.testing.assert_close(curves.shares, torch.arange(11) / 10)
    expected = naive(network, batch, target, relevance)
    assert set(curves.probability) == set(expected) == set(TESTS)
    for test, curve in curves.probability.items():
        wanted = torch.tensor(expected[test])
        assert curve.shape == (SIZE, STEPS + 1)
        # A grey level of a blurred image may round the other way: float32 against float64.
        atol = 3e-3 if test == "insertion" and pixels == torch.uint8 else 1e-6
        torch.testing.assert_close(curve, wanted, rtol=0, atol=atol)
        assert (wanted.amax(1) - wanted.amin(1)).max() > 1e-2


def test_unobserved_features_are_hidden_last_in_both_orders() -> None:
    """Hidden last they cost no step: the curve is flat there, whatever their relevance says."""
    task = make_task(image_size=32)
    batch = make_batch(task, 2)
    batch = batch._replace(missing=torch.ones_like(batch.missing))
    network = make_network(task)
    generator = torch.Generator().manual_seed(0)
    patches = torch.rand(2, 2, 2, generator=generator)
    for features in (torch.zeros(2, 4), torch.ones(2, 4)):
        curves = faithfulness(
            network, batch, torch.tensor([0, 1]), relevance_of(patches, features)
        ).probability
        for test in ("most_relevant_first", "least_relevant_first"):
            # 4 patches and 4 features: after half of them no patch is left.
            torch.testing.assert_close(
                curves[test][:, 5:], curves[test][:, 5:6].expand(-1, 6), rtol=0, atol=1e-6
            )
            assert (curves[test][:, :5].diff(dim=1).abs() > 1e-4).any()


def test_blurred_image_is_that_of_scipy() -> None:
    task = make_task(image_size=64)
    image = make_batch(task, 3).pixels
    actual = _blurred(make_network(task), image)
    assert actual.dtype == torch.uint8
    expected = np.stack([blurred(one.numpy()) for one in image])
    difference = np.abs(actual.numpy().astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3
    assert actual.float().std() < 0.2 * image.float().std()


# Where curves begin and end.


@pytest.mark.parametrize("arguments", [{}, {"join_at": 3}, {"fusion": ImageOnly}])
def test_ends_of_the_curves(arguments: dict[str, Any]) -> None:
    task = make_task(image_size=48)
    batch = make_batch(task, SIZE)
    network = make_network(task, **arguments)
    target = torch.arange(SIZE)
    relevance = explain(network, batch, target.unsqueeze(1))
    curves = faithfulness(network, batch, target, relevance).probability
    whole = torch.tensor([probability(network, batch.cases([n]), n) for n in range(SIZE)])
    for test in ("most_relevant_first", "least_relevant_first", "deletion"):
        torch.testing.assert_close(curves[test][:, 0], whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(curves["insertion"][:, -1], whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        curves["most_relevant_first"][:, -1],
        curves["least_relevant_first"][:, -1],
        rtol=1e-5,
        atol=1e-7,
    )
    # Without evidence all cases look alike, and the target alone tells them apart.
    gone = torch.stack(
        [
            faithfulness(network, batch, torch.full((SIZE,), label), relevance).probability[
                "most_relevant_first"
            ][:, -1]
            for label in range(len(task.classes))
        ]
    )
    torch.testing.assert_close(gone.sum(0), torch.ones(SIZE))
    torch.testing.assert_close(gone, gone[:, :1].expand_as(gone), rtol=1e-4, atol=1e-6)
    blank = batch._replace(
        image=Pixels(network.encoder.mean.round().to(torch.uint8).expand_as(batch.pixels).clone())
    )
    expected = torch.tensor([probability(network, blank.cases([n]), n) for n in range(SIZE)])
    torch.testing.assert_close(curves["deletion"][:, -1], expected, rtol=1e-4, atol=1e-6)


def test_areas_are_those_of_numpy_and_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = {test: torch.rand(6, 11, generator=generator) for test in TESTS}
    shares = torch.linspace(0, 1, 11)
    areas = Curves(shares, probabilities).areas()
    for test, curve in probabilities.items():
        for expected in (
            np.trapezoid(curve.numpy(), shares.numpy(), axis=1),
            scipy.integrate.trapezoid(curve.numpy(), shares.numpy(), axis=1),
        ):
            np.testing.assert_allclose(areas[test].numpy(), expected, rtol=1e-5)
    constant = Curves(shares, {"deletion": torch.full((2, 11), 0.25)}).areas()["deletion"]
    torch.testing.assert_close(constant, torch.full((2,), 0.25))


# Orders that are known to be right or wrong.


class Additive(LesionNetwork):
    """What patches and features say for class 0 adds up, and class 1 mirrors it."""

    def __init__(self, encoder: ImageEncoder, task: LesionTask) -> None:
        super().__init__()
        self.encoder = encoder
        self.cardinalities = task.cardinalities
        rows, columns = encoder.grid_size
        generator = torch.Generator().manual_seed(7)
        self.of_patches = nn.Parameter(torch.rand(rows, columns, generator=generator).square())
        self.of_features = nn.Parameter(
            torch.rand(len(task.cardinalities), generator=generator) + 0.1
        )
        self.head = ClassHead(1, 2)

    def parts(self, batch: LesionBatch) -> tuple[Tensor, Tensor]:
        """What each patch (B, h, w) and feature (B, F) says."""
        rows, columns = self.encoder.grid_size
        pixels = (batch.pixels.float() - self.encoder.mean.round()) / 255
        patches = pixels.unflatten(3, (columns, -1)).unflatten(2, (rows, -1)).mean((1, 3, 5))
        firsts = torch.stack(
            [block[:, 0] - 1 / block.shape[1] for block in self._blocks(batch)], dim=1
        )
        return patches * self.of_patches, firsts.masked_fill(batch.missing, 0) * self.of_features

    def forward(self, batch: LesionBatch) -> LesionOutput:
        patches, features = self.parts(batch)
        total = (patches.sum((1, 2)) + features.sum(1)).unsqueeze(1)
        return LesionOutput(torch.cat([total, -total], dim=1), total)

    def _blocks(self, batch: LesionBatch) -> list[Tensor]:
        return list(batch.metadata.split(list(self.cardinalities), dim=1))


def additive() -> tuple[LesionNetwork, LesionBatch, Relevance]:
    """The network, cases in which everything speaks for class 0, and how much each part does."""
    task = make_task(classes=("ACK", "BCC"), image_size=64)
    with torch.random.fork_rng():
        encoder = make_encoder("test_vit", image_size=64)
    network = Additive(encoder, task).eval()
    batch = make_batch(task, 6)
    metadata = batch.metadata.clone()
    start = 0
    for cardinality in CARDINALITIES:
        metadata[:, start : start + cardinality] = 0.1 / (cardinality - 1)
        metadata[:, start] = 0.9
        start += cardinality
    batch = batch._replace(image=Pixels(batch.pixels.clamp(min=150)), metadata=metadata)
    with torch.no_grad():
        patches, features = network.parts(batch)
    assert (patches >= 0).all()
    return network, batch, relevance_of(patches, features, network)


def shuffled(truth: Relevance, seed: int) -> Relevance:
    generator = torch.Generator().manual_seed(seed)
    values = torch.cat([truth.patches.flatten(1), truth.features.flatten(1)], dim=1)
    noise = torch.rand(values.shape, generator=generator)
    side = truth.patches.shape[-1]
    patches, features = noise.split([side * side, truth.features.shape[-1]], dim=1)
    return relevance_of(patches.unflatten(1, (side, side)), features)


def test_no_order_is_better_than_the_true_one() -> None:
    network, batch, truth = additive()
    target = torch.zeros(len(batch.target), dtype=torch.long)
    best = faithfulness(network, batch, target, truth)
    highest = max(truth.patches.max(), truth.features.max())
    backwards = truth._replace(patches=highest - truth.patches, features=highest - truth.features)
    worst = faithfulness(network, batch, target, backwards)
    for seed in range(100, 112):
        other = faithfulness(network, batch, target, shuffled(truth, seed))
        for test, low, high in (
            ("most_relevant_first", best, worst),
            ("least_relevant_first", worst, best),
            ("deletion", best, worst),
        ):
            middle = other.probability[test]
            assert (low.probability[test] <= middle + 1e-6).all()
            assert (middle <= high.probability[test] + 1e-6).all()
            assert (low.areas()[test] < other.areas()[test]).all()
            assert (other.areas()[test] < high.areas()[test]).all()


def test_one_patch_that_decides() -> None:
    network, batch, truth = additive()
    with torch.no_grad():
        network.of_patches.zero_()
        network.of_features.zero_()
        network.of_patches[2, 1] = 10.0
    target = torch.zeros(len(batch.target), dtype=torch.long)
    right = torch.zeros_like(truth.patches[:, 0])
    right[:, 2, 1] = 1
    nothing = torch.zeros_like(truth.features[:, 0])
    true = faithfulness(network, batch, target, relevance_of(right, nothing)).probability
    wrong = faithfulness(network, batch, target, relevance_of(1 - right, nothing)).probability
    whole = true["most_relevant_first"][:, 0]
    assert (whole > 0.8).all()
    half = torch.full_like(whole, 0.5)
    # Known to be the one: gone with the first step, or left over until the last.
    torch.testing.assert_close(true["most_relevant_first"][:, 1], half)
    torch.testing.assert_close(true["deletion"][:, 1], half)
    torch.testing.assert_close(wrong["deletion"][:, 9], whole)
    torch.testing.assert_close(wrong["deletion"][:, 10], half)
    # Hidden last of all observed parts: with 20 parts and none missing, two go in each step.
    observed = ~batch.missing.any(1)
    assert observed.any()
    torch.testing.assert_close(true["least_relevant_first"][observed, 9], whole[observed])
    torch.testing.assert_close(true["least_relevant_first"][:, 10], half)


def test_features_that_decide() -> None:
    network, batch, truth = additive()
    with torch.no_grad():
        network.of_patches.zero_()
        network.of_features.copy_(torch.tensor([0.0, 0.0, 8.0, 0.0]))
    target = torch.zeros(len(batch.target), dtype=torch.long)
    observed = ~batch.missing[:, 2]
    assert 0 < observed.sum() < len(observed)
    features = torch.tensor([0.0, 0.0, 1.0, 0.0]).expand(len(batch.target), -1)
    relevance = relevance_of(torch.zeros_like(truth.patches[:, 0]), features)
    curves = faithfulness(network, batch, target, relevance).probability
    most = curves["most_relevant_first"]
    assert (most[observed, 0] > 0.9).all()
    torch.testing.assert_close(most[:, 1:], torch.full_like(most[:, 1:], 0.5))
    # Tests of patches alone leave features as they are.
    for test in ("deletion", "insertion"):
        torch.testing.assert_close(curves[test], most[:, :1].expand(-1, 11))


# What it refuses, and leaves.


@pytest.mark.parametrize("wrong", ["two classes", "fewer cases", "grid", "features"])
def test_relevance_of_the_wrong_shape(wrong: str) -> None:
    task = make_task(image_size=48)
    batch = make_batch(task, SIZE)
    network = make_network(task)
    relevance = made_up(batch, 3, 4)
    patches, features = relevance.patches, relevance.features
    if wrong == "two classes":
        patches, features = patches.repeat(1, 2, 1, 1), features.repeat(1, 2, 1)
    elif wrong == "fewer cases":
        patches, features = patches[1:], features[1:]
    elif wrong == "grid":
        patches = patches[..., :2]
    else:
        features = features[..., :3]
    relevance = relevance._replace(patches=patches, features=features)
    with pytest.raises(ValueError, match="argument `relevance` to be of 4 cases and one class"):
        faithfulness(network, batch, torch.zeros(SIZE, dtype=torch.long), relevance)


def test_network_batch_and_random_state_stay_as_they_were() -> None:
    task = make_task(image_size=48)
    batch = make_batch(task, SIZE)
    network = make_network(task).train()
    network.head.eval()
    relevance = made_up(batch, 3, 4)
    modes = [module.training for module in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    before = [part.clone() for part in (*tensors(batch), *relevance[:3])]
    random = torch.get_rng_state()
    faithfulness(network, batch, torch.zeros(SIZE, dtype=torch.long), relevance)
    assert [module.training for module in network.modules()] == modes
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])
    for part, expected in zip((*tensors(batch), *relevance[:3]), before, strict=True):
        assert torch.equal(part, expected)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in network.parameters())
