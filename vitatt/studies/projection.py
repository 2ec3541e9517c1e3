"""Projections of vectors onto the plane."""

from __future__ import annotations

import importlib.util
from typing import Literal, get_args

from sklearn.manifold import TSNE

from vitatt.evaluation.bootstrap import Floats
from vitatt.types import UsageError

Projection = Literal["tsne", "umap"]

TITLES: dict[Projection, str] = {"tsne": "t-SNE", "umap": "UMAP"}


def projections() -> tuple[Projection, ...]:
    """The projections whose packages are installed; UMAP is an extra."""
    return tuple(
        name for name in get_args(Projection) if name == "tsne" or importlib.util.find_spec(name)
    )


def project(vectors: Floats, method: Projection, *, seed: int = 0) -> Floats:
    """Projection of vectors (N, D) onto the plane, (N, 2), that keeps near neighbours near.

    Distances between clusters, and their sizes, have no meaning in it. t-SNE: van der Maaten and
    Hinton, JMLR 2008, with a perplexity of 30, or (N - 1) / 3 if that is less. UMAP: McInnes et al.
    2018, with 15 neighbours, or N - 1 if that is less.

    Args:
        vectors: (N, D).
        method: The projection.
        seed: Seed of its random start.

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

    # The spectral start solves for more eigenvectors than a handful of cases has.
    start = "spectral" if count > 10 else "random"
    umap = UMAP(n_neighbors=min(15, count - 1), init=start, random_state=seed, n_jobs=1)
    return umap.fit_transform(vectors)
