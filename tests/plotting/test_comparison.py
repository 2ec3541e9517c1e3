from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from tests.benchmark_folder import source
from vitatt.evaluation.metrics import BINS, calibration_error
from vitatt.plotting import comparison as report_plots
from vitatt.reports.benchmark.plots import forests, reliability, reliability_curve


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures behind the figures."""
    figures: list[Any] = []
    pixels = report_plots.pixels_of
    monkeypatch.setattr(report_plots, "pixels_of", lambda one: figures.append(one) or pixels(one))
    return figures


def margins(pixels: Any) -> Any:
    """The outermost pixels of a drawn."""
    return np.concatenate(
        [pixels[:2].ravel(), pixels[-2:].ravel(), pixels[:, :2].ravel(), pixels[:, -2:].ravel()]
    )


def test_forest_has_a_labelled_row_an_arm_with_the_values_of_the_table(drawn: list[Any]) -> None:
    facts, _, tables = source()
    figure = "melanoma sensitivity at 90 % specificity"
    (drawn,) = forests(tables["arms"], facts, [figure])
    (axes,) = drawn[0].axes
    assert " ".join(axes.get_xlabel().split()) == f"{figure} (95 % interval)"
    assert axes.get_ylabel() == "arm"
    shown = [" ".join(label.get_text().split()) for label in axes.get_yticklabels()]
    scored = tables["arms"].filter(figure=figure, cases="all")
    values = {facts.arm_title(row["arm"]): row["value"] for row in scored.iter_rows(named=True)}
    points = axes.containers[0].lines[0].get_xdata()
    np.testing.assert_allclose(points, [values[name] for name in shown])
    assert sorted(shown) == sorted(values)
    assert (margins(drawn.pixels) == 255).all()  # nothing is cut


def test_reliability_is_labelled_before_and_after(drawn: list[Any]) -> None:
    facts, frame, _ = source()
    drawn = reliability(frame, facts)
    upper, lower = drawn[0].axes
    assert upper.get_ylabel() == "share predicted right"
    assert lower.get_xlabel().startswith("confidence")
    assert lower.get_ylabel() == "cases"
    names = upper.get_legend_handles_labels()[1]
    assert names[1:] == ["as the network gives them", "after temperature scaling"]
    assert (margins(drawn.pixels) == 255).all()


def test_reliability_curve_agrees_with_scikit_learn_and_the_calibration_error() -> None:
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.ones(4), 500)
    targets = rng.integers(0, 4, 500)
    confidence, right, count = reliability_curve(probabilities, targets)
    correct = probabilities.argmax(1) == targets
    expected = calibration_curve(correct, probabilities.max(1), n_bins=BINS)
    known = count > 0
    assert not known.all()
    np.testing.assert_allclose((right[known], confidence[known]), expected)
    assert np.isnan(right[~known]).all()
    gap = np.nansum(np.abs(right - confidence) * count) / count.sum()
    error = calibration_error(probabilities, targets, np.ones((1, 500)))[0]
    np.testing.assert_allclose(gap, error)


def test_undefined_values_leave_their_row_empty() -> None:
    values = np.array([[0.5, 0.4, 0.6], [np.nan] * 3])
    pixels = report_plots.forest_figure(["a", "b"], {"all": values}, xlabel="x", ylabel="y")
    assert pixels.dtype == np.uint8
    assert (pixels != 255).any()
