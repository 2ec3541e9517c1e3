"""The page in Chromium: what a person does with it, by mouse and by keyboard."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.pages import chromium
from tests.serving.sites import KINDS, RARE, Site, Visit, photo, predictors, serving

pytestmark = pytest.mark.long

ANSWERS = {
    "one": {"age": "55", "itch": "True", "region": "NOSE"},
    "two": {"age": "55", "itch": "True", "region": "NOSE"},
    "views": {"sex": "female", "elevation": "nodular"},
}
CHANGED = {"one": ("region", "BACK"), "two": ("region", "BACK"), "views": ("elevation", "flat")}
SIZES = {1280: 800, 400: 800}

Browse = Callable[..., Any]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    found: dict[str, Site] = {}
    running = []
    for kind in KINDS + RARE:
        models, images = predictors(tmp_path_factory.mktemp(kind), kind)
        running.append(serving(models))
        address, app = running[-1].__enter__()
        found[kind] = Site(address, app, images, ANSWERS.get(kind, {}))
    yield found
    for one in running:
        one.__exit__(None, None, None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def visit(browser: Any, sites: dict[str, Site]) -> Browse:
    """Visit a site; fails a test after which the page has complained or asked another server."""

    @contextmanager
    def open_page(kind: str, width: int = 1280, **options: Any) -> Iterator[Visit]:
        context = browser.new_context(
            viewport={"width": width, "height": SIZES.get(width, 900)}, **options
        )
        visit = Visit(context.new_page(), sites[kind])
        visit.page.goto(sites[kind].address)
        yield visit
        context.close()
        assert visit.complaints == []
        assert {one for one in visit.asked if not one.startswith(sites[kind].address)} <= {
            one for one in visit.asked if one.startswith(("blob:", "data:"))
        }

    return open_page


@pytest.mark.parametrize("width", list(SIZES))
@pytest.mark.parametrize("kind", KINDS)
def test_a_case(visit: Browse, browser: Any, kind: str, width: int, tmp_path: Path) -> None:
    with visit(kind, width) as reader:
        page = reader.page
        assert reader.axe() == []
        assert page.locator("#why").is_hidden()
        reader.upload()
        alone = reader.chances()
        assert page.locator("#evidence table").count() == 0
        reader.fill_in()
        filled = reader.chances()
        assert filled != alone
        models = 2 if kind == "two" else 1
        assert all(len(values) == models for values in filled.values())
        for number in range(models):
            assert sum(values[number] for values in filled.values()) == pytest.approx(100, abs=0.5)
        means = [sum(values) for values in filled.values()]
        assert means == sorted(means, reverse=True)
        assert "Not a medical device" in page.locator("#result .notice").inner_text()
        assert "Not recorded" in page.locator("#missing").inner_text()

        # why
        assert page.locator("#maps .photo").count() == len(reader.site.images)
        assert page.locator("#maps .overlay").count() >= 1
        alt = page.locator("#maps .overlay").first.get_attribute("alt")
        assert re.search(r"strongest (at the|in the middle)", alt), alt
        rows = reader.rows("#evidence table")
        shown = {reader.field(name).evaluate(SHOWN) for name in reader.site.answers}
        assert {row[1] for row in rows} == shown
        sizes = [abs(float(row[2].split()[-1].replace("−", "-"))) for row in rows]
        assert sizes == sorted(sizes, reverse=True)
        for row in rows:
            way, value = row[2].split()
            assert {"for": "+", "against": "-"}.get(way, value[0]) == value[0]

        # why this and not that
        first, second = list(filled)[:2]
        caption = page.locator("#evidence caption")
        assert caption.inner_text() == f"What speaks for {first} and against it" or kind == "two"
        before = page.locator("#maps .overlay").first.get_attribute("src")
        page.select_option("#target", label=second)
        reader.settled()
        assert caption.inner_text() == f"What speaks for {second} and against it"
        page.select_option("#contrast", label=first)
        reader.settled()
        assert caption.inner_text() == f"What speaks for {second} rather than {first}"
        assert page.locator("#maps .overlay").first.get_attribute("src") != before
        page.select_option("#target", label=first)
        assert page.locator("#contrast").input_value() == "", "a class is not compared with itself"
        reader.settled()
        page.locator("#opacity").fill("20")
        overlay = page.locator("#maps .overlay").first
        assert overlay.evaluate("one => getComputedStyle(one).opacity") == "0.2"

        # what if
        reader.answer(*CHANGED[kind])
        reader.settled()
        changed = reader.chances()
        assert changed != filled
        marks = page.locator(".chances .mark").count()
        assert marks > 0
        page.select_option("#target", "")
        reader.settled()
        assert page.locator(".chances .mark").count() == marks, "no answer has changed"

        # compare
        if kind == "two":
            assert any(values[0] != values[1] for values in changed.values())
            assert "used by first only" in page.locator(".fields").inner_text()
            page.select_option("#model", "second")
            reader.settled()
            assert {row[0] for row in reader.rows("#evidence table")} == {"Age", "Itches"}

        # what to ask next
        questions = page.locator("#questions li")
        if questions.count():
            name = questions.first.locator("strong").inner_text()
            questions.first.locator("button").click()
            label = page.evaluate("document.activeElement.labels[0].textContent")
            assert label.startswith(name)

        assert reader.axe() == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        with page.expect_download() as downloading:
            page.click("#save")
        saved = tmp_path / "case.html"
        downloading.value.save_as(saved)
        check_saved(browser, saved, reader)


SHOWN = """one => one.selectedOptions
  ? one.selectedOptions[0].text : `${one.value} ${one.dataset.unit}`"""


def check_saved(browser: Any, path: Path, reader: Visit) -> None:
    """A saved case has everything, and needs nothing else."""
    page = browser.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(path.as_uri())
    text = page.inner_text("body")
    assert "Not a medical device" in text
    for name, values in reader.chances().items():
        assert name in text
        assert all(f"{value:.1f}%" in text for value in values)
    for row in reader.rows("#evidence table"):
        assert all(part in text for part in row[:2])
    for model in reader.site.app.state.server.models.values():
        assert model.name in text
        assert model.predictor.spec.title in text
    assert "not recorded" in text
    pictures = page.eval_on_selector_all(
        "img", "all => all.map(one => one.complete && one.naturalWidth > 0)"
    )
    assert all(pictures)
    assert len(pictures) >= 2 * len(reader.site.images)
    assert [one for one in asked if not one.startswith(("file:", "data:"))] == []
    assert complaints == []
    assert "<script" not in path.read_text(encoding="utf-8")
    page.close()


def test_the_record_is_what_is_printed(visit: Browse) -> None:
    with visit("views") as reader:
        reader.upload()
        reader.fill_in()
        reader.page.evaluate("window.print = () => { window.printed = true }")
        reader.page.click("#print")
        reader.page.wait_for_function("window.printed")
        reader.page.emulate_media(media="print")
        assert reader.page.locator("#record").is_visible()
        assert not reader.page.locator("header.top").is_visible()
        assert not reader.page.locator("#case").is_visible()
        assert reader.page.locator("#record img").count() >= 4
        assert len(reader.page.pdf()) > 10_000
        reader.page.emulate_media(media="screen")
        assert reader.page.locator("#case").is_visible()


def test_what_if_is_fast(visit: Browse, capsys: pytest.CaptureFixture[str]) -> None:
    """From the change of an answer to the bars that are drawn."""
    with visit("one") as reader:
        reader.upload()
        reader.fill_in()
        times = [
            reader.page.evaluate(UNTIL_BARS, value)
            for value in ("False", "True", "", "False", "True", "")
        ]
        reader.settled()
    with capsys.disabled():
        shown = ", ".join(f"{one:.0f}" for one in times)
        print(f"\nfrom change to bars: {shown} ms, median {statistics.median(times):.0f} ms")
    assert statistics.median(times) < 300


UNTIL_BARS = """value => new Promise(resolve => {
  const start = performance.now();
  new MutationObserver((changes, observer) => {
    observer.disconnect();
    requestAnimationFrame(() => resolve(performance.now() - start));
  }).observe(document.getElementById("chances"), { childList: true });
  const field = document.querySelector('[data-feature="itch"]');
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
})"""


def test_the_last_of_several_changes_wins(visit: Browse) -> None:
    with visit("one") as reader:
        reader.upload()
        reader.answer("itch", "False")
        reader.settled()
        expected = reader.chances()
        reader.answer("itch", "True")
        reader.settled()
        assert reader.chances() != expected
        reader.page.evaluate(SLOW_FIRST)
        reader.answer("itch", "")
        reader.answer("itch", "False")
        reader.page.wait_for_timeout(900)
        reader.settled()
        assert reader.chances() == expected


SLOW_FIRST = """() => {
  const fetched = window.fetch;
  let first = true;
  window.fetch = async (...given) => {
    const wait = first ? 600 : 0;
    first = false;
    const answer = await fetched(...given);
    await new Promise(resolve => setTimeout(resolve, wait));
    return answer;
  };
}"""


@pytest.mark.parametrize("kind", KINDS)
def test_by_keyboard(visit: Browse, kind: str) -> None:
    with visit(kind) as reader:
        page = reader.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        seen = tab_to(page, "one => one.matches('.zone .file')")
        with page.expect_file_chooser() as choosing:
            page.keyboard.press("Space")
        choosing.value.set_files(reader.site.images[0])
        reader.settled()
        for example in range(2):
            tab_to(page, f"one => one.matches('.example[data-number=\"{example}\"]')")
        page.keyboard.press("Enter")
        reader.settled()
        before = reader.chances()
        select = next(name for name in reader.site.answers if name != "age")
        tab_to(page, f"one => one.dataset.feature === '{select}'")
        page.keyboard.press("ArrowDown")
        reader.settled()
        assert reader.chances() != before
        tab_to(page, "one => one.id === 'target'")
        page.keyboard.press("ArrowDown")
        tab_to(page, "one => one.id === 'contrast'")
        page.keyboard.press("End")
        reader.settled()
        assert " rather than " in page.locator("#evidence caption").inner_text()
        tab_to(page, "one => one.id === 'opacity'")
        page.keyboard.press("Home")
        assert page.locator("#opacity-text").inner_text() == "0%"
        tab_to(page, "one => one.matches('#questions button')")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.matches('.answer')")
        tab_to(page, "one => one.id === 'save'")
        with page.expect_download():
            page.keyboard.press("Enter")
        # Every control can be reached, in the order of the page, with a visible focus.
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        controls = page.eval_on_selector_all(
            "a, button, input, select",
            "all => all.filter(one => one.checkVisibility()).map((one, n) => one.dataset.n = n)",
        )
        tab_to(page, "one => one.matches('.skip')")
        seen = [page.evaluate("document.activeElement.dataset.n")]
        for _ in controls[1:]:
            page.keyboard.press("Tab")
            assert page.evaluate(OUTLINE), page.evaluate("document.activeElement.outerHTML")
            seen.append(page.evaluate("document.activeElement.dataset.n"))
        assert sorted(map(int, seen)) == controls


OUTLINE = """() => {
  const one = document.activeElement;
  const framed = one.matches(".choose input") ? one.parentElement : one;
  return getComputedStyle(framed).outlineStyle !== "none";
}"""


def tab_to(page: Any, test: str) -> None:
    """Press Tab until what is focused passes a test."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate(f"({test})(document.activeElement)"):
            return
    raise AssertionError(f"Tab does not lead to {test}")


