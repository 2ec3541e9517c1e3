from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.pages import Page, chromium
from vitatt.explain.cases import ExplainedCase
from vitatt.plotting.heatmap import heatmap, overlay
from vitatt.reports.explanations.page import write_report
from vitatt.reports.section import Plot, Section, Table, plain_table

CLASSES = ["ACK", "BCC", "MEL", "NEV"]
LABELS = [f"feature {index}" for index in range(11)]
HOSTILE = '</script><b onclick="x">\'}; url(http://evil.test)'


def make_case(index: int) -> ExplainedCase:
    """Every fifth of unknown diagnosis; case 2 without metadata, case 7 without a share."""
    rng = np.random.default_rng(index)
    chances = rng.dirichlet(np.full(len(CLASSES), 0.6))
    predicted = CLASSES[int(chances.argmax())]
    truth = None if index % 5 == 4 else predicted if index % 3 else CLASSES[index % 4]
    maps = {"attention": rng.random((7, 7)), f"TMME: predicted {predicted}": rng.random((7, 7))}
    relevance = {f"predicted {predicted}": rng.random(11)}
    if truth not in (None, predicted):
        maps[f"TMME: true {truth}"] = rng.random((7, 7))
        relevance[f"true {truth}"] = rng.random(11)
    if index == 3:
        maps["attention"] = np.ones((7, 7))
    bare = index == 2
    return ExplainedCase(
        case_id=HOSTILE if index == 6 else f"PAT_{index}",
        image=rng.integers(90, 200, (60 + index, 80, 3), dtype=np.uint8),
        maps=maps,
        probabilities=dict(zip(CLASSES, map(float, chances), strict=True)),
        true_class=truth,
        feature_labels=() if bare else LABELS,
        feature_values=() if bare else [None if rng.random() < 0.2 else "4 mm" for _ in LABELS],
        feature_relevance=None if bare else relevance,
        image_share=None if bare or index == 7 else float(rng.random()),
    )


CASES = [make_case(index) for index in range(24)]
SECTION = Section(
    "Metrics",
    ["All <test> cases."],
    tables=[
        plain_table(
            "Metrics",
            ("metric", "value", "n", "note"),
            [
                ("balanced accuracy", 0.71234, 166, None),
                ("AUROC", float("nan"), 12, "95 % of cases"),
            ],
        )
    ],
    plots=[Plot(np.zeros((40, 900, 3), dtype=np.uint8), "a black bar")],
)


BLACK = np.zeros((4, 6, 3), dtype=np.uint8)


def tables(*content: Table) -> Section:
    return Section("A", tables=content)


def verdict(case: ExplainedCase) -> str:
    if case.true_class is None:
        return "unknown"
    return "right" if case.true_class == case.predicted_class else "wrong"


def write(path: Path, cases: list[ExplainedCase] = CASES, **changes: Any) -> str:
    settings = {"title": "Report", "facts": {"method": "TMME"}, "sections": [SECTION]} | changes
    write_report(path, iter(cases), **settings)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    write(path)
    return path


@pytest.fixture(scope="module")
def html(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(html: str) -> Page:
    return Page(html)


def decode(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.split(",", 1)[1])))


class TestOverlay:
    def test_is_what_heatmap_lays_over_an_image(self) -> None:
        rng = np.random.default_rng(0)
        image = rng.integers(0, 255, (60, 90, 3), dtype=np.uint8)
        relevance = rng.random((7, 9))
        plot = overlay(relevance, (60, 90)).astype(float)
        alpha = 0.6 * plot[..., 3:] / 255
        by_hand = image + alpha * (plot[..., :3] - image)
        np.testing.assert_allclose(by_hand, heatmap(image, relevance), atol=2)

    def test_each_alpha_has_one_colour(self) -> None:
        pixels = overlay(np.random.default_rng(1).random((5, 5)), (40, 40)).reshape(-1, 4)
        assert len(np.unique(pixels, axis=0)) == len(np.unique(pixels[:, 3]))

    @pytest.mark.parametrize("level", [0.0, 3.0])
    def test_constant_map_is_transparent(self, level: float) -> None:
        assert not overlay(np.full((4, 4), level), (20, 20))[..., 3].any()

    def test_refuses_negative_relevance(self) -> None:
        with pytest.raises(ValueError, match="not to be negative"):
            overlay(np.array([[1.0, -1.0]]), (8, 8))


