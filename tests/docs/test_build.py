"""The pages build without warnings, and load nothing from the network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, ROOT
from tests.pages import Page, chromium

pytest.importorskip("sphinx", reason="the extra `docs` is not installed")

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Tags that load something, with the attribute that says what."""
PAGES = ("index", "quickstart", "results", "glossary", "api/models", "extending/dataset")

pytestmark = pytest.mark.slow  # half a minute: all modules are imported


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    words += ["-d", str(folder / "doctrees"), str(DOCS), str(folder / "html")]
    built = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert not built.stderr, built.stderr
    return folder / "html"


def test_every_page_is_there(site: Path) -> None:
    built = {str(path.relative_to(site).with_suffix("")) for path in site.rglob("*.html")}
    assert {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")} <= built
    assert set(PAGES) <= built


def test_nothing_is_loaded_from_the_network(site: Path) -> None:
    for path in site.rglob("*.html"):
        for tag, attributes in Page(path.read_text(encoding="utf-8")).tags:
            target = attributes.get(LOADING.get(tag, ""))
            if target is not None and attributes.get("rel") != "canonical":
                assert "://" not in target, f"{path}: {tag} {target}"
                assert not target.startswith("//"), f"{path}: {tag} {target}"
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert "url(http" not in text, path
        assert "@import" not in text or "://" not in text.partition("@import")[2][:80], path


@pytest.mark.parametrize("width", [1280, 400])
def test_pages_fit_a_screen_and_ask_no_other_host(site: Path, width: int) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        for name in PAGES:
            page.goto((site / f"{name}.html").as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"{name} is {wide} px wider than {width} px"
        assert asked
        assert all(url.startswith(("file:", "data:")) for url in asked), asked
        assert errors == []
