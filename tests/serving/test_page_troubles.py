"""The page when the network fails, the language changes, or the reader does not wait."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from tests.pages import chromium
from tests.serving.sites import Site, Visit, predictors, serving
from vitatt.serving.languages import languages

pytestmark = pytest.mark.long

ENGLISH, GERMAN = languages()["en"], languages()["de"]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    answers = {"one": {"age": "55", "itch": "True"}, "views": {"sex": "female"}}
    found: dict[str, Site] = {}
    running = []
    for kind, given in answers.items():
        models, images = predictors(tmp_path_factory.mktemp(kind), kind)
        running.append(serving(models))
        address, app = running[-1].__enter__()
        found[kind] = Site(address, app, images, given)
    yield found
    for one in running:
        one.__exit__(None, None, None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@contextmanager
def visiting(browser: Any, site: Site) -> Iterator[Visit]:
    """Visit a site; fails a test after which a script has failed."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en")
    visit = Visit(context.new_page(), site)
    visit.page.goto(site.address)
    yield visit
    context.close()
    assert [one for one in visit.complaints if "Failed to load resource" not in one] == []


def test_a_connection_that_fails_and_comes_again(browser: Any, sites: dict[str, Site]) -> None:
    with visiting(browser, sites["one"]) as reader:
        page = reader.page
        page.context.set_offline(True)
        page.click(".example >> nth=0")
        said = page.locator("#pictures-error")
        page.wait_for_selector("#pictures-error:not(:empty)")
        assert said.inner_text() == ENGLISH["no_answer"]
        page.locator(".file").first.set_input_files(reader.site.images[0])
        page.wait_for_function(
            "() => document.querySelector('#pictures-error').textContent.length > 40"
        )
        assert said.inner_text() == f"{ENGLISH['no_answer']} {ENGLISH['again']}"
        page.context.set_offline(False)
        reader.settled()  # without a change
        assert said.inner_text() == ""
        before = reader.chances()
        page.context.set_offline(True)
        reader.answer("itch", "True")
        page.wait_for_selector("#problem:not(:empty)")
        assert page.locator("#waiting").inner_text() == ENGLISH["stale"]
        page.context.set_offline(False)
        reader.settled()
        assert reader.chances() != before
        assert page.locator("#problem").inner_text() == ""


def test_a_picture_that_is_refused_is_sent_once(browser: Any, sites: dict[str, Site]) -> None:
    with visiting(browser, sites["one"]) as reader:
        wrong = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"no image"}
        reader.page.locator(".file").first.set_input_files(wrong)
        reader.page.wait_for_selector("#pictures-error:not(:empty)")
        reader.answer("itch", "True")
        reader.page.wait_for_timeout(300)
        assert len([one for one in reader.asked if one.endswith("/v1/cases")]) == 1


def test_an_example_that_comes_late(browser: Any, sites: dict[str, Site]) -> None:
    """The picture is that which was chosen last."""
    with visiting(browser, sites["one"]) as reader:
        page = reader.page
        page.evaluate(SLOW_EXAMPLE)
        page.click(".example >> nth=0")
        reader.upload()
        expected = reader.chances()
        page.wait_for_timeout(900)
        reader.settled()
        assert reader.chances() == expected
        assert len([one for one in reader.asked if one.endswith("/v1/cases")]) == 1


SLOW_EXAMPLE = """() => {
  const fetched = window.fetch;
  window.fetch = async (path, ...options) => {
    if (String(path).includes("example")) await new Promise(done => setTimeout(done, 600));
    return fetched(path, ...options);
  };
}"""


