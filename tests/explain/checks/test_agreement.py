"""Importance against loops, exact expectations and scikit-learn; agreement against scipy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss

from tests.tasks import make_batch, make_network, make_task, tensors
from vitatt.explain.checks.agreement import Agreement, agreement, feature_importance
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.metadata_only import MetadataOnly
from vitatt.models.fusion.missing_pattern import MissingPattern
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

pytestmark = pytest.mark.long

TASK = make_task()
COLUMNS = ([0, 1], [2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12, 13])


def half_labelled(size: int = 12, seed: int = 0) -> LesionBatch:
    """A batch in which each fourth case has no diagnosis."""
    batch = make_batch(TASK, size, seed=seed)
    return batch._replace(target=batch.target.where(torch.arange(size) % 4 != 3, -1))


def probabilities(network: LesionNetwork, batch: LesionBatch) -> np.ndarray:
    """One case at a time."""
    rows = []
    with torch.no_grad():
        for i in range(len(batch.target)):
            rows.append(network(batch.cases([i])).logits[0].double().softmax(-1).numpy())
    return np.array(rows)


def with_feature_of(batch: LesionBatch, feature: int, donors: Sequence[int]) -> LesionBatch:
    """Each case with one feature of another."""
    metadata, missing = batch.metadata.clone(), batch.missing.clone()
    for case, donor in enumerate(donors):
        missing[case, feature] = batch.missing[donor, feature]
        for column in COLUMNS[feature]:
            metadata[case, column] = batch.metadata[donor, column]
    return batch._replace(metadata=metadata, missing=missing)


def labelled_part(batch: LesionBatch) -> LesionBatch:
    return batch.cases((batch.target >= 0).nonzero().flatten().tolist())


def loss(network: LesionNetwork, batch: LesionBatch) -> float:
    return log_loss(batch.target.numpy(), probabilities(network, batch), labels=range(4))


@pytest.mark.parametrize(
    ("fusion", "arguments"),
    [
        ("attention", {"frozen": True}),
        ("attention", {"frozen": False}),
        ("attention", {"join_at": 2, "frozen": True}),
        ("attention", {"missing": "token", "frozen": True}),
        ("attention", {"granularity": "joint", "frozen": True}),
        ("metadata", {}),
        ("pattern", {}),
    ],
    ids=["frozen", "trained", "join", "token", "joint", "metadata-only", "missing-pattern"],
)
def test_equals_a_loop_over_cases(fusion: str, arguments: dict[str, object]) -> None:
    kinds = {"metadata": MetadataOnly, "pattern": MissingPattern}
    chosen = {"fusion": kinds[fusion]} if fusion in kinds else {}
    network = make_network(TASK, **chosen, **arguments)  # type: ignore[arg-type]
    batch = half_labelled()
    actual = feature_importance(network, batch, repeats=3, seed=5, batch_size=5)
    labelled = labelled_part(batch)
    rng = np.random.default_rng(5)
    shuffles = [rng.permutation(9) for _ in range(3)]
    before = probabilities(network, batch)
    for feature, columns in enumerate(COLUMNS):
        rises = [
            loss(network, with_feature_of(labelled, feature, shuffle)) - loss(network, labelled)
            for shuffle in shuffles
        ]
        assert actual.permutation[feature] == pytest.approx(np.mean(rises), abs=1e-5)
        hidden_metadata, hidden_missing = batch.metadata.clone(), batch.missing.clone()
        hidden_metadata[:, columns] = 1 / len(columns)
        hidden_missing[:, feature] = True
        after = probabilities(
            network, batch._replace(metadata=hidden_metadata, missing=hidden_missing)
        )
        drops = [
            before[i, before[i].argmax()] - after[i, before[i].argmax()]
            for i in range(12)
            if not batch.missing[i, feature]
        ]
        assert actual.occlusion[feature] == pytest.approx(np.mean(drops), abs=1e-6)
    assert np.abs(actual.occlusion).min() > 1e-4  # every feature matters in these networks


class ByIndex(ClassifierMixin, BaseEstimator):
    """Column f of X holds the case whose feature f is used; so shuffling X shuffles features."""

    def __init__(self, network: LesionNetwork, batch: LesionBatch) -> None:
        self.network = network
        self.batch = batch
        self.classes_ = np.arange(4)

    def fit(self, x: object, y: object) -> ByIndex:
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        metadata = [self.batch.metadata[x[:, f]][:, c] for f, c in enumerate(COLUMNS)]
        missing = [self.batch.missing[x[:, f], f] for f in range(len(COLUMNS))]
        batch = self.batch._replace(
            metadata=torch.cat(metadata, dim=1), missing=torch.stack(missing, dim=1)
        )
        with torch.no_grad():
            return self.network(batch).logits.double().softmax(-1).numpy()


@pytest.mark.slow
def test_many_shuffles_reach_scikit_learn_and_the_exact_expectation() -> None:
    network = make_network(TASK, fusion=MetadataOnly)
    with torch.no_grad():  # confident, so that importance is large beside its noise
        network.head.weight.mul_(6)
    batch = make_batch(TASK, 20)
    repeats = 400
    actual = feature_importance(network, batch, repeats=repeats).permutation
    index = np.tile(np.arange(20)[:, None], len(COLUMNS))
    oracle = permutation_importance(
        ByIndex(network, batch),
        index,
        batch.target.numpy(),
        scoring="neg_log_loss",
        n_repeats=repeats,
        random_state=0,
    )
    error = oracle.importances_std / np.sqrt(repeats)
    # Of all orders, each case gets each feature value equally often: a mean over pairs is exact.
    every = [
        np.mean([loss(network, with_feature_of(batch, f, [donor] * 20)) for donor in range(20)])
        for f in range(len(COLUMNS))
    ]
    exact = np.array(every) - loss(network, batch)
    assert np.all(np.abs(actual - exact) < 4 * error)
    assert np.all(np.abs(oracle.importances_mean - exact) < 4 * error)
    assert np.abs(exact).max() > 20 * error.max()


@pytest.mark.parametrize("arguments", [{}, {"depth": 2}, {"encoder": "vitatt_test_registers"}])
@pytest.mark.parametrize("frozen", [True, False])
def test_tokens_computed_once_give_what_pixels_give(
    arguments: dict[str, object], frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = half_labelled()
    network = make_network(TASK, frozen=frozen, **arguments)  # type: ignore[arg-type]
    passes = []
    network.encoder.vit.patch_embed.register_forward_hook(lambda *_: passes.append(1))
    by_tokens = feature_importance(network, batch, repeats=2, batch_size=8)
    assert len(passes) == 2  # 12 cases in batches of 8, once
    with torch.no_grad():
        given = batch.with_tokens(network.encoder(batch.image))
    again = feature_importance(network, given, repeats=2, batch_size=8)
    np.testing.assert_allclose(again.permutation, by_tokens.permutation, rtol=0, atol=1e-5)
    monkeypatch.setattr(type(network), "encodes_alone", False)
    by_pixels = feature_importance(network, batch, repeats=2, batch_size=8)
    assert len(passes) > 20
    np.testing.assert_allclose(by_tokens.permutation, by_pixels.permutation, rtol=0, atol=1e-5)
    np.testing.assert_allclose(by_tokens.occlusion, by_pixels.occlusion, rtol=0, atol=1e-6)


def test_a_feature_that_the_network_ignores_has_no_importance() -> None:
    network = make_network(TASK, fusion=MetadataOnly)
    with torch.no_grad():
        network.layers[0].weight[:, [*COLUMNS[2], 14 + 2]] = 0
    importance = feature_importance(network, half_labelled())
    assert importance.permutation[2] == importance.occlusion[2] == 0
    for measure in importance:
        assert (np.abs(np.delete(measure, 2)) > 1e-4).all()


def test_the_missing_flag_is_part_of_its_feature() -> None:
    # This arm reads the flags alone, in which case shuffling only the values would change nothing.
    network = make_network(TASK, fusion=MissingPattern)
    importance = feature_importance(network, half_labelled())
    for measure in importance:
        assert (np.abs(measure) > 1e-4).all()


def test_a_feature_observed_in_no_case_cannot_be_hidden() -> None:
    batch = half_labelled()
    batch.missing[:, 1] = True
    importance = feature_importance(make_network(TASK), batch, repeats=2)
    assert np.isnan(importance.occlusion).tolist() == [False, True, False, False]
    assert importance.permutation[1] == 0  # a mask hides whatever is shuffled beneath it


def test_a_feature_does_not_depend_on_the_others_in_the_list_or_on_the_batch_size() -> None:
    network = make_network(TASK, frozen=True)
    batch = half_labelled()
    small = feature_importance(network, batch, batch_size=1)
    large = feature_importance(network, batch, batch_size=100)
    np.testing.assert_allclose(small.permutation, large.permutation, rtol=0, atol=1e-5)
    np.testing.assert_allclose(small.occlusion, large.occlusion, rtol=0, atol=1e-6)
    again = feature_importance(network, batch, batch_size=100)
    other = feature_importance(network, batch, batch_size=100, seed=1)
    np.testing.assert_array_equal(again.permutation, large.permutation)
    assert (again.permutation != other.permutation).all()
    np.testing.assert_array_equal(again.occlusion, other.occlusion)


def test_nothing_is_left_behind() -> None:
    network = make_network(TASK).train()
    network.blocks[0].eval()
    modes = [module.training for module in network.modules()]
    batch = half_labelled()
    copies = [part.clone() for part in tensors(batch)]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    feature_importance(network, batch, repeats=2)
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert all(torch.equal(part, copy) for part, copy in zip(tensors(batch), copies, strict=True))
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    network(batch).logits.sum().backward()  # no tensor of inference mode stayed in the network


def test_the_training_flag_comes_back_after_a_failure() -> None:
    network = make_network(TASK, join_at=1).train()
    with pytest.raises(ValueError, match="Expected pixels"):
        feature_importance(network, make_batch(TASK).with_tokens(torch.zeros(8, 5, 32)))
    assert network.training


def test_what_cannot_be_measured_is_refused() -> None:
    network, batch = make_network(TASK), make_batch(TASK)
    with pytest.raises(ValueError, match="ImageOnly has no feature"):
        feature_importance(make_network(TASK, fusion=ImageOnly), batch)
    with pytest.raises(ValueError, match="`batch` to have labelled cases, but got none"):
        feature_importance(network, batch._replace(target=torch.full_like(batch.target, -1)))
    with pytest.raises(ValueError, match="`repeats` to be at least 1, but got 0"):
        feature_importance(network, batch, repeats=0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [None, 4])
def test_spearman_is_pearson_of_the_ranks(seed: int, levels: int | None) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.random((2, 21))
    if levels:
        one, other = np.floor(one * levels), np.floor(other * levels)
    expected = np.corrcoef(rankdata(one), rankdata(other))[0, 1]
    assert agreement(one, other).spearman == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 5, 20])
def test_overlap_counts_the_features_in_both_tops(seed: int, k: int) -> None:
    one, other = np.random.default_rng(seed).random((2, 21))
    tops = [set(np.argsort(values)[-k:]) for values in (one, other)]
    found = agreement(one, other, k=k)
    assert found.overlap == pytest.approx(len(tops[0] & tops[1]) / k)
    assert found.k == k


def test_overlap_of_ties_is_the_mean_over_all_ways_to_break_them() -> None:
    one, other, k = np.array([3.0, 1, 1, 1, 0, 0]), np.array([0.0, 2, 2, 5, 2, 0]), 3
    # The top of `one` is feature 0 with two of 1, 2, 3; of `other` 3 with two of 1, 2, 4.
    tops = [{0, *pair} for pair in combinations((1, 2, 3), 2)]
    others = [{3, *pair} for pair in combinations((1, 2, 4), 2)]
    expected = np.mean([len(a & b) / k for a in tops for b in others])
    assert agreement(one, other, k=k).overlap == pytest.approx(expected, abs=1e-12)


def test_order_alone_counts() -> None:
    values = np.random.default_rng(0).random(12)
    assert agreement(values, values**3) == Agreement(pytest.approx(1), 1, 5)
    assert agreement(values, -values) == Agreement(pytest.approx(-1), 0, 5)


def test_features_without_a_value_are_left_out() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 9))
    one[2], other[[2, 7]] = np.nan, np.nan
    keep = [0, 1, 3, 4, 5, 6, 8]
    assert agreement(one, other) == agreement(one[keep], other[keep])
    assert agreement(one, other, k=9).k == 7
    assert agreement(one, other, k=9).overlap == 1


@pytest.mark.filterwarnings("error")
def test_a_constant_measure_orders_nothing() -> None:
    found = agreement(np.ones(8), np.arange(8.0), k=2)
    assert np.isnan(found.spearman)
    assert found.overlap == pytest.approx(2 / 8)  # chance
    alone = agreement(np.array([1.0, np.nan]), np.array([2.0, 3.0]))
    assert np.isnan(alone.spearman)
    assert (alone.overlap, alone.k) == (1, 1)
    nothing = agreement(np.array([np.nan]), np.array([1.0]))
    assert np.isnan(nothing.spearman)
    assert np.isnan(nothing.overlap)
    assert nothing.k == 0


def test_wrong_measures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(F,\) .* but got \(3,\) and \(4,\)"):
        agreement(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match=r"shape \(F,\) .* but got \(2, 3\) and \(2, 3\)"):
        agreement(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="`k` to be at least 1, but got 0"):
        agreement(np.ones(3), np.ones(3), k=0)
