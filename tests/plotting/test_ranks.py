"""Critical-difference plots, by their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from vitatt.plotting.ranks import ranks_figure


@pytest.mark.parametrize("arms", [2, 7, 25])
@pytest.mark.long
def test_the_figure_grows_with_the_arms(arms):
    ranks = np.linspace(1, arms, arms)
    names = [f"arm number {n} with a name that is rather long" for n in range(arms)]
    figure = ranks_figure(names, ranks, 3.0, xlabel="mean rank")
    assert figure.dtype == np.uint8
    assert figure.shape[1:] == (1280, 3)
    short = ranks_figure([f"arm {n}" for n in range(arms)], ranks, 3.0, xlabel="mean rank")
    assert short.shape[0] <= figure.shape[0] <= (2 + 0.5 * arms) * 200
    # Nothing is cut: the margin is paper.
    for edge in (figure[:2], figure[-2:], figure[:, :2], figure[:, -2:]):
        assert (edge > 250).all()


def test_the_figure_shows_one_point_for_each_arm_best_on_top():
    figure = ranks_figure(["worse", "best"], [2.0, 1.0], 0.5, xlabel="mean rank").astype(int)
    blue = (figure[..., 2] - figure[..., 0]) > 120
    columns = [np.flatnonzero(rows.any(0)).mean() for rows in _bands(blue)]
    assert len(columns) == 2
    assert columns[0] < columns[1]


def _bands(mask):
    """Runs of rows in which anything is set."""
    rows = np.flatnonzero(mask.any(1))
    return [mask[band] for band in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)]