def test_what_a_model_lacks_is_said(visit: Browse) -> None:
    with visit("mean") as reader:
        reader.upload()
        assert "averages several networks" in reader.page.locator("#maps").inner_text()
        assert reader.page.locator("#map-tools").is_hidden()
        reader.answer("age", "40")
        reader.settled()
        assert reader.rows("#evidence table")
        with reader.page.expect_download():
            reader.page.click("#save")
    with visit("bare") as reader:
        reader.upload()
        page = reader.page
        assert page.locator(".answer").count() == 0
        assert "uses the picture alone" in page.locator("#case").inner_text()
        assert "All that the model asks for" in page.locator("#missing").inner_text()
        assert "No answer yet" in page.locator("#evidence").inner_text()
        assert "Every question has an answer" in page.locator("#questions").inner_text()
        assert page.locator("#maps .photo").count() == 1
        assert reader.axe() == []


def test_axe_would_find_a_fault(visit: Browse) -> None:
    with visit("one") as reader:
        reader.page.evaluate("document.getElementById('clear').textContent = ''")
        reader.page.evaluate("document.getElementById('answers-title').style.color = '#ddd'")
        found = " ".join(reader.axe())
        assert "button-name" in found
        assert "color-contrast" in found


def test_errors_are_said_where_they_are(visit: Browse, tmp_path: Path) -> None:
    with visit("one") as reader:
        page = reader.page
        broken = tmp_path / "broken.jpg"
        broken.write_bytes(b"no image")
        page.locator(".file").first.set_input_files(broken)
        page.wait_for_selector("#pictures-error:not(:empty)")
        assert "to be an image" in page.locator("#pictures-error").inner_text()
        reader.upload()
        assert page.locator("#pictures-error").inner_text() == ""
        reader.answer("age", "999")
        page.wait_for_selector('[data-feature="age"][aria-invalid="true"]')
        error = page.locator(".field .problem:not(:empty)")
        assert "'age' in the answers" in error.inner_text()
        ids = reader.field("age").get_attribute("aria-describedby").split()
        assert error.get_attribute("id") in ids
        assert error.get_attribute("role") == "alert"
        assert "before the error" in page.locator("#waiting").inner_text()
        assert reader.axe() == []
        assert page.locator("#save").is_disabled(), "answers and result do not belong together"
        reader.answer("age", "60")
        reader.settled()
        assert page.locator('[aria-invalid="true"]').count() == 0
        assert error.count() == 0
        assert page.locator("#save").is_enabled()
        assert page.locator("#waiting").is_hidden()
        # Chromium itself writes a line for every answer of 4xx.
        assert all("Failed to load resource" in one for one in reader.complaints)
        assert len(reader.complaints) == 2
        reader.complaints.clear()


