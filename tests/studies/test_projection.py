"""Projections of vectors in clusters."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from tests.studies.test_separation import cases
from vitatt.studies import projection
from vitatt.studies.projection import project, projections
from vitatt.types import UsageError


@pytest.mark.parametrize("count", [5, 12, 60])
def test_tsne_of_any_size_is_repeatable(count: int) -> None:
    vectors, _, _ = cases(0, apart=50.0)
    points = project(vectors[:count], "tsne")
    assert points.shape == (count, 2)
    np.testing.assert_array_equal(points, project(vectors[:count], "tsne"))


def test_tsne_keeps_clusters() -> None:
    vectors, targets, _ = cases(1, apart=50.0)
    assert silhouette_score(project(vectors, "tsne"), targets) > 0.5


def test_too_few_to_draw() -> None:
    with pytest.raises(UsageError, match=r"at least 5 cases to draw, but got 4"):
        project(np.zeros((4, 3)), "tsne")


def test_umap_only_where_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection.importlib.util, "find_spec", lambda name: None)
    assert projections() == ("tsne",)
    monkeypatch.setattr(projection.importlib.util, "find_spec", lambda name: name)
    assert projections() == ("tsne", "umap")


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 60])
def test_umap(count: int) -> None:
    """Slow: its functions are compiled at the first call."""
    pytest.importorskip("umap")
    vectors, targets, _ = cases(1, apart=50.0)
    points = project(vectors[:count], "umap")
    assert points.shape == (count, 2)
    if count == 60:
        assert silhouette_score(points, targets) > 0.5
