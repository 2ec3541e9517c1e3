"""Servers with a page, and a reader who visits them in Chromium."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import uvicorn
from PIL import Image

from tests.inference.conftest import save_model
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.synthetic.demo import write_demo
from vitatt.inference import Predictor
from vitatt.models.fusion import FUSIONS
from vitatt.serving.api import create_app

KINDS = ("one", "views", "two")
RARE = ("mean", "bare")


class Site(NamedTuple):
    """A server of small models that nobody trained.

    Attributes:
        address: Of the page.
        app: The application.
        images: Files to upload, one for each zone.
        answers: By feature.
    """

    address: str
    app: Any
    images: list[Path]
    answers: dict[str, str]


def predictors(folder: Path, kind: str) -> tuple[dict[str, Predictor], list[Path]]:
    """Models of one kind.

    One of one image, one of two views, two of one image with different features, the mean of two
    networks, or one without metadata.
    """
    dataset = "derm7pt" if kind == "views" else "pad_ufes_20"
    write_demo(folder / "data", dataset=dataset, num_cases=60, image_size=48)  # type: ignore[arg-type]
    root = str(folder / "data")
    common = {"image_size": 32, "batch_size": 16, "cache_dir": str(folder / "cache")}
    data = LesionDataModule(dataset, root, root, **common)
    settings = {"fusion": FUSIONS["image_only"]} if kind == "bare" else {}
    paths: dict[str, Any] = {"first": save_model(folder / "first.ckpt", data, **settings)}
    if kind == "mean":
        paths["first"] = [paths["first"], save_model(folder / "other.ckpt", data, seed=2)]
    if kind == "two":
        few = LesionDataModule(dataset, root, root, features=["age", "itch"], **common)
        paths["second"] = save_model(folder / "second.ckpt", few, seed=1)
    cases = data.cases("predict")["image"].to_list()
    images = cases[0] if kind == "views" else [cases[0]]
    models = {name: Predictor.load(path, device="cpu") for name, path in paths.items()}
    return models, [Path(one) for one in images]


@contextmanager
def serving(models: Mapping[str, Predictor], **options: Any) -> Iterator[tuple[str, Any]]:
    """A server of models in a thread, on a free port."""
    app = create_app(models, **options)
    with running(app) as address:
        yield address, app


@contextmanager
def running(app: Any) -> Iterator[str]:
    """An application in a thread; its address."""
    config = uvicorn.Config(app, port=0, log_level="error", http="h11", ws="none", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


class Visit:
    """The page as a reader sees it, with what the browser complains about and asks for.

    Args:
        page: Of playwright.
        site: The server.
    """

    def __init__(self, page: Any, site: Site) -> None:
        self.page, self.site = page, site
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(15_000)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        # From the beginning: to intercept the dialog only when it is awaited can be too late.
        page.on("filechooser", lambda chooser: None)
        page.on("request", lambda request: self.asked.append(request.url))

    def upload(self) -> None:
        zones = self.page.query_selector_all(".zone")
        for number, (zone, image) in enumerate(zip(zones, self.site.images, strict=True)):
            if number:
                self.settled()
            zone.query_selector("input").set_input_files(image)
        self.settled()

    def fill_in(self) -> None:
        for name, value in self.site.answers.items():
            self.answer(name, value)
        self.settled()

    def answer(self, name: str, value: str) -> None:
        field = self.field(name)
        if field.evaluate("one => one.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)

    def field(self, name: str) -> Any:
        return self.page.locator(f'[data-feature="{name}"]')

    def settled(self) -> None:
        """Wait until the result is there, and map and questions have followed."""
        self.page.wait_for_timeout(50)
        self.page.wait_for_selector("#save:enabled")

    def rows(self, table: str) -> list[list[str]]:
        found: list[list[str]] = self.page.eval_on_selector_all(
            f"{table} tbody tr",
            "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))",
        )
        return found

    def chances(self) -> dict[str, list[float]]:
        """Probabilities that are shown, by class, of each model."""
        found: list[tuple[str, list[str]]] = self.page.eval_on_selector_all(
            ".chances tbody tr",
            "rows => rows.map(row => [row.cells[0].firstChild.data.trim(),"
            " [...row.querySelectorAll('.number')].map(one => one.innerText)])",
        )
        return {name: [float(one.rstrip("%\xa0 ")) for one in values] for name, values in found}

    def axe(self) -> list[str]:
        """What axe-core finds that is serious or critical."""
        return axe_of(self.page)


def axe_of(page: Any) -> list[str]:
    """What axe-core finds on a page that is serious or critical."""
    if importlib.util.find_spec("axe_playwright_python") is None:
        pytest.skip("axe-playwright-python is not installed")
    from axe_playwright_python.base import AXE_SCRIPT

    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run()")
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def photo(path: Path, *, orientation: int = 1, size: tuple[int, int] = (60, 40)) -> Path:
    """An image file of some size, with the rotation tag of a camera if it is a JPEG."""
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, **({"exif": exif} if path.suffix == ".jpg" else {}))
    return path
