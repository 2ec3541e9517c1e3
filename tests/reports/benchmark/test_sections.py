from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.benchmark_folder import ARMS, CLASSES, HOSTILE, source
from tests.pages import Page, chromium
from vitatt.reports.benchmark.experiments import experiments
from vitatt.reports.benchmark.prose import limits
from vitatt.reports.benchmark.sections import report_sections
from vitatt.reports.page import write_page
from vitatt.reports.section import Section

pytestmark = pytest.mark.long

MELANOMA = "melanoma sensitivity at 90 % specificity"


def written(value: float | None, low: float | None, high: float | None) -> str:
    """A metric as the page must show it, formatted independently."""
    if value is None:
        return "–"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]".replace("-", "−")


@functools.cache
def sections() -> dict[str, Section]:
    return {one.title: one for one in report_sections(*source())}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(
        path,
        title="Benchmark",
        subtitle="Not a medical device.",
        facts={"cases": "120"},
        sections=list(sections().values()),
    )
    return path


@pytest.fixture(scope="module")
def html(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(html: str) -> Page:
    return Page(html)


def rows_of(html: str, title: str) -> list[list[str]]:
    """Rows of the table that follows a caption, its head first."""
    after = html[html.index(f">{title}</") :]
    rows = re.findall(r"<tr.*?</tr>", after[: after.index("</table>")], re.S)
    return [[text_of(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)] for row in rows]


def text_of(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", markup)).split())


class TestNumbers:
    @pytest.mark.parametrize(
        ("title", "metrics"),
        [
            ("Main metrics: value [95 % interval]", ["balanced accuracy", "macro AUROC", MELANOMA]),
            (
                "Probabilities: value [95 % interval]",
                ["Brier", "Brier, tempered", "calibration error", "calibration error, tempered"],
            ),
        ],
    )
    def test_all_and_complete_cases_side_by_side(
        self, html: str, title: str, metrics: list[str]
    ) -> None:
        arms = source()[2]["arms"]
        head, *rows = rows_of(html, title)
        assert len(head) == 1 + 2 * len(metrics)
        assert len(rows) == len(ARMS)
        n = {row["cases"]: row["n"] for row in arms.iter_rows(named=True)}
        assert 0 < n["complete"] < n["all"] == 120
        for row in rows:
            arm = next(
                name for name, (_, text, _) in ARMS.items() if row[0].split(" ref")[0] == text
            )
            expected = [
                written(
                    *arms.filter(arm=arm, metric=metric, cases=cases)["value", "low", "high"].row(0)
                )
                for metric in metrics
                for cases in ("all", "complete")
            ]
            assert row[1:] == expected
        for cell, cases in zip(head[1:], ["all", "complete"] * len(metrics), strict=True):
            assert cell.endswith(f"{cases} cases, n\u00a0=\u00a0{n[cases]}".replace("\u00a0", " "))

    def test_best_arm_first_and_reference_marked(self, html: str) -> None:
        rows = rows_of(html, "Main metrics: value [95 % interval]")[1:]
        values = [float(row[1].split()[0]) for row in rows]
        assert values == sorted(values, reverse=True)
        assert [row[0].endswith("reference") for row in rows].count(True) == 1

    def test_one_model_without_averaging(self, html: str) -> None:
        arms = source()[2]["arms"].filter(cases="all", metric="macro AUROC")
        found = {
            row[0]: row[2]
            for row in rows_of(html, "One model per fold, seeds not averaged, all cases")
        }
        for row in arms.iter_rows(named=True):
            title = ARMS[row["arm"]][1]
            shown = next(text for name, text in found.items() if name.split(" ref")[0] == title)
            assert shown == written(row["single"], row["single_low"], row["single_high"])

    @pytest.mark.parametrize("metric", ["balanced accuracy", "macro AUROC"])
    def test_differences(self, html: str, metric: str) -> None:
        pairs = source()[2]["pairs"].filter(metric=metric)
        rows = {row[0]: row[1:] for row in rows_of(html, f"{metric}: arm minus ViTAtt")[1:]}
        assert len(rows) == pairs.height == len(ARMS) - 1
        for one in pairs.iter_rows(named=True):
            difference = written(one["difference"], one["low"], one["high"])
            shown = rows[ARMS[one["arm"]][1]]
            assert shown[0].removeprefix("+") == difference
            assert shown[0].startswith("+") == (one["difference"] > 0)
            for text, p in zip(shown[1:3], (one["p"], one["p_holm"]), strict=True):
                assert text == ("< 0.001" if p < 0.001 else f"{p:.3f}")
            assert shown[3] == str(one["pairs"])

    @pytest.mark.parametrize("kind", ["sensitivity", "specificity", "AUROC"])
    def test_classes(self, html: str, kind: str) -> None:
        arms = source()[2]["arms"].filter(arm="vitatt", cases="all")
        title = f"{kind[0].upper()}{kind[1:]} of each class, all cases: value [95 % interval]"
        row = next(row for row in rows_of(html, title) if row[0] == "ViTAtt reference")
        assert row[1:] == [
            written(*arms.filter(metric=f"{kind}/{name}")["value", "low", "high"].row(0))
            for name in CLASSES
        ]

    def test_subgroups_small_ones_marked_not_hidden(self, html: str) -> None:
        scored = source()[2]["subgroups"].filter(attribute="fitspatrick", metric="macro AUROC")
        rows = rows_of(html, "By Fitzpatrick type")[1:]
        assert set(scored["small"]) == {True, False}
        assert rows == [
            [
                one["subgroup"] + (" small" if one["small"] else ""),
                str(one["n"]),
                str(one["groups"]),
                rows[number][3],
                written(one["value"], one["low"], one["high"]),
            ]
            for number, one in enumerate(scored.iter_rows(named=True))
        ]
        gap = (
            source()[2]["gaps"].filter(attribute="gender", metric="macro AUROC").row(0, named=True)
        )
        assert [
            "gender",
            "macro AUROC",
            f"{gap['gap']:.3f}",
            gap["highest"],
            gap["lowest"],
        ] in rows_of(html, "Largest gap between subgroups")


class TestWords:
    def test_first_three_experiments(self) -> None:
        section = sections()["First three experiments"]
        assert section.strong
        assert [row[0].text for row in section.tables[0].rows] == [
            "image only",
            "ViTAtt",
            "ViTAtt, HC-5",
        ]
        pairs = source()[2]["pairs"].filter(arm="image_only", metric="balanced accuracy")
        value = written(*pairs["difference", "low", "high"].row(0))
        assert f"image only minus ViTAtt: {value}" in section.points[0]
        assert "HC-5 minus ViTAtt" in section.points[1]

    def test_no_experiments_without_their_arms(self) -> None:
        facts = source()[0]
        assert experiments(facts)["all metadata"] == "vitatt"
        arms = {name: arm for name, arm in facts.arms.items() if name != "image_only"}
        assert experiments(dataclasses.replace(facts, arms=arms)) == {}

    def test_protocol_says_who_was_left_out_and_how_it_was_split(self) -> None:
        text = "\n".join(sections()["Protocol"].points)
        assert "7 of 127 labelled rows: 5 without their image, 2 with an image that cannot" in text
        assert "split into 3 outer folds" in text
        assert "chance is 0.167" in text
        assert "Seeds: 0, 1." in text
        assert "frozen; images of 224 × 224 pixels" in text

    def test_checks_with_outcome(self) -> None:
        section = sections()["Leaks checked"]
        assert "1 of them needs a note" in section.paragraphs[0]
        assert [[cell.text for cell in row] for row in section.tables[0].rows] == [
            ["ok", "a patient in two folds", "none of 90"],
            ["note", "missing anamnesis", "every such row is benign"],
        ]
        assert section.tables[0].highlighted == {1}

    def test_limits_come_from_the_data(self) -> None:
        counts = {"ACK": 500, "BCC": 500, "MEL": 12, "NEV": 500, "SCC": 500, "SEK": 99}
        facts, _, tables = source()
        facts = dataclasses.replace(facts, class_counts=counts, frozen=False)
        text = "\n".join(limits(facts, tables["arms"], tables["subgroups"]))
        assert "Few cases of MEL (12), SEK (99):" in text
        assert "frozen" not in text
        assert "4 arms were compared" in text
        assert "2 seeds per fold" in text
        assert "frozen" in "\n".join(sections()["Limits"].points)

    def test_answer_counts_what_is_clear(self) -> None:
        facts, predictions, tables = source()
        assert tables["pairs"].filter(arm="image_only")["difference"].max() < 0
        clear = pl.when(arm="image_only").then(0.01).otherwise(0.5)
        changed = {**tables, "pairs": tables["pairs"].with_columns(p_holm=clear)}
        question = report_sections(facts, predictions, changed)[0]
        assert question.title == "Question"
        assert question.paragraphs == ["Does metadata help?"]
        assert "1 of 3 other arms are significantly lower" in question.points[0]
        assert "2 do not differ significantly" in question.points[0]


class TestPage:
    def test_needs_nothing_from_elsewhere(self, html: str, parsed: Page) -> None:
        addresses = [
            str(attributes[name])
            for _, attributes in parsed.tags
            for name in ("src", "href", "srcset", "action", "data")
            if name in attributes
        ]
        assert addresses
        assert all(re.match(r"data:|#", address) for address in addresses)
        trusted = "".join(re.findall(r"<style>.*?</style>|<script>.*?</script>", html, re.S))
        assert not re.search(r"url\((?!data:)|@import|https?:|fetch\(|import\(", trusted)
        assert "default-src 'none'" in html

    def test_hostile_title_is_text(self, html: str, parsed: Page) -> None:
        assert "<b>" not in html
        assert any(row[:1] == [HOSTILE] for row in parsed.rows)

    def test_every_plot_is_described(self, parsed: Page) -> None:
        alts = [str(image["alt"]) for image in parsed.all("img")]
        kinds = [alt.split(":")[0].split(" of")[0] for alt in alts]
        assert kinds == [*["Forest plot"] * 3, "Critical-difference plot", "Reliability diagram"]
        assert all(len(alt) > 60 for alt in alts)

    def test_links_lead_to_sections(self, parsed: Page) -> None:
        places = {str(one["id"]) for one in parsed.all("section")}
        links = {str(one["href"]).removeprefix("#") for one in parsed.all("a")}
        assert links == places
        assert len(places) == 10


@pytest.fixture(scope="module")
def page(file: Path) -> Iterator[Any]:
    """The page in a browser; it must not complain."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        yield page
        assert complaints == []


CUT = """() => [...document.querySelectorAll('h1, h2, h3, p, li, dd, img, summary, pre')]
  .filter(one => {
    const box = one.getBoundingClientRect();
    const within = box.left >= 0 && box.right <= innerWidth;
    return box.width && (!within || one.scrollWidth > one.clientWidth + 1);
  })
  .map(one => one.outerHTML.slice(0, 80))"""
"""Elements outside tables of which a part is out of sight."""

CUT_CELLS = """() => [...document.querySelectorAll('.scroll')].flatMap(box => {
    box.scrollLeft = 1e6;
    const end = box.getBoundingClientRect().right + 1;
    return [...box.querySelectorAll('tr > *')]
      .filter(one => one.getBoundingClientRect().right > end || one.scrollWidth > one.clientWidth)
      .map(one => one.textContent);
  })"""
"""Cells that overflow, or cannot be scrolled into sight."""


class TestBrowser:
    @pytest.mark.parametrize("width", [1280, 400])
    def test_nothing_is_cut_and_the_page_does_not_scroll_sideways(
        self, page: Any, width: int
    ) -> None:
        page.set_viewport_size({"width": width, "height": 900})
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CUT) == []
        assert page.evaluate(CUT_CELLS) == []

    def test_every_plot_loads(self, page: Any) -> None:
        page.evaluate("Promise.all([...document.images].map(one => one.decode()))")
        sizes = page.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")
        assert len(sizes) == 5
        assert min(sizes) > 1000

    def test_tables_sort_by_mouse_and_keyboard(self, page: Any) -> None:
        table = page.locator(".sortable", has=page.locator("text='macro AUROC'")).nth(1)
        values = "all => all.map(row => Number(row.cells[3].dataset.value))"
        arms = source()[2]["arms"].filter(cases="all", metric="macro AUROC")["value"].to_list()
        table.locator("thead button").nth(3).click()
        assert table.locator("tbody tr").evaluate_all(values) == sorted(arms, reverse=True)
        table.locator("thead button").nth(3).focus()
        page.keyboard.press("Enter")
        assert table.locator("tbody tr").evaluate_all(values) == sorted(arms)
        assert table.locator("th").nth(3).get_attribute("aria-sort") == "ascending"
        table.locator("thead button").first.click()
        names = table.locator("tbody th").evaluate_all("all => all.map(one => one.dataset.value)")
        assert names == sorted(names, key=str.lower)
        assert table.locator("th[aria-sort]").count() == 1