class TestContent:
    def test_needs_nothing_from_elsewhere(self, html: str, parsed: Page) -> None:
        addresses = [
            attributes[name]
            for _, attributes in parsed.tags
            for name in ("src", "href", "srcset", "action", "data")
            if name in attributes
        ]
        assert addresses
        assert all(re.match(r"data:|#", str(address)) for address in addresses)
        trusted = "".join(re.findall(r"<style>.*?</style>|<script>.*?</script>", html, re.S))
        trusted += "".join(str(attributes.get("style", "")) for _, attributes in parsed.tags)
        assert not re.search(r"url\((?!data:)|@import|https?:|fetch\(|import\(", trusted)
        assert "default-src 'none'" in html

    def test_language_title_and_facts(self, html: str, parsed: Page) -> None:
        assert parsed.all("html") == [{"lang": "en"}]
        assert "<title>Report</title>" in html
        assert "<dt>method</dt><dd>TMME</dd>" in html

    def test_section_has_text_plot_and_table(self, html: str, parsed: Page) -> None:
        assert "All &lt;test&gt; cases." in html
        plot = next(image for image in parsed.all("img") if image["alt"] == "a black bar")
        assert decode(str(plot["src"])).size == (900, 40)
        assert ["balanced accuracy", "0.712", "166", "–"] in parsed.rows
        assert ["AUROC", "–", "12", "95 % of cases"] in parsed.rows

    def test_hostile_id_is_text(self, html: str, parsed: Page) -> None:
        assert "<b onclick" not in html
        assert not any("onclick" in attributes for _, attributes in parsed.tags)
        assert sum(row[:1] == [HOSTILE] for row in parsed.rows) == 1
        assert len(parsed.all("script")) == 1

    def test_table_has_a_row_a_case(self, parsed: Page) -> None:
        for case in (CASES[0], CASES[1]):
            top = LABELS[int(next(iter((case.feature_relevance or {}).values())).argmax())]
            row = next(row for row in parsed.rows if row[:1] == [case.case_id])
            assert row[1:3] == [case.true_class, case.predicted_class]
            assert row[3].endswith(verdict(case))
            assert row[4] == f"{case.probability:.2f}"
            assert row[6].startswith(top)
        assert next(row for row in parsed.rows if row[:1] == ["PAT_2"])[5:] == ["–", "–"]
        assert next(row for row in parsed.rows if row[:1] == ["PAT_4"])[1] == "–"

    def test_every_case_has_image_maps_and_numbers(self, html: str, parsed: Page) -> None:
        assert len(parsed.all("article")) == len(CASES)
        overlays = [image for image in parsed.all("img") if image.get("class") == "overlay"]
        # One more for the scale, one fewer for the constant map.
        assert len(overlays) == sum(len(case.maps) for case in CASES)
        assert html.count(">no highlight<") == 1
        assert html.count("no metadata features") == 1
        assert html.count("image and metadata shares: not defined") == 1
        assert "not recorded" in html

    def test_map_and_image_are_those_of_the_case(self, html: str) -> None:
        article = html[html.index('id="case-1"') : html.index('id="case-2"')]
        image = decode(re.findall(r"url\((data:[^)]*)\)", article)[0])
        assert image.size == (80, 60)
        assert np.abs(np.asarray(image, float) - CASES[0].image).mean() < 25  # JPEG of noise
        addresses = re.findall(r'class="overlay" src="([^"]*)"', article)
        for address, relevance in zip(addresses, CASES[0].maps.values(), strict=True):
            rgba = np.asarray(decode(address).convert("RGBA"))
            np.testing.assert_array_equal(rgba, overlay(relevance, rgba.shape[:2]))

    def test_large_images_are_reduced(self, tmp_path: Path) -> None:
        large = dataclasses.replace(CASES[0], image=np.zeros((2000, 3000, 3), dtype=np.uint8))
        html = write(tmp_path / "report.html", [large])
        assert decode(re.findall(r"url\((data:[^)]*)\)", html)[0]).size == (420, 280)

    def test_one_case_without_maps_facts_or_sections(self, tmp_path: Path) -> None:
        case = dataclasses.replace(CASES[2], maps={})
        html = write(tmp_path / "report.html", [case], facts={}, sections=[])
        assert "showing 1 of 1" in html


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"cases": []}, "at least one case"),
            ({"cases": [CASES[0], CASES[1], CASES[0]]}, "each case once.*PAT_0"),
            ({"sections": [tables(plain_table("t", ("a", "b"), [("x",)]))]}, "2 cells.*'t'"),
            ({"sections": [tables(plain_table("t", (), [("x",)]))]}, "0 cells.*'t'"),
            ({"sections": [Section("A", plots=[Plot(BLACK, "")])]}, "`alt`"),
            ({"sections": [Section("A", plots=[Plot(np.zeros((4, 4)), "x")])]}, "`pixels`"),
            ({"sections": [Section("Cases")]}, "different headings"),
        ],
    )
    def test_malformed_report(self, tmp_path: Path, changes: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            write(tmp_path / "report.html", **changes)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"image": np.zeros((4, 4), dtype=np.uint8)}, "`image`"),
            ({"image_share": 1.2}, "`image_share`.*PAT_0"),
            ({"probabilities": {"ACK": 1.5}}, "`ACK`.*1.5"),
            ({"maps": {"attention": np.array([[-1.0, 1.0]])}}, "attention.*negative"),
            ({"maps": {"attention": np.ones(4)}}, "attention.*two dimensions"),
            ({"feature_values": ["yes"]}, "11 feature labels"),
            ({"feature_relevance": {"predicted": np.ones(4)}}, r"shape \(11,\)"),
        ],
    )
    def test_malformed_case(self, tmp_path: Path, changes: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            write(tmp_path / "report.html", [dataclasses.replace(CASES[0], **changes)])

    def test_old_report_stays_where_the_new_one_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "report.html"
        path.write_text("old")

        def fail(*args: object) -> None:
            raise OSError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", fail)
            with pytest.raises(OSError, match="disk full"):
                write(path)
        assert path.read_text() == "old"
        assert "PAT_1" in write(path)
        assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    """The report in a browser; fails a test after which the page has complained."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    yield page
    page.close()
    assert complaints == []


def shown(page: Any) -> list[str]:
    """Ids of the visible cases, in the order of the page; the count and the table must agree."""
    ids = page.eval_on_selector_all(
        "article", "all => all.filter(one => one.offsetHeight).map(one => one.dataset.id)"
    )
    assert page.text_content("#count") == f"showing {len(ids)} of {len(CASES)}"
    assert sorted(first_column(page)) == sorted(ids)
    return ids


def first_column(page: Any) -> list[str]:
    return page.eval_on_selector_all(
        "#table tbody tr",
        "all => all.filter(one => one.offsetHeight).map(one => one.cells[0].dataset.value)",
    )


def ids(wanted: Any) -> set[str]:
    return {case.case_id for case in CASES if wanted(case)}


@pytest.mark.long
class TestBrowser:
    def test_filters_hide_cases_and_the_count_follows(self, page: Any) -> None:
        assert len(shown(page)) == len(CASES)
        page.select_option("[name=truth]", "BCC")
        assert set(shown(page)) == ids(lambda case: case.true_class == "BCC")
        page.select_option("[name=predicted]", "BCC")
        wanted = ids(lambda case: (case.true_class, case.predicted_class) == ("BCC", "BCC"))
        assert set(shown(page)) == wanted
        page.click("#clear")
        assert len(shown(page)) == len(CASES)

    @pytest.mark.parametrize("wanted", ["right", "wrong", "unknown"])
    def test_filter_by_verdict(self, page: Any, wanted: str) -> None:
        page.select_option("[name=verdict]", wanted)
        kept = shown(page)
        assert kept
        assert set(kept) == ids(lambda case: verdict(case) == wanted)

    def test_filter_by_confidence(self, page: Any) -> None:
        page.fill("[name=least]", "0.5")
        page.fill("[name=most]", "0.75")
        kept = shown(page)
        assert 0 < len(kept) < len(CASES)
        assert set(kept) == ids(lambda case: 0.495 <= case.probability < 0.755)
        page.fill("[name=least]", "0.8")
        assert shown(page) == []
        assert page.is_visible("#none")
        page.fill("[name=least]", "")
        page.fill("[name=most]", "")
        assert len(shown(page)) == len(CASES)

    def test_search_by_id(self, page: Any) -> None:
        page.fill("[name=text]", "pat_2")
        page.press("[name=text]", "Enter")  # must not send the form
        assert shown(page) == ["PAT_2", "PAT_20", "PAT_21", "PAT_22", "PAT_23"]

    def test_sort_of_cases(self, page: Any) -> None:
        by_id = {case.case_id: case for case in CASES}
        assert shown(page)[1:4] == ["PAT_0", "PAT_1", "PAT_2"]  # not PAT_10 after PAT_1
        for name, sign in (("ascending", 1), ("descending", -1)):
            page.select_option("[name=order]", name)
            numbers = [sign * by_id[one].probability for one in shown(page)]
            assert numbers == sorted(numbers)
        page.select_option("[name=order]", "wrong")
        verdicts = [verdict(by_id[one]) for one in shown(page)]
        assert verdicts == sorted(verdicts, key=["wrong", "right", "unknown"].index)

    def test_slider_fades_all_maps(self, page: Any) -> None:
        opacities = "all => [...new Set(all.map(one => getComputedStyle(one).opacity))]"
        assert page.eval_on_selector_all(".overlay", opacities) == ["0.6"]
        page.fill("#fade", "25")
        assert page.eval_on_selector_all(".overlay", opacities) == ["0.25"]
        page.focus("#fade")
        page.keyboard.press("Home")
        assert page.eval_on_selector_all(".overlay", opacities) == ["0"]
        assert page.text_content("#fade-text") == "0 %"

    def test_table_sorts_by_each_column(self, page: Any) -> None:
        by_id = {case.case_id: case for case in CASES}
        page.click("#table th:nth-child(5) button")
        numbers = [by_id[one].probability for one in first_column(page)]
        assert numbers == sorted(numbers, reverse=True)
        assert page.get_attribute("#table th:nth-child(5)", "aria-sort") == "descending"
        for reverse in (True, False):
            page.click("#table th:nth-child(6) button")
            shares = [by_id[one].image_share for one in first_column(page)]
            assert shares[-2:] == [None, None]
            assert shares[:-2] == sorted(shares[:-2], reverse=reverse)  # type: ignore[type-var]
        assert page.locator("#table th[aria-sort]").count() == 1

    @pytest.mark.parametrize("width", [1280, 400])
    def test_row_leads_to_its_case_by_keyboard(self, page: Any, width: int) -> None:
        page.set_viewport_size({"width": width, "height": 800})
        page.focus("#table a >> text=PAT_20")
        page.keyboard.press("Enter")
        heading = page.locator("article h3", has_text="PAT_20")
        page.wait_for_selector("article:focus >> text=PAT_20")
        box = heading.bounding_box()
        covered = page.locator(".bar-of-maps").bounding_box()
        assert covered["y"] + covered["height"] <= box["y"] < 800

    def test_address_of_a_hidden_case_shows_it(self, page: Any) -> None:
        page.fill("[name=text]", "PAT_1")
        page.evaluate("location.hash = '#case-21'")
        page.wait_for_selector("#case-21")
        assert len(shown(page)) == len(CASES)

    def test_controls_have_names(self, page: Any) -> None:
        for control in page.locator("input, select, button").all():
            name = "one => one.ariaLabel || one.labels?.[0]?.textContent || one.textContent"
            assert control.evaluate(name).strip()

    @pytest.mark.parametrize("width", [1280, 400])
    def test_page_does_not_scroll_sideways(self, page: Any, width: int) -> None:
        page.set_viewport_size({"width": width, "height": 800})
        page.add_style_tag(content=".case { content-visibility: visible !important }")
        sizes = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert sizes[0] <= sizes[1] == width

    def test_every_plot_loads(self, page: Any) -> None:
        page.evaluate("for (const one of document.images) one.loading = 'eager'")
        page.evaluate("Promise.all([...document.images].map(one => one.decode()))")
