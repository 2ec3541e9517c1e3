"""People who read a study: a server of their own, and what they click in Chromium."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from tests.serving.sites import axe_of
from vitatt.reader_study.serving.tokens import OPERATOR

STAGE = "#stage h1"


class Server:
    """`vitatt study serve` as a process of its own.

    Args:
        folder: Of the study.
        port: To listen at; 0 for any.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder, self.port = folder, port
        self.process: subprocess.Popen[str] | None = None
        self.address = ""

    def start(self) -> str:
        command = [sys.executable, "-m", "vitatt", "study", "serve", str(self.folder)]
        self.process = subprocess.Popen(
            [*command, f"--port={self.port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        assert self.process.stdout is not None
        lines = []
        while not (lines and lines[-1].startswith("Operator")):
            lines.append(self.process.stdout.readline())
            assert lines[-1], self.process.stderr and self.process.stderr.read()
        (serving,) = (one for one in lines if one.startswith("Serving"))
        self.address = serving.split(" at ")[-1].split()[0]
        self.port = int(self.address.rsplit(":", 1)[1])
        return self.address

    def kill(self) -> None:
        """Like a power cut: nothing can be done before the end."""
        assert self.process is not None
        self.process.kill()
        self._end()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self._end()

    def _end(self) -> int:
        assert self.process is not None
        self.process.communicate(timeout=40)
        return self.process.returncode


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()


def tokens(folder: Path) -> dict[str, str]:
    """Tokens by reader, with that of the operator."""
    table = pl.read_csv(folder / "tokens.csv")
    return dict(zip(table["reader"], table["token"], strict=True))


def write_tokens(folder: Path, readers: int) -> None:
    """The tokens of a made study."""
    codes = [f"r{number:02d}" for number in range(1, readers + 1)]
    rows = [(code, f"token-{code}", f"/r/token-{code}") for code in codes]
    table = pl.DataFrame(rows, schema=["reader", "token", "address"], orient="row")
    table.write_csv(folder / "tokens.csv")


__all__ = ["OPERATOR", "Clicked", "Person", "Server", "served", "tokens", "write_tokens"]


class Clicked(NamedTuple):
    """What a person chose on a case."""

    title: str
    diagnosis: str
    confidence: float
    management: str
    trust: int | None
    features: tuple[str, ...]
    shape: str | None


class Person:
    """A reader at a browser.

    Args:
        page: Of playwright.
        address: Of this reader.
        seed: Of the choices.
    """

    def __init__(self, page: Any, address: str, seed: int = 0) -> None:
        self.page, self.address = page, address
        self.random = random.Random(seed)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(15_000)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def open(self) -> None:
        self.page.goto(self.address)
        self.page.wait_for_selector(STAGE)

    @property
    def title(self) -> str:
        found: str = self.page.locator(STAGE).inner_text()
        return found

    def begin(self, experience: str | None = None) -> None:
        """Consent, and the experience if it is asked."""
        self.page.check("#agree")
        self.page.click("#stage .primary")
        if experience is not None:
            self.page.wait_for_selector("[name=experience]")
            self.page.check(f"[name=experience][value={experience}]")
            self.page.click("#stage .primary")
        self.page.wait_for_selector("#submit")

    def ready(self) -> None:
        self.page.wait_for_selector("#submit:enabled")
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.viewer img')].every(one => one.complete)"
        )

    def choose(self, name: str) -> str:
        """Tick one of the options of a question."""
        values = self.page.eval_on_selector_all(
            f"input[name={name}]", "all => all.map(one => one.value)"
        )
        value: str = self.random.choice(values)
        self.page.check(f"input[name={name}][value='{value}']")
        return value

    def answer(self, draw: str | None = None) -> Clicked:
        """Answer every question, and draw with a tool; nothing is sent yet."""
        self.ready()
        page = self.page
        features = page.eval_on_selector_all(
            "input[name=features]", "all => all.map(one => one.value)"
        )
        ticked = tuple(one for one in features if self.random.random() < 0.5)
        for one in ticked:
            page.check(f"input[name=features][value='{one}']")
        if draw:
            self.draw(draw)
        diagnosis = self.choose("diagnosis")
        confidence = self.random.randrange(101)
        page.fill("#confidence", str(confidence))
        management = self.choose("management")
        trust = int(self.choose("trust")) if page.locator("#trust").count() else None
        return Clicked(self.title, diagnosis, confidence, management, trust, ticked, draw)

    def draw(self, tool: str) -> None:
        page = self.page
        page.check(f".tool input[value={tool}]")
        canvas = page.locator("canvas.drawing")
        canvas.scroll_into_view_if_needed()
        area = canvas.bounding_box()
        x, y = area["x"], area["y"]
        page.mouse.move(x + 0.25 * area["width"], y + 0.25 * area["height"])
        page.mouse.down()
        page.mouse.move(x + 0.5 * area["width"], y + 0.4 * area["height"], steps=4)
        page.mouse.up()
        page.check(".tool input[value=look]")

    def submit(self) -> None:
        """Send the answers, and wait until the next page is there."""
        before = self.page.get_attribute(".case", "data-item")
        self.page.click("#submit")
        self.page.wait_for_function(
            "before => document.querySelector('#feedback')"
            " || document.querySelector('.case')?.dataset.item !== before",
            arg=before,
        )

    def axe(self) -> list[str]:
        """What axe-core finds that is serious or critical."""
        return axe_of(self.page)
