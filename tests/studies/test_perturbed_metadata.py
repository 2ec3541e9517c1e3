"""Hidden metadata against loops over cases and features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tasks import CARDINALITIES, make_batch, make_network, make_task
from vitatt.studies.perturbed_metadata import AT_RANDOM, LEAST, MOST, SHARES, perturb_metadata
from vitatt.types import LesionBatch

IMPORTANCE = np.array([0.2, -0.1, 0.5, 0.2])
ORDER = {MOST: [2, 0, 3, 1], LEAST: [1, 0, 3, 2]}
"""Of the features; ties in their own order."""


@pytest.fixture(scope="module")
def network():
    return make_network(make_task())


@pytest.fixture(scope="module")
def batch() -> LesionBatch:
    return make_batch(make_task(), 40)


@pytest.fixture(scope="module")
def steps(network, batch):
    return list(perturb_metadata(network, batch, IMPORTANCE, repeats=3))


def hidden_by_loop(batch: LesionBatch, hidden: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    metadata, missing = batch.metadata.clone(), batch.missing.clone()
    for case in range(len(batch.target)):
        start = 0
        for feature, count in enumerate(CARDINALITIES):
            if hidden[case, feature]:
                metadata[case, start : start + count] = 1 / count
                missing[case, feature] = True
            start += count
    return metadata, missing


@pytest.mark.parametrize("name", [MOST, LEAST])
def test_features_are_hidden_in_their_order(steps, batch, name):
    found = [(level, versions) for perturbation, level, versions in steps if perturbation == name]
    assert [level for level, _ in found] == [1, 2, 3, 4]
    for level, versions in found:
        hidden = np.zeros((40, 4), bool)
        for feature in ORDER[name][: int(level)]:
            hidden[:, feature] = True
        metadata, missing = hidden_by_loop(batch, hidden)
        (version,) = versions
        torch.testing.assert_close(version.metadata, metadata, rtol=0, atol=1e-7)
        assert torch.equal(version.missing, missing)
        assert torch.equal(version.pixels, batch.pixels)


def test_values_are_hidden_at_random_with_their_share(steps, batch):
    found = [
        (level, versions) for perturbation, level, versions in steps if perturbation == AT_RANDOM
    ]
    assert [level for level, _ in found] == list(SHARES)
    before = [batch.missing] * 3
    for level, versions in found:
        assert len(versions) == 3
        hidden = [(version.missing & ~batch.missing) for version in versions]
        observed = int((~batch.missing).sum()) * 3
        share = sum(int(one.sum()) for one in hidden) / observed
        assert abs(share - level) < 4 * (level * (1 - level) / observed) ** 0.5 + 1e-9
        for version, earlier in zip(versions, before, strict=True):
            assert not (earlier & ~version.missing).any()  # hidden at a lower share: hidden still
            metadata, missing = hidden_by_loop(batch, version.missing.numpy())
            torch.testing.assert_close(
                version.metadata[~batch.missing.any(1)],
                metadata[~batch.missing.any(1)],
                rtol=0,
                atol=1e-7,
            )
            assert torch.equal(version.missing, missing)
        before = [version.missing for version in versions]
    first = found[4][1]
    assert not torch.equal(first[0].missing, first[1].missing)  # repeats are draws of their own


def test_all_hidden_is_a_case_of_which_nothing_is_known(steps, network, batch):
    everything = hidden_by_loop(batch, np.ones((40, 4), bool))
    unknown = batch._replace(metadata=everything[0], missing=everything[1])
    with torch.no_grad():
        expected = network(unknown).logits
        for name in (AT_RANDOM, MOST, LEAST):
            last = [versions for perturbation, _, versions in steps if perturbation == name][-1]
            for version in last:
                torch.testing.assert_close(network(version).logits, expected)


def test_seed_decides_the_draws(network, batch, steps):
    def first(seed: int) -> torch.Tensor:
        return (
            next(perturb_metadata(network, batch, IMPORTANCE, repeats=1, seed=seed))
            .versions[0]
            .missing
        )

    assert torch.equal(first(0), steps[0].versions[0].missing)
    assert not torch.equal(first(0), first(1))
