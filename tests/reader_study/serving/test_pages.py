"""The pages as the server writes them: words, files, nothing inline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from tests.pages import Page
from tests.reader_study.serving.conftest import Study
from vitatt.reader_study.consent import DEFAULT_CONSENT
from vitatt.reader_study.serving.study_state import Stage
from vitatt.serving.languages import languages

ROOT = Path(__file__).parents[3] / "vitatt"
PAGE = ROOT / "reader_study" / "serving" / "page"
SHARED = ("words.js", "server.js", "elements.js", "evidence.js", "map_place.js")
FILES = [path for path in PAGE.iterdir() if path.is_file()]
WORDS = languages("vitatt.reader_study.serving")


def test_every_word_is_used_and_there_in_every_language() -> None:
    shared = [ROOT / "serving" / "page" / name for name in SHARED]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in [*FILES, *shared])
    used = set(re.findall(r'\bsay\(\s*"(\w+)"', sources))
    used |= set(re.findall(r"\btext\.(\w+)", sources)) | {"language_name"}
    used |= {f"stage_{one}" for one in get_args(Stage)}
    assert list(WORDS) == ["en", "de"]
    for code, words in WORDS.items():
        assert set(words) == used, code
        assert all(isinstance(word, str) and word.strip() for word in words.values())
        for key, word in words.items():
            assert places(word) == places(WORDS["en"][key]), key
        assert len(words["places"].split("|")) == 9
    assert set(DEFAULT_CONSENT.text) == set(WORDS)


def places(word: str) -> list[str]:
    return sorted(re.findall(r"\{(\w+)\}", word))


def test_nothing_is_inline_or_from_elsewhere(study: Study) -> None:
    for path in ("/", "/r/token-r01", "/r/wrong", "/operator"):
        page = Page(study.client.get(path).text)
        for tag, attributes in page.tags:
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            for name in ("src", "href", "action"):
                assert str(attributes.get(name, "/")).startswith(("/", "#", "?lang=")), tag
        assert page.all("style") == []
    for one in FILES:
        text = one.read_text(encoding="utf-8")
        assert "http" not in text
        assert "innerHTML" not in text


def test_files_of_the_pages(study: Study) -> None:
    for path in FILES:
        answer = study.client.get(f"/static/{path.name}")
        if path.suffix == ".jinja":
            assert answer.status_code == 404
        else:
            assert answer.content == path.read_bytes()
    for name in ("tables.css", "page.css", "icon.svg", *SHARED):
        assert study.client.get(f"/static/{name}").status_code == 200
    for name in ("page.js", "record.js", "index.html.jinja", "app.py"):
        assert study.client.get(f"/static/{name}").status_code == 404


def test_languages(study: Study) -> None:
    german = {"accept-language": "de-CH,de;q=0.9"}
    text = study.client.get("/r/token-r01", headers=german).text
    assert 'lang="de"' in text
    assert "Beurteilungsstudie" in text
    assert "Diese wissenschaftliche Studie" in text
    assert 'lang="en"' in study.client.get("/r/token-r01?lang=en", headers=german).text
