"""Separation of the classes in a network's vectors: silhouette and nearest neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import NearestNeighbors

from vitatt.evaluation.bootstrap import Floats, Interval, balanced_accuracy, group_bootstrap, mean
from vitatt.types import UsageError

NEIGHBOURS = 5


class Separation(NamedTuple):
    """Metrics of class separation in all dimensions; their intervals resample groups.

    Attributes:
        silhouette: Mean over the cases, -1 to 1; 0 where classes overlap.
        accuracy: Accuracy of the vote of the 5 nearest cases of other groups.
        balanced_accuracy: Balanced accuracy of the same vote.
    """

    silhouette: Interval
    accuracy: Interval
    balanced_accuracy: Interval


def separation(
    vectors: Floats, targets: NDArray[np.int64], groups: NDArray[np.object_]
) -> Separation:
    """Silhouette of the classes and nearest-neighbour accuracy.

    The silhouette compares a case's mean distance to its own class with that to the nearest other
    one (Rousseeuw, "Silhouettes", Journal of Computational and Applied Mathematics 1987). The
    neighbours of a case are of other patients or lesions: images of its own group are similar
    whatever the diagnosis is.

    Args:
        vectors: (N, D).
        targets: Class of each, (N,), 0 or more.
        groups: Patient or lesion of each, (N,).

    Raises:
        UsageError: If there are fewer than 2 classes, no class has 2 cases, or a case has fewer
            than 5 of other groups.
    """
    check_separable(targets, groups)
    votes = neighbour_votes(vectors, targets, groups)
    correct = (votes.argmax(1) == targets).astype(np.float64)[:, None]
    return Separation(
        group_bootstrap(mean, silhouette_samples(vectors, targets)[:, None], targets, groups),
        group_bootstrap(mean, correct, targets, groups),
        group_bootstrap(balanced_accuracy, votes, targets, groups),
    )


def check_separable(targets: NDArray[np.int64], groups: NDArray[np.object_]) -> None:
    """See that `separation` is defined for some cases.

    Args:
        targets: Class of each, (N,).
        groups: Patient or lesion of each, (N,).

    Raises:
        UsageError: As `separation` does.
    """
    found = np.unique(targets).size
    if not 2 <= found < len(targets):
        raise UsageError(
            f"Expected cases of at least 2 classes, several of a class, to see how far they are "
            f"apart, but got {len(targets)} cases of {found} classes."
        )
    _check_neighbours(groups)


def _check_neighbours(groups: NDArray[np.object_]) -> None:
    _, size = np.unique(groups, return_counts=True)
    if (others := len(groups) - int(size.max())) < NEIGHBOURS:
        raise UsageError(
            f"Expected at least {NEIGHBOURS} cases of other groups beside each case, but there "
            f"are {others}."
        )


def neighbour_votes(
    vectors: Floats, targets: NDArray[np.int64], groups: NDArray[np.object_]
) -> Floats:
    """Share of each class among a case's 5 nearest cases of other groups, (N, C).

    Raises:
        UsageError: If there are fewer than 5 such cases.
    """
    _check_neighbours(groups)
    _, owner, size = np.unique(groups, return_inverse=True, return_counts=True)
    # A case finds itself and at most `size.max() - 1` others of its group among its neighbours.
    search = NearestNeighbors(n_neighbors=NEIGHBOURS + int(size.max()) - 1).fit(vectors)
    near = search.kneighbors(return_distance=False)
    foreign = owner[near] != owner[:, None]
    kept = foreign & (np.cumsum(foreign, axis=1) <= NEIGHBOURS)
    chosen = targets[near[kept].reshape(len(vectors), NEIGHBOURS)]
    votes: Floats = np.stack([(chosen == label).mean(1) for label in range(targets.max() + 1)], 1)
    return votes