def test_a_forgotten_case_is_sent_again(visit: Browse) -> None:
    with visit("one") as reader:
        reader.upload()
        before = reader.chances()
        cases = reader.site.app.state.server.cases
        for name in list(cases._cases):
            cases.drop(name)
        reader.answer("itch", "True")
        reader.settled()
        assert reader.chances() != before
        assert [one for one in reader.complaints if "404" not in one] == []
        reader.complaints.clear()


def test_removing_a_picture_forgets_it(visit: Browse) -> None:
    with visit("views") as reader:
        reader.upload()
        both = reader.chances()
        cases = reader.site.app.state.server.cases
        kept = len(cases)
        reader.page.locator(".remove").first.click()
        reader.page.wait_for_timeout(200)
        reader.settled()
        assert reader.chances() != both
        assert len(cases) == kept
        reader.page.locator(".remove").nth(1).click()
        reader.page.wait_for_selector("#waiting:visible")
        assert reader.page.locator("#chances table").count() == 0
        reader.page.wait_for_timeout(300)
        assert len(cases) == kept - 1


def test_leaving_the_page_forgets_the_case(visit: Browse) -> None:
    with visit("one") as reader:
        reader.upload()
        cases = reader.site.app.state.server.cases
        kept = len(cases)
        reader.page.goto("about:blank")
        reader.page.wait_for_timeout(500)
        assert len(cases) == kept - 1