@pytest.mark.parametrize("kind", ["one", "views"])
def test_another_language_keeps_the_case(browser: Any, sites: dict[str, Site], kind: str) -> None:
    with visiting(browser, sites[kind]) as reader:
        page = reader.page
        reader.upload()
        reader.fill_in()
        page.select_option("#target", index=2)
        page.locator("#opacity").fill("20")
        reader.settled()
        before = reader.chances()
        given = {name: reader.field(name).input_value() for name in reader.site.answers}
        sent = [one for one in reader.asked if one.endswith("/v1/cases")]

        page.focus("nav a[lang=de]")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.documentElement.lang === 'de'")
        reader.settled()
        found = {name: tuple(values) for name, values in chances_in_german(page).items()}
        assert found == {name: tuple(values) for name, values in before.items()}
        assert given == {name: reader.field(name).input_value() for name in given}
        assert page.locator("#target").evaluate("one => one.selectedIndex") == 2
        assert page.locator("#opacity-text").inner_text() == "20\N{NO-BREAK SPACE}%"
        assert page.locator("#maps .photo").count() == len(reader.site.images)
        assert [one for one in reader.asked if one.endswith("/v1/cases")] == sent
        assert page.url.endswith("/?lang=de")
        assert page.evaluate("document.activeElement.lang") == "de"
        assert reader.axe() == []
        # Word by word, the page is that which is loaded in German.
        words = page.evaluate(WRITTEN_BY_THE_SERVER)
        other = page.context.new_page()
        other.goto(f"{reader.site.address}/?lang=de")
        assert words == other.evaluate(WRITTEN_BY_THE_SERVER)
        other.close()
        text = page.inner_text("body")
        for key in ("chances", "evidence_hint", "open_hint", "notice", "feature"):
            assert GERMAN[key] in text, key
        for key in ("chances", "evidence_hint", "open_hint", "notice"):
            assert ENGLISH[key] not in text, key
        reader.answer(next(iter(given)), "")
        reader.settled()
        page.click("nav a[lang=en]")
        page.wait_for_function("() => document.documentElement.lang === 'en'")
        reader.settled()
        assert ENGLISH["chances"] in page.inner_text("#chances")


WRITTEN_BY_THE_SERVER = """() => {
  const copy = document.documentElement.cloneNode(true);
  for (const one of copy.querySelectorAll("[data-written]")) one.replaceChildren();
  const words = [...copy.querySelectorAll("*")].flatMap(one =>
    ["alt", "aria-label", "aria-current", "placeholder", "lang"].map(n => one.getAttribute(n)));
  return [document.title, copy.querySelector("body").textContent, words];
}"""


def chances_in_german(page: Any) -> dict[str, list[float]]:
    found: list[tuple[str, list[str]]] = page.eval_on_selector_all(
        ".chances tbody tr",
        "rows => rows.map(row => [row.cells[0].firstChild.data.trim(),"
        " [...row.querySelectorAll('.number')].map(one => one.innerText)])",
    )
    return {
        name: [float(re.sub(r"[^\d,]", "", one).replace(",", ".")) for one in values]
        for name, values in found
    }


def test_another_language_before_a_picture(browser: Any, sites: dict[str, Site]) -> None:
    with visiting(browser, sites["one"]) as reader:
        page = reader.page
        page.click("nav a[lang=de]")
        page.wait_for_function("() => document.documentElement.lang === 'de'")
        assert page.locator("#waiting").inner_text() == GERMAN["waiting"]
        page.context.set_offline(True)
        page.click("nav a[lang=en]")
        page.wait_for_selector("#pictures-error:not(:empty)")
        assert page.locator("#pictures-error").inner_text() == GERMAN["no_answer"]
        assert page.evaluate("document.documentElement.lang") == "de"


def test_print_by_the_menu_of_the_browser(
    browser: Any, sites: dict[str, Site], tmp_path: Path
) -> None:
    if which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")

    def printed(page: Any) -> str:
        path = tmp_path / "page.pdf"
        path.write_bytes(page.pdf())
        words = ["pdftotext", "-layout", str(path), "-"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    with visiting(browser, sites["one"]) as reader:
        page = reader.page
        assert ENGLISH["not_ready"] in printed(page)
        reader.upload()
        reader.fill_in()
        text = printed(page)
        assert ENGLISH["notice"] in text
        for name, (value,) in reader.chances().items():
            assert name in text
            assert f"{value:.1f}%" in text
        page.evaluate(SLOW_MAP)
        reader.answer("itch", "False")
        page.wait_for_timeout(400)  # the bars are there, the map is not
        text = printed(page)
        assert ENGLISH["not_ready"] in text
        assert "%" not in text
        reader.settled()
        assert ENGLISH["not_ready"] not in printed(page)


SLOW_MAP = SLOW_EXAMPLE.replace("example", "explain").replace("600", "3000")


def test_all_is_recorded_for_one_of_two_models(browser: Any, tmp_path: Path) -> None:
    models, images = predictors(tmp_path, "two")
    with (
        serving(models) as (address, app),
        visiting(browser, Site(address, app, images, {"age": "50", "itch": "True"})) as reader,
    ):
        reader.upload()
        reader.fill_in()
        lines = reader.page.locator("#missing p").all_inner_texts()
        assert lines[0].startswith("Not recorded for first: ")
        assert lines[1:] == ["All that second asks for is recorded."]
