"""The report of a reader study: its sections, and the page in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.pages import Page, chromium
from tests.reader_study.simulated_study import reader_model, write_simulated
from tests.serving.sites import axe_of
from vitatt.reader_study.outcome.record import read_record
from vitatt.reader_study.outcome.study_outcome import StudyOutcome, analyse_study
from vitatt.reports.reader_study.methods import study_methods
from vitatt.reports.reader_study.page import study_sections, write_study_page

HOSTILE = '</script><b onclick="x">\'}; url(http://evil.test)|'


def hostile(plan: dict[str, Any]) -> None:
    plan["arms"][1]["title"] = HOSTILE
    plan["question"] = f"Why {HOSTILE}?"
    plan["experience"][0]["title"] = HOSTILE
    plan["features"][0]["title"] = HOSTILE
    plan["cases"][0]["answers"]["age"] = HOSTILE


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> StudyOutcome:
    folder = tmp_path_factory.mktemp("report") / "study"
    model = reader_model((0.2, 0.6, 0.4), (1.0, 0.3, 0.2))
    write_simulated(folder, model, cases=18, readers=6, change=hostile)
    record = read_record(folder)
    return analyse_study(record, record.last_time)


@pytest.fixture(scope="module")
def file(outcome: StudyOutcome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_study_page(path, outcome)
    return path


def test_specified_sections_come_first_and_others_say_exploratory(outcome: StudyOutcome) -> None:
    titles = [section.title for section in study_sections(outcome)]
    first = titles.index("Exploratory: gains by experience")
    assert titles[:first] == [
        "Question and primary result",
        "Design",
        "Readers and readings",
        "Specified hypotheses",
        "Metrics by arm and experience",
        "Each reader",
        "Sensitivity analysis",
    ]
    exploratory = [title for title in titles if title.startswith("Exploratory: ")]
    assert titles[first : first + len(exploratory)] == exploratory
    assert len(exploratory) == 7
    assert titles[-4:] == [
        "Power and precision",
        "Deviations from the plan",
        "Integrity of the record",
        "Limits",
    ]


def test_the_numbers_are_those_of_the_results(outcome: StudyOutcome, file: Path) -> None:
    rows = Page(file.read_text()).rows
    cells = {cell for row in rows for cell in row}
    of_all = outcome.results.metrics.filter(experience="all")
    for row in of_all.iter_rows(named=True):
        assert _text(row) in cells
    reliance = outcome.results.reliance.filter(experience="all", measure="right to wrong, AI wrong")
    assert ["Right to wrong, AI wrong", *(_text(row) for row in reliance.to_dicts())] in rows
    of_case = outcome.cases.row(1, named=True)
    row = next(row for row in rows if row[0] == of_case["case_id"])
    assert f"{100 * of_case['right_no_ai']:.0f}\xa0%of 6" in [
        one.replace(" %", "\xa0%") for one in row
    ]


def _text(row: dict[str, Any]) -> str:
    numbers = [f"{row[name]:.3f}" for name in ("value", "low", "high") if row[name] is not None]
    return numbers[0] if len(numbers) == 1 else f"{numbers[0]}[{', '.join(numbers[1:])}]"


def test_text_of_a_plan_is_no_markup(file: Path) -> None:
    html = file.read_text()
    assert HOSTILE not in html
    assert "&lt;/script&gt;" in html
    assert not [one for one in Page(html).tags if one[0] == "b" and "onclick" in one[1]]


def test_methods_answer_every_topic_or_leave_it_to_the_authors(outcome: StudyOutcome) -> None:
    text = study_methods(outcome)
    table = [line for line in text.splitlines() if line.startswith("|")]
    cells = [line.replace("\\|", "").strip("|").split("|") for line in table]
    assert {len(row) for row in cells} == {3}
    assert all(part.strip() for row in cells for part in row)
    assert len(table) > 30
    open_topics = {row[0].strip() for row in cells if "to be stated by the authors" in row[2]}
    assert {"Ethics approval, registration", "Funding and interests"} <= open_topics
    row = outcome.results.primary.row(0, named=True)
    assert f"{row['mean']:.3f}" in text
    assert outcome.record.digest in text
    assert "6 readers were invited, 6 consented, 6 began, 0 withdrew and 6 read all" in " ".join(
        text.split()
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(params=[1280, 400])
def page(browser: Any, file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The report in a browser; fails a test after which the page has complained or called out."""
    page = browser.new_page(viewport={"width": request.param, "height": 800})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda one: None if one.url.startswith(("file:", "data:")) else complaints.append(one.url),
    )
    page.goto(file.as_uri())
    yield page
    page.close()
    assert complaints == []


@pytest.mark.long
class TestBrowser:
    def test_page_does_not_scroll_sideways_and_every_figure_loads(self, page: Any) -> None:
        page.add_style_tag(content=".case { content-visibility: visible !important }")
        page.evaluate("for (const one of document.images) one.loading = 'eager'")
        page.evaluate("Promise.all([...document.images].map(one => one.decode()))")
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        sizes = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert sizes[0] <= sizes[1]

    def test_nothing_serious_by_axe(self, page: Any) -> None:
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert axe_of(page) == []

    def test_cases_are_filtered_by_the_ai_and_sorted_by_an_arm(
        self, page: Any, outcome: StudyOutcome
    ) -> None:
        page.select_option("[name=verdict]", "wrong")
        wrong = outcome.cases.filter(~pl.col("ai_correct"))
        assert page.text_content("#count") == f"showing {wrong.height} of 18"
        page.click("#table th:last-child button")
        shown = page.eval_on_selector_all(
            "#table tbody tr",
            "all => all.filter(one => one.offsetHeight).map(one => one.cells[0].dataset.value)",
        )
        by_case = dict(wrong.select("case_id", "right_ai").iter_rows())
        values = [by_case[name] for name in shown]
        assert values == sorted(values, reverse=True)