def test_pictures_come_by_drop_paste_and_camera(visit: Browse, tmp_path: Path) -> None:
    with visit("views") as reader:
        page = reader.page
        for way, zone in (("drop", 1), ("paste", 0)):
            page.evaluate(GIVE, {"way": way, "zone": zone})
            reader.settled()
            assert page.locator(".preview:visible").count() == 1 + (way == "paste")
        assert page.locator("#maps figure").count() == 2
        assert page.locator('.camera input[capture="environment"]').count() == 2
    with visit("one", 400, has_touch=True, is_mobile=True) as reader:
        assert reader.page.locator(".camera").is_visible()


GIVE = """async ({ way, zone }) => {
  const blob = await (await fetch("/static/example-0-0.jpg")).blob();
  const data = new DataTransfer();
  data.items.add(new File([blob], "one.jpg", { type: "image/jpeg" }));
  const [name, Made, field] = way === "drop"
    ? ["drop", DragEvent, "dataTransfer"] : ["paste", ClipboardEvent, "clipboardData"];
  const target = way === "drop" ? document.querySelectorAll(".zone")[zone] : document.body;
  const event = new Made(name, { bubbles: true, cancelable: true, [field]: data });
  target.dispatchEvent(event);
}"""


@pytest.mark.parametrize("name", ["turned.jpg", "page.tiff"])
def test_previews_are_upright_in_every_format(visit: Browse, name: str, tmp_path: Path) -> None:
    """Chromium shows no TIFF: the server shows how it reads it."""
    with visit("one") as reader:
        image = photo(tmp_path / name, orientation=6)
        reader.page.locator(".file").first.set_input_files(image)
        reader.settled()
        reader.page.wait_for_function(
            "document.querySelector('.preview').complete"
            " && document.querySelector('.preview').naturalWidth > 0"
            " && [...document.querySelectorAll('#maps .photo')].every(one => one.naturalWidth > 0)"
        )
        shape = reader.page.eval_on_selector(
            ".preview", "one => [one.naturalWidth, one.naturalHeight]"
        )
        if name == "turned.jpg":
            assert shape == [40, 60]
        else:
            assert shape[0] == shape[1]
            assert reader.page.locator(".zone .hint").is_hidden()
            assert "As the model reads it" in reader.page.locator(".zone .as-read").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_german_in_both_colour_schemes(visit: Browse, scheme: str) -> None:
    with visit("two", locale="de-AT", color_scheme=scheme, reduced_motion="reduce") as reader:
        page = reader.page
        assert page.get_attribute("html", "lang") == "de"
        reader.upload()
        reader.answer("age", "55,5")
        reader.settled()
        assert page.locator("#result-title").inner_text() == "Ergebnis"
        assert re.search(r"\d,\d\s%", page.locator("#chances").inner_text())
        assert "ja" in reader.field("itch").inner_text()
        assert reader.axe() == []
        assert page.eval_on_selector(".bar", "one => getComputedStyle(one).transitionDuration") in (
            "0s",
            "none",
        )
        page.click("nav a[lang=en]")
        page.wait_for_selector("html[lang=en]")


def test_examples_need_no_upload(visit: Browse) -> None:
    with visit("views", 1920) as reader:
        reader.page.click(".example >> nth=1")
        reader.settled()
        assert reader.page.locator(".preview:visible").count() == 2
        for width in (1920, 320):
            reader.page.set_viewport_size({"width": width, "height": 700})
            assert reader.page.evaluate("document.documentElement.scrollWidth") <= width
