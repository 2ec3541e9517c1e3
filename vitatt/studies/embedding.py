"""How far a network's vectors set the classes apart, and views of them in the plane."""

from __future__ import annotations

import importlib.util
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import NearestNeighbors

from vitatt.evaluation.bootstrap import Floats, Interval, balanced_accuracy, group_bootstrap, mean
from vitatt.types import UsageError

Projection = Literal["tsne", "umap"]

TITLES: dict[Projection, str] = {"tsne": "t-SNE", "umap": "UMAP"}

NEIGHBOURS = 5


class Separation(NamedTuple):
    """How far classes are apart, in all dimensions; intervals resample groups.

    Attributes:
        silhouette: Mean over the cases, -1 to 1; 0 where classes overlap.
        accuracy: Of the vote of the 5 nearest cases of other groups.
        balanced_accuracy: Of the same vote.
    """

    silhouette: Interval
    accuracy: Interval
    balanced_accuracy: Interval


def separation(
    vectors: Floats, targets: NDArray[np.int64], groups: NDArray[np.object_]
) -> Separation:
    """Silhouette of the classes and nearest-neighbour accuracy.

    The silhouette compares a case's mean distance to its own class with that to the nearest other
    one (Rousseeuw, "Silhouettes", Journal of Computational and Applied Mathematics 1987). A case's
    neighbours are of other patients or lesions: its own would be found by the image's looks.

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
    """See that `separation` can say something of some cases.

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
    # So many that enough are left when those of its own group are taken out.
    search = NearestNeighbors(n_neighbors=NEIGHBOURS + int(size.max()) - 1).fit(vectors)
    near = search.kneighbors(return_distance=False)
    foreign = owner[near] != owner[:, None]
    kept = foreign & (np.cumsum(foreign, axis=1) <= NEIGHBOURS)
    chosen = targets[near[kept].reshape(len(vectors), NEIGHBOURS)]
    votes: Floats = np.stack([(chosen == label).mean(1) for label in range(targets.max() + 1)], 1)
    return votes


def projections() -> tuple[Projection, ...]:
    """Those that are installed: UMAP is an extra."""
    return tuple(
        name for name in get_args(Projection) if name == "tsne" or importlib.util.find_spec(name)
    )


def project(vectors: Floats, method: Projection, *, seed: int = 0) -> Floats:
    """A view of vectors (N, D) in the plane, (N, 2); what is near there was near before.

    Distances between far points, and sizes of clusters, mean nothing in it. t-SNE: van der Maaten
    and Hinton, JMLR 2008; its perplexity is 30, or less for fewer than 91 cases. UMAP: McInnes et
    al. 2018, with 15 neighbours at most.

    Raises:
        UsageError: If there are fewer than 5 vectors.
    """
    count = len(vectors)
    if count < 5:
        raise UsageError(f"Expected at least 5 cases to draw, but got {count}.")
    if method == "tsne":
        perplexity = min(30.0, (count - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
        return tsne.fit_transform(vectors)
    from umap import UMAP  # slow to import, and an extra

    # Its spectral start needs more cases than dimensions of the plane by a few.
    start = "spectral" if count > 10 else "random"
    umap = UMAP(n_neighbors=min(15, count - 1), init=start, random_state=seed, n_jobs=1)
    return umap.fit_transform(vectors)
