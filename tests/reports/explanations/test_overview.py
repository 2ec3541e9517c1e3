from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import confusion_matrix

from vitatt.explain.cases import ExplainedCase
from vitatt.plotting.confusion import confusion_figure
from vitatt.reports.explanations.overview import overview
from vitatt.reports.explanations.page import write_report
from vitatt.reports.section import Section

pytestmark = pytest.mark.long

CLASSES = ["ACK", "BCC", "MEL", "NEV"]
LABELS = [f"feature {index}" for index in range(15)]


def make_case(index: int) -> ExplainedCase:
    """Every sixth of unknown diagnosis; case 3 without metadata, case 7 without a share."""
    rng = np.random.default_rng(index)
    chances = rng.dirichlet(np.full(len(CLASSES), 0.6))
    predicted = CLASSES[int(chances.argmax())]
    truth = None if index % 6 == 5 else predicted if index % 3 else CLASSES[index % 4]
    bare = index == 3
    relevance = rng.random(15) * np.linspace(3, 1, 15) ** 2
    return ExplainedCase(
        case_id=f"PAT_{index}",
        image=np.full((20, 20, 3), 120, dtype=np.uint8),
        maps={},
        probabilities=dict(zip(CLASSES, map(float, chances), strict=True)),
        true_class=truth,
        feature_labels=() if bare else LABELS,
        feature_values=() if bare else ["yes"] * 15,
        feature_relevance=None if bare else {f"predicted {predicted}": 7 * relevance},
        image_share=None if bare or index == 7 else float(rng.random()),
    )


CASES = [make_case(index) for index in range(24)]
KNOWN = [case for case in CASES if case.true_class is not None]
RIGHT = [case for case in KNOWN if case.true_class == case.predicted_class]
SHARES = np.stack(
    [one / one.sum() for case in CASES for one in (case.feature_relevance or {}).values()]
)


def changed(**changes: Any) -> list[ExplainedCase]:
    return [dataclasses.replace(case, **changes) for case in CASES]


def text(section: Section) -> str:
    (paragraph,) = section.paragraphs
    return paragraph


def cells(section: Section) -> list[list[str]]:
    (table,) = section.tables
    return [[cell.text for cell in row] for row in table.rows]


@pytest.fixture(scope="module")
def sections() -> list[Section]:
    return overview(CASES, CLASSES, title="Cases shown")


def test_verdicts_and_confusion_matrix(sections: list[Section]) -> None:
    first = sections[0]
    assert first.title == "Cases shown"
    assert f"24 cases, {len(KNOWN)} of them of known diagnosis" in text(first)
    assert f"of these, {len(RIGHT)} ({100 * len(RIGHT) / len(KNOWN):.0f} %)" in text(first)
    truths = [case.true_class for case in KNOWN]
    matrix = confusion_matrix(truths, [case.predicted_class for case in KNOWN], labels=CLASSES)
    np.testing.assert_array_equal(first.plots[0].pixels, confusion_figure(matrix, CLASSES))


def test_features_are_ordered_by_their_mean_share(sections: list[Section]) -> None:
    means = SHARES.mean(axis=0)
    order = np.argsort(-means)[:12]
    rows = cells(sections[1])
    assert [row[0] for row in rows] == [LABELS[feature] for feature in order]
    assert [row[1] for row in rows] == [f"{100 * means[feature]:.1f} %" for feature in order]
    tops = (SHARES.argmax(axis=1)[:, None] == order).mean(axis=0)
    assert [float(row[3].strip("<> %")) for row in rows] == pytest.approx(100 * tops, abs=0.51)
    assert "over 23 cases" in text(sections[1])
    assert "12 highest of 15" in text(sections[1])


def test_intervals_agree_with_scipy(sections: list[Section]) -> None:
    for label, _, interval, _ in cells(sections[1])[:3]:
        low, high = map(float, interval.removesuffix(" %").split(" to "))
        values = 100 * SHARES[:, LABELS.index(label)]
        by_scipy = scipy.stats.bootstrap((values,), np.mean, method="percentile", rng=1)
        width = high - low
        assert low == pytest.approx(by_scipy.confidence_interval.low, abs=0.1 * width + 0.1)
        assert high == pytest.approx(by_scipy.confidence_interval.high, abs=0.1 * width + 0.1)


def test_image_shares_and_confidence(sections: list[Section]) -> None:
    shares = [case.image_share for case in CASES if case.image_share is not None]
    assert f"all 22 cases the median is {100 * np.median(shares):.0f} %" in text(sections[2])
    wrong = [case.probability for case in KNOWN if case not in RIGHT]
    mean = np.mean([case.probability for case in RIGHT])
    assert f"{mean:.2f} where right (n = {len(RIGHT)})" in text(sections[3])
    assert f"{np.mean(wrong):.2f} where wrong (n = {len(wrong)})" in text(sections[3])


def test_same_cases_give_the_same_plots(sections: list[Section]) -> None:
    for one, other in zip(sections, overview(CASES, CLASSES, title="Cases shown"), strict=True):
        for plot, again in zip(one.plots, other.plots, strict=True):
            np.testing.assert_array_equal(plot.pixels, again.pixels)


def test_sections_fit_the_report(sections: list[Section], tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", CASES, title="R", facts={}, sections=sections)
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count('class="plots"') == 4


def test_no_known_diagnosis() -> None:
    sections = overview(changed(true_class=None), CLASSES, title="Cases")
    assert text(sections[0]) == "24 cases, all of unknown diagnosis."
    assert not sections[0].plots
    assert not sections[3].plots
    assert "No diagnosis is known" in text(sections[3])


def test_no_metadata() -> None:
    cases = changed(feature_labels=(), feature_values=(), feature_relevance=None, image_share=None)
    sections = overview(cases, CLASSES, title="Cases")
    assert [len(section.plots) for section in sections] == [1, 0, 0, 1]
    assert text(sections[1]) == "No case has metadata with relevance."
    assert "not defined" in text(sections[2])


def test_metadata_without_any_relevance() -> None:
    cases = [CASES[0], dataclasses.replace(CASES[1], feature_relevance={"a": np.zeros(15)})]
    assert "over 1 case," in text(overview(cases, CLASSES, title="Cases")[1])


def test_one_case_that_is_right() -> None:
    sections = overview([RIGHT[0]], CLASSES, title="Cases")
    assert text(sections[0]).startswith("1 case, 1 of them of known diagnosis; of these, 1 (100 %)")
    assert "no prediction is wrong" in text(sections[3])


@pytest.mark.parametrize(
    ("cases", "classes", "message"),
    [
        ([], CLASSES, "at least one case"),
        (CASES, CLASSES[:2], "`classes` to name all classes"),
        (
            [CASES[0], dataclasses.replace(CASES[1], feature_labels=LABELS[::-1])],
            CLASSES,
            "same features.*PAT_1",
        ),
    ],
)
def test_errors(cases: list[ExplainedCase], classes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        overview(cases, classes, title="Cases")
