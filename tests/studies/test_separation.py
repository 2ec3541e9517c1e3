"""Separation against scikit-learn's own metrics."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, silhouette_score
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from vitatt.studies.separation import neighbour_votes, separation
from vitatt.types import UsageError

Cases = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.object_]]


def cases(seed: int, count: int = 60, apart: float = 1.5) -> Cases:
    """Vectors of three classes; images of a group are nearly alike."""
    rng = np.random.default_rng(seed)
    owner = np.sort(rng.integers(0, count // 3, count))
    targets = rng.integers(0, 3, owner.max() + 1)[owner]
    centre = rng.normal(size=(owner.max() + 1, 4))[owner]
    vectors = centre + apart * np.eye(3, 4)[targets] + 0.05 * rng.normal(size=(count, 4))
    order = rng.permutation(count)
    groups = np.array([f"P{n}" for n in owner], dtype=object)
    return vectors[order], targets[order], groups[order]


@pytest.mark.parametrize("seed", range(5))
def test_equals_scikit_learn(seed: int) -> None:
    vectors, targets, groups = cases(seed)
    found = separation(vectors, targets, groups)
    assert found.silhouette.value == pytest.approx(silhouette_score(vectors, targets), abs=1e-12)
    voted = cross_val_predict(
        KNeighborsClassifier(5), vectors, targets, groups=groups, cv=LeaveOneGroupOut()
    )
    np.testing.assert_array_equal(neighbour_votes(vectors, targets, groups).argmax(1), voted)
    assert found.accuracy.value == pytest.approx(accuracy_score(targets, voted), abs=1e-12)
    expected = balanced_accuracy_score(targets, voted)
    assert found.balanced_accuracy.value == pytest.approx(expected, abs=1e-12)
    for interval in found:
        assert interval.low <= interval.value <= interval.high
        assert interval.low < interval.high


def test_what_is_apart_is_found_and_noise_is_not() -> None:
    apart = separation(*cases(0, apart=50.0))
    assert apart.silhouette.value > 0.9
    assert apart.accuracy == (1, 1, 1)
    vectors, targets, groups = cases(0, apart=0.0)
    own = cross_val_predict(KNeighborsClassifier(1), vectors, targets, cv=LeaveOneOut())
    assert accuracy_score(targets, own) > 0.8, "a group's other images give its class away"
    assert separation(vectors, targets, groups).accuracy.value < 0.6


def test_needs_classes_and_other_groups() -> None:
    vectors, targets, groups = cases(0)
    with pytest.raises(UsageError, match=r"at least 2 classes.* but got 60 cases of 1 classes"):
        separation(vectors, np.zeros_like(targets), groups)
    most = np.where(np.arange(60) < 56, "P", groups)
    with pytest.raises(UsageError, match=r"at least 5 cases of other groups .* there are 4"):
        separation(vectors, targets, most)
