"""Overview of all explained cases: verdicts, features, shares of the image, confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitatt.explain.cases import ExplainedCase
from vitatt.plotting.confusion import confusion_figure
from vitatt.plotting.overview import bars_figure, points_figure
from vitatt.plotting.shares import feature_shares, format_percent
from vitatt.plotting.style import BLUE, DARK_VERMILION
from vitatt.reports.cells import Cell
from vitatt.reports.section import Plot, Section, plain_table
from vitatt.types import class_index

_MAX_FEATURES = 12
_RESAMPLES = 2000
_MATRIX_WIDTH = 640  # pixels; drawn for screens of single resolution


def overview(
    cases: Sequence[ExplainedCase], classes: Sequence[str], *, title: str
) -> list[Section]:
    """Four sections: confusion matrix, relevance of features, share of the image, confidence.

    If a metric is not defined, a sentence says why.

    Args:
        cases: All cases of the report.
        classes: Names, in the order of the confusion matrix.
        title: Heading of the first section, such as ``Test cases of fold 0``.

    Raises:
        ValueError: If there is no case, a class is not one of `classes`, or cases with metadata
            differ in their features.
    """
    if not cases:
        raise ValueError("Expected argument `cases` to hold at least one case, but got none")
    named = {case.predicted_class for case in cases} | {case.true_class for case in cases} - {None}
    if unknown := named - set(classes):
        raise ValueError(f"Expected argument `classes` to name all classes, but not {unknown}")
    return [
        _verdicts(cases, classes, title),
        _features(cases),
        _image_shares(cases, classes),
        _confidence(cases),
    ]


def _verdicts(cases: Sequence[ExplainedCase], classes: Sequence[str], title: str) -> Section:
    known = [case for case in cases if case.true_class is not None]
    if not known:
        return Section(title, [f"{_count(len(cases))}, all of unknown diagnosis."])
    right = sum(case.true_class == case.predicted_class for case in known)
    index = class_index(classes)
    matrix = np.zeros((len(classes), len(classes)), dtype=np.intp)
    for case in known:
        matrix[index[str(case.true_class)], index[case.predicted_class]] += 1
    text = (
        f"{_count(len(cases))}, {len(known)} of them of known diagnosis; of these, {right} "
        f"({format_percent(right / len(known))}) are predicted right. Rows of the matrix are true "
        "classes, columns are predicted classes; percentages are of the row."
    )
    alt = f"Confusion matrix of {_count(len(known))}: {right} on the diagonal"
    pixels = confusion_figure(matrix, classes)
    plot = Plot(pixels, alt, width=min(_MATRIX_WIDTH, pixels.shape[1]))
    return Section(title, [text], plots=[plot])


def _features(cases: Sequence[ExplainedCase]) -> Section:
    title = "Metadata features"
    labels, shares = _shares(cases)
    n = len(shares)
    if n == 0:
        return Section(title, ["No case has metadata with relevance."])
    means = shares.mean(axis=0)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES) / n
    low, high = np.quantile(weights @ shares, [0.025, 0.975], axis=0)
    tops = np.bincount(shares.argmax(axis=1), minlength=len(labels)) / n
    order = np.argsort(-means, kind="stable")[:_MAX_FEATURES]

    pixels = bars_figure(
        [labels[feature] for feature in order],
        100 * means[order],
        100 * np.array([low, high])[:, order],
        xlabel=f"mean share of metadata relevance, % (n = {n})",
    )
    text = (
        f"Mean share in the relevance of all metadata features over {_count(n)}, with a 95 % "
        f"interval that resamples cases ({_RESAMPLES} times)"
    )
    if len(order) < len(labels):
        text += f"; the {len(order)} highest of {len(labels)} features"
    text += ". “Highest in” is the share of cases in which the feature is the most relevant one."
    rows = [
        (
            labels[feature],
            Cell(f"{100 * means[feature]:.1f} %", float(means[feature])),
            Cell(f"{100 * low[feature]:.1f} to {100 * high[feature]:.1f} %", float(low[feature])),
            Cell(format_percent(tops[feature]), float(tops[feature])),
        )
        for feature in order
    ]
    columns = ("feature", "mean share", "95 % interval", "highest in")
    alt = "Bars of the mean share of metadata relevance; the table below has the numbers"
    return Section(
        title,
        [text],
        tables=[plain_table(title, columns, rows)],
        plots=[Plot(pixels, alt)],
        plots_first=True,
    )


def _image_shares(cases: Sequence[ExplainedCase], classes: Sequence[str]) -> Section:
    title = "Image and metadata"
    shares: dict[str, list[float]] = {}
    for name in classes:
        found = [case.image_share for case in cases if case.predicted_class == name]
        if known := [100 * share for share in found if share is not None]:
            shares[name] = known
    if not shares:
        return Section(title, ["The image's share of relevance is not defined for any case."])
    pixels = points_figure(
        shares,
        [float(np.median(values)) for values in shares.values()],
        [BLUE] * len(shares),
        xlabel="image's share of all relevance, %",
        ylabel="predicted",
        largest=100,
    )
    every = np.concatenate(list(shares.values()))
    text = (
        "The image's share in the relevance of image and metadata, by predicted class: one point "
        f"for each case, a line at the median. Over all {_count(every.size)} the median is "
        f"{np.median(every):.0f} %."
    )
    alt = "Points of the image's share by predicted class"
    return Section(title, [text], plots=[Plot(pixels, alt)])


def _confidence(cases: Sequence[ExplainedCase]) -> Section:
    title = "Confidence of right and wrong predictions"
    known = [case for case in cases if case.true_class is not None]
    if not known:
        return Section(title, ["No diagnosis is known, so no prediction is known to be right."])
    right: list[float] = []
    wrong: list[float] = []
    for case in known:
        (right if case.true_class == case.predicted_class else wrong).append(case.probability)
    groups = {"right": right, "wrong": wrong}
    means = [float(np.mean(values)) if values else np.nan for values in groups.values()]
    words = [
        f"on average {mean:.2f} where {verdict} (n = {len(groups[verdict])})"
        if groups[verdict]
        else f"no prediction is {verdict}"
        for verdict, mean in zip(groups, means, strict=True)
    ]
    pixels = points_figure(
        groups,
        means,
        [BLUE, DARK_VERMILION],
        xlabel="probability of the predicted class",
        largest=1,
    )
    text = (
        f"Probability of the predicted class: {', '.join(words)}. One point for each case, a line "
        "at the mean; confident wrong predictions are at the lower right."
    )
    alt = "Points of the confidence, right above wrong"
    return Section(title, [text], plots=[Plot(pixels, alt)])


def _shares(cases: Sequence[ExplainedCase]) -> tuple[list[str], NDArray[np.float64]]:
    """Feature labels, and shares (n, F) of the n cases in which any feature is relevant."""
    described = [case for case in cases if case.feature_labels]
    labels = list(described[0].feature_labels) if described else []
    shares = [np.empty((0, len(labels)))]
    for case in described:
        if list(case.feature_labels) != labels:
            raise ValueError(
                f"Expected argument `cases` to have the same features in each case, but "
                f"'{case.case_id}' has {list(case.feature_labels)}, not {labels}"
            )
        relevance = case.feature_relevance or {}
        shares.append(feature_shares(labels, case.feature_values, relevance)[:1])
    stacked = np.concatenate(shares)
    return labels, stacked[stacked.sum(axis=1) > 0]


def _count(n: int) -> str:
    return "1 case" if n == 1 else f"{n} cases"
