"""A study in Chromium: people click through it, while the server is killed and pages are loaded."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pages import chromium
from tests.reader_study.serving.conftest import OPERATOR_TOKEN, Clocks, make_study
from tests.reader_study.serving.people import Clicked, Person, Server, served, write_tokens
from tests.serving.sites import running
from tests.serving.test_page import tab_to
from vitatt.reader_study.event_log import EventLog
from vitatt.reader_study.evidence_mask import decode_mask
from vitatt.reader_study.log_reading import read_log
from vitatt.reader_study.readings import make_readings
from vitatt.reader_study.serving.app import create_study_app
from vitatt.reader_study.serving.study_clock import StudyClock
from vitatt.reader_study.study_folder import read_manifest
from vitatt.serving.languages import languages

pytestmark = pytest.mark.long
WIDTHS = (1280, 400)
GERMAN = languages("vitatt.reader_study.serving")["de"]
CASES = 10
NETWORK = "Failed to load resource"  # what Chromium itself writes when there is no answer

Visit = Callable[..., Person]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as one:
        yield one


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """Open a page of a reader; fails a test after which a page has asked another server."""
    people: list[Person] = []

    def open_page(address: str, width: int = 1280, seed: int = 0, **options: Any) -> Person:
        if width == 400:
            options |= {"has_touch": True, "is_mobile": True}
        context = browser.new_context(viewport={"width": width, "height": 850}, **options)
        people.append(Person(context.new_page(), address, seed))
        people[-1].open()
        return people[-1]

    yield open_page
    for person in people:
        own = person.address.split("/r/")[0]
        assert [one for one in person.asked if not one.startswith((own, "data:"))] == []
        assert [one for one in person.complaints if NETWORK not in one] == []
        person.page.context.close()


@contextlib.contextmanager
def in_thread(folder: Path, clocks: Clocks | None = None) -> Iterator[str]:
    """The server of a study in a thread of this process, perhaps with a clock that can be set."""
    manifest, digest = read_manifest(folder)
    with EventLog(folder, digest) as log:
        clock = None
        if clocks is not None:
            clock = StudyClock(log.events[-1].time, lambda: clocks.time, lambda: clocks.steady)
        app = create_study_app(
            folder, manifest, log, operator_token=OPERATOR_TOKEN, hosts=None, clock=clock
        )
        with running(app) as address:
            yield address


def readings(folder: Path, reader: str) -> list[dict[str, Any]]:
    manifest, digest = read_manifest(folder)
    table = make_readings(manifest, read_log(folder, digest).events)
    return table.filter(reader=reader).to_dicts()


def as_clicked(row: dict[str, Any]) -> Clicked:
    return Clicked(
        f"Case {row['position']} of {CASES}",
        row["diagnosis"],
        row["confidence"],
        row["management"],
        row["trust"],
        tuple(filter(None, row["evidence_features"].split(";"))),
        row["drawn_shape"],
    )


@pytest.mark.parametrize(
    "widths",
    [
        (1280, 400, 400),
        pytest.param((1280, 1280, 1280), marks=pytest.mark.slow),
        pytest.param((400, 400, 400), marks=pytest.mark.slow),
    ],
)
def test_three_people_and_a_server_that_is_killed(
    visit: Visit, tmp_path: Path, widths: tuple[int, ...]
) -> None:
    """Ten cases in two arms; `kill -9` while one sends, a lost answer, and a page loaded again."""
    folder = tmp_path / "study"
    manifest = make_study(folder, design="sequential", cases=CASES, readers=3)
    write_tokens(folder, 3)
    codes = [one.code for one in manifest.readers]
    clicked: dict[str, list[Clicked]] = {code: [] for code in codes}
    with served(folder) as server:
        people = {
            code: visit(f"{server.address}/r/token-{code}", width, seed)
            for seed, (code, width) in enumerate(zip(codes, widths, strict=True))
        }
        for code, person in people.items():
            asked = manifest.reader_by_code[code].experience is None
            person.begin("low" if asked else None)
            practise(person, 4)
        for place in range(2 * CASES):
            for code, person in people.items():
                draw = (None, "box", "brush")[place % 3] if place % 2 == 0 else None
                chosen = person.answer(draw)
                if place % 2:  # the drawing of the arm before is still there
                    chosen = chosen._replace(shape=clicked[code][-1].shape)
                chosen = chosen._replace(features=ticked(person))
                clicked[code].append(chosen)
                trouble = TROUBLES.get((code, place), Person.submit)
                trouble(person) if trouble is Person.submit else trouble(person, server)
        for person in people.values():
            person.page.wait_for_function(
                "() => document.querySelector('#stage h1').textContent === 'Thank you'"
            )
        assert server.stop() == 0
    for code in codes:
        rows = readings(folder, code)
        assert [as_clicked(row) for row in rows] == clicked[code]
        schedule = manifest.reader_by_code[code].schedule[0]
        expected = [(case, arm) for case in schedule.cases for arm in schedule.arms]
        assert [(row["case_id"], row["arm"]) for row in rows] == expected
        assert all(0 < row["seconds"] < 120 for row in rows)


def practise(person: Person, visits: int) -> None:
    for place in range(visits):
        person.answer()
        person.submit()
        if place % 2:
            assert "The diagnosis is: Title of" in person.page.inner_text("#feedback")
            person.page.click("#next")
            person.page.wait_for_selector("#submit")


def ticked(person: Person) -> tuple[str, ...]:
    return tuple(
        person.page.eval_on_selector_all(
            "input[name=features]:checked", "all => all.map(one => one.value)"
        )
    )


def kill_while_sending(person: Person, server: Server) -> None:
    server.kill()
    before = person.page.get_attribute(".case", "data-item")
    person.page.click("#submit")
    person.page.wait_for_selector(".sending .problem")
    assert "kept on this page, which tries again" in person.page.inner_text(".sending")
    server.start()
    person.page.wait_for_function(
        "before => document.querySelector('.case')?.dataset.item !== before", arg=before
    )


def lose_an_answer(person: Person, server: Server) -> None:
    """The server records a submission, but its answer does not arrive."""
    lost = []

    def cut(route: Any) -> None:
        lost.append(route.fetch().status)
        route.abort()

    person.page.route("**/answers", cut, times=1)
    person.submit()
    assert lost == [200]


def reload(person: Person, server: Server) -> None:
    before = values(person)
    person.page.reload()
    person.ready()
    assert values(person) == before
    person.submit()


def kill_and_reload(person: Person, server: Server) -> None:
    before = values(person)
    server.kill()
    server.start()
    person.page.reload()
    person.ready()
    assert values(person) == before
    person.submit()


def values(person: Person) -> Any:
    return person.page.evaluate(
        "() => [[...document.querySelectorAll('main input:checked')]"
        ".filter(one => one.name !== 'tool').map(one => `${one.name} ${one.value}`),"
        " document.querySelector('#confidence').value, document.querySelector('.said').textContent]"
    )


TROUBLES: dict[tuple[str, int], Any] = {
    ("r02", 9): kill_while_sending,
    ("r01", 5): lose_an_answer,
    ("r03", 11): reload,
    ("r01", 14): kill_and_reload,
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A sequential study of two cases without practice."""
    make_study(tmp_path, without_practice, design="sequential", cases=2, readers=3)
    return tmp_path


def without_practice(plan: dict[str, Any]) -> None:
    plan["training_cases"] = []


def test_a_second_tab_moves_on(visit: Visit, study: Path) -> None:
    with in_thread(study) as address:
        first = visit(f"{address}/r/token-r01")
        first.begin()
        second = visit(f"{address}/r/token-r01", seed=1)
        second.answer()
        chosen = first.answer()
        first.submit()
        second.submit()
        assert "answered already, in another window" in second.page.inner_text("#notice")
        item = [one.page.get_attribute(".case", "data-item") for one in (first, second)]
        assert item[0] == item[1]
        second.answer()
        second.submit()
    rows = readings(study, "r01")
    assert len(rows) == 2
    assert rows[0]["confidence"] == chosen.confidence


def test_back_shows_the_case_that_is_due(visit: Visit, study: Path) -> None:
    with in_thread(study) as address:
        person = visit(f"{address}/r/token-r01")
        person.begin()
        for _ in range(2):
            person.answer()
            person.submit()
        item = person.page.get_attribute(".case", "data-item")
        person.choose("diagnosis")
        for _ in range(2):
            person.page.go_back()
            person.page.wait_for_timeout(200)
            assert person.page.get_attribute(".case", "data-item") == item
            assert person.page.locator("input[name=diagnosis]:checked").count() == 1
        assert person.title == "Case 2 of 2"
    assert len(readings(study, "r01")) == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_missing_answers_are_named(visit: Visit, study: Path, width: int) -> None:
    with in_thread(study) as address:
        person = visit(f"{address}/r/token-r01", width)
        page = person.page
        assert person.axe() == []
        page.click("#stage .primary")
        assert "tick the box" in page.inner_text("#agree-error")
        person.begin()
        person.ready()
        assert person.axe() == []
        page.click("#submit")
        named = page.inner_text("#problem").splitlines()
        assert named[0] == "Please answer first:"
        assert len(named) == 4
        assert page.evaluate("() => document.activeElement.id") == "problem"
        for name in ("diagnosis", "confidence", "management"):
            field = page.locator(f"#{name}")
            assert field.get_attribute("aria-invalid") == "true"
            (error,) = field.get_attribute("aria-describedby").split()
            assert page.inner_text(f"#{error}")
        assert person.axe() == []
        page.click("#problem a >> nth=1")
        assert page.evaluate("() => document.activeElement.id") == "confidence"
        page.keyboard.press("Enter")  # 50 is the answer
        assert page.inner_text("output[for=confidence]") == "50"
        person.choose("diagnosis")
        person.choose("management")
        person.submit()
        assert page.inner_text("#problem") == ""
        person.ready()  # with the AI and its reasons
        assert page.locator(".overlay").count() == 1
        assert "strongest" in page.locator(".overlay").get_attribute("alt")
        page.fill("#opacity", "20")
        assert page.eval_on_selector(".overlay", "one => getComputedStyle(one).opacity") == "0.2"
        assert person.axe() == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    (row,) = readings(study, "r01")
    assert row["confidence"] == 50


def test_a_full_disk(visit: Visit, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_thread(study) as address:
        person = visit(f"{address}/r/token-r01")
        person.begin()
        chosen = person.answer("box")

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("vitatt.reader_study.event_log._write", full)
            person.page.click("#submit")
            person.page.wait_for_selector(".sending .problem")
            assert "disk may be full" in person.page.inner_text(".sending")
            assert person.page.locator("#diagnosis input:enabled, #submit:enabled").count() == 0
            assert person.axe() == []
        person.page.click(".sending button")
        person.page.wait_for_selector("#trust")
    (row,) = readings(study, "r01")
    assert (row["confidence"], row["drawn_shape"]) == (chosen.confidence, "box")


def test_time_is_that_of_the_visible_page(visit: Visit, tmp_path: Path) -> None:
    """Of about six seconds, one is paused, one hidden and two are idle."""

    def change(plan: dict[str, Any]) -> None:
        without_practice(plan)
        plan["idle_minutes"] = 0.05

    make_study(tmp_path, change, design="sequential", cases=2, readers=3)
    study = tmp_path
    with in_thread(study) as address:
        person = visit(f"{address}/r/token-r01")
        person.begin()
        person.answer()
        page = person.page
        start = time.monotonic()
        page.wait_for_timeout(500)
        page.click("#pause")
        assert page.locator("#stage").is_hidden()
        assert person.axe() == []
        page.wait_for_timeout(1500)
        page.click("#continue")
        page.evaluate(VISIBLE, "hidden")
        page.wait_for_timeout(1500)
        page.evaluate(VISIBLE, "visible")
        page.wait_for_selector("#paused", timeout=8000)  # after three seconds without activity
        assert "Nothing happened here" in page.inner_text("#paused")
        page.reload()
        person.ready()
        person.submit()
        passed = time.monotonic() - start
    (row,) = readings(study, "r01")
    assert row["seconds"] < passed - 5.5
    assert row["seconds"] > 0.5
    events = [one for one in read_log(study, read_manifest(study)[1]).events if one.reader == "r01"]
    reasons = [one.data["reason"] for one in events if one.kind == "paused"]
    assert reasons[:3] == ["button", "hidden", "idle"]
    assert sum(one.kind == "resumed" for one in events) >= 3


VISIBLE = """state => {
  Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def drawn_mask(study: Path) -> np.ndarray:
    return decode_mask(readings(study, "r01")[-1]["evidence_mask"])


def cells(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Cells whose centre lies in a box, in shares of the image."""
    rows, columns = (np.indices((64, 64)) + 0.5) / 64
    return (rows >= top) & (rows <= bottom) & (columns >= left) & (columns <= right)


@pytest.mark.parametrize("zoom", [0, 2])
def test_a_box_covers_what_was_drawn(visit: Visit, study: Path, zoom: int) -> None:
    with in_thread(study) as address:
        person = visit(f"{address}/r/token-r01")
        person.begin()
        person.ready()
        for _ in range(zoom):
            person.page.click("[aria-label=Enlarge]")
        person.answer()
        person.page.check(".tool input[value=box]")
        person.page.evaluate("() => document.querySelector('.viewer').scrollIntoView()")
        area = person.page.locator(".viewer").bounding_box()
        start = (area["x"] + 0.3 * area["width"], area["y"] + 0.2 * area["height"])
        end = (area["x"] + 0.6 * area["width"], area["y"] + 0.7 * area["height"])
        frame = person.page.evaluate(PLACE)
        person.page.mouse.move(*end)
        person.page.mouse.down()
        person.page.mouse.move(*start, steps=3)
        person.page.mouse.up()
        person.submit()
    share = [
        (value - frame[place % 2]) / frame[2 + place % 2]
        for place, value in enumerate((*start, *end))
    ]
    expected = cells(*share)
    assert expected.sum() > 100
    assert (drawn_mask(study) != expected).mean() < 0.01  # pixels are whole


PLACE = """() => {
  const { x, y, width, height } = document.querySelector(".frame").getBoundingClientRect();
  return [x, y, width, height];
}"""


def test_a_finger_draws_a_stroke_and_scrolls_otherwise(visit: Visit, study: Path) -> None:
    with in_thread(study) as address:
        person = visit(f"{address}/r/token-r01", 400)
        person.begin()
        person.answer()
        page = person.page
        page.check(".tool input[value=brush]")
        points = [(share, 0.5) for share in (0.2, 0.4, 0.6, 0.8)]
        touch(page, points)
        assert page.inner_text(".said") == "Boxes: 0, strokes: 1."
        page.click("text=Undo")
        assert page.inner_text(".said") == "Nothing drawn."
        touch(page, points)
        touch(page, [(0.5, 0.1)])
        page.click("text=Clear")
        page.click("text=Undo")
        assert page.inner_text(".said") == "Boxes: 0, strokes: 2."
        person.submit()
    mask = drawn_mask(study)
    rows, columns = (np.indices((64, 64)) + 0.5) / 64
    along = np.hypot(np.clip(columns, 0.2, 0.8) - columns, rows - 0.5)
    dot = np.hypot(columns - 0.5, rows - 0.1)
    expected = np.minimum(along, dot) <= 0.03
    assert expected.sum() > 100
    assert (mask != expected).mean() < 0.02


def touch(page: Any, points: list[tuple[float, float]]) -> None:
    """Draw with a finger through points in shares of the image."""
    page.evaluate("() => document.querySelector('.viewer').scrollIntoView()")
    x, y, width, height = page.evaluate(PLACE)
    session = page.context.new_cdp_session(page)
    send = session.send
    kinds = ["touchStart", *["touchMove"] * (len(points) - 1)]
    for kind, (across, down) in zip(kinds, points, strict=True):
        place = {"x": x + across * width, "y": y + down * height}
        send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_case_by_keyboard_alone(visit: Visit, study: Path) -> None:
    with in_thread(study) as address:
        person = visit(f"{address}/r/token-r01")
        page, keys = person.page, person.page.keyboard
        tab_to(page, "one => one.id === 'agree'")
        keys.press("Space")
        tab_to(page, "one => one.matches('.primary')")
        keys.press("Enter")
        page.wait_for_selector("#submit")
        person.ready()
        assert page.evaluate("() => document.activeElement.tagName") == "H1"
        tab_to(page, "one => one.matches('[aria-label=Enlarge]')")
        keys.press("Enter")
        tab_to(page, "one => one.matches('summary')")
        keys.press("Enter")
        tab_to(page, "one => one.matches('.keys button')")
        keys.press("Enter")
        assert page.evaluate("() => document.activeElement.dataset.side") == "x"
        keys.press("Home")
        tab_to(page, "one => one.dataset.side === 'height'")
        keys.press("End")
        tab_to(page, "one => one.value === 'itch'")
        keys.press("Space")
        tab_to(page, "one => one.name === 'diagnosis'")
        keys.press("ArrowDown")
        tab_to(page, "one => one.id === 'confidence'")
        keys.press("End")
        tab_to(page, "one => one.name === 'management'")
        keys.press("Space")
        tab_to(page, "one => one.id === 'submit'")
        keys.press("Enter")
        page.wait_for_selector("#trust")
    (row,) = readings(study, "r01")
    assert (row["diagnosis"], row["confidence"], row["management"]) == ("MEL", 100, "follow_up")
    assert row["evidence_features"] == "itch"
    assert (drawn_mask(study) == cells(0, 0.4, 0.2, 1)).all()


def test_two_periods_with_a_wash_out(visit: Visit, tmp_path: Path) -> None:
    make_study(tmp_path, without_practice, cases=2, readers=3)
    clocks = Clocks()
    with in_thread(tmp_path, clocks) as address:
        person = visit(f"{address}/r/token-r02", 400, locale="de-DE")
        person.begin()
        for _ in range(2):
            person.answer()
            clocks.wait(seconds=60)
            person.submit()
        assert person.title == GERMAN["locked_title"]
        assert re.search(r"Dienstag, 3\. \w+ 2026", person.page.inner_text("#stage"))
        assert person.axe() == []
        clocks.wait(days=28)
        person.page.reload()
        person.ready()
        assert "Teil 2 von 2" in person.page.inner_text(".head")
        assert person.page.locator("#trust").count() == 0, "the arm without AI"
    assert [row["arm"] for row in readings(tmp_path, "r02")] == ["ai", "ai"]


def test_three_diagnoses_are_ranked(visit: Visit, tmp_path: Path) -> None:
    def change(plan: dict[str, Any]) -> None:
        without_practice(plan)
        plan["ask"] |= {"top": 3, "drawing": None, "features": False}

    make_study(tmp_path, change, design="sequential", cases=2, readers=3)
    with in_thread(tmp_path) as address:
        person = visit(f"{address}/r/token-r01", 400)
        person.begin()
        page = person.page
        person.ready()
        page.select_option("#diagnosis", "NEV")
        page.select_option("#second", "NEV")
        page.click("#submit")
        assert page.inner_text("#second-error") == "Choose three different diagnoses."
        page.select_option("#second", "MEL")
        page.select_option("#third", "BCC")
        page.fill("#confidence", "30")
        person.choose("management")
        assert page.locator(".tool, .keys, input[name=features]").count() == 0
        assert person.axe() == []
        person.submit()
    (row,) = readings(tmp_path, "r01")
    assert [row[one] for one in ("diagnosis", "second", "third")] == ["NEV", "MEL", "BCC"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_withdrawal_in_both_colour_schemes(visit: Visit, tmp_path: Path, scheme: str) -> None:
    consent = {"version": "7", "text": {"en": "One.\n\nTwo."}, "withdrawal": "ask"}

    def change(plan: dict[str, Any]) -> None:
        without_practice(plan)
        plan["consent"] = consent

    make_study(tmp_path, change, design="sequential", cases=2, readers=3)
    with in_thread(tmp_path) as address:
        person = visit(f"{address}/r/token-r01", color_scheme=scheme, locale="de-DE")
        page = person.page
        assert page.locator(".consent[lang=en] p").all_inner_texts() == ["One.", "Two."]
        person.begin()
        person.ready()
        assert person.axe() == []
        person.answer()
        person.submit()
        page.click("#withdraw")
        assert person.axe() == []
        page.keyboard.press("Escape")
        assert page.locator("#submit").is_visible()
        page.click("#withdraw")
        page.check("input[value=keep]")
        page.click("button[value=withdraw]")
        page.wait_for_function(
            "title => document.querySelector('#stage h1').textContent === title",
            arg=GERMAN["withdrawn_title"],
        )
        assert page.locator("#withdraw").is_hidden()
        assert person.axe() == []
    assert len(readings(tmp_path, "r01")) == 1


def test_the_operators_pages_are_accessible(visit: Visit, study: Path) -> None:
    with in_thread(study) as address:
        for width in WIDTHS:
            person = visit(f"{address}/r/token-r01", width)
            page = person.page
            page.goto(f"{address}/operator")
            assert person.axe() == []
            page.fill("#token", OPERATOR_TOKEN)
            page.click("button.primary")
            page.wait_for_selector("#readers")
            assert person.axe() == []
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width
            page.goto(f"{address}/r/wrong")
            assert person.axe() == []
            person.complaints = [one for one in person.complaints if "[DOM]" not in one]


def test_the_kill_is_a_kill(tmp_path: Path) -> None:
    """The server of the tests is a process of its own, which `kill -9` ends at once."""
    make_study(tmp_path)
    with served(tmp_path) as server:
        assert server.process is not None
        assert server.process.pid != os.getpid()
        server.kill()
        assert server.process.returncode == -9
