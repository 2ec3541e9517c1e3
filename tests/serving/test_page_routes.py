"""The page as the server writes it: words, questions, files, and signing in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.pages import Page
from tests.serving.sites import predictors
from vitatt.inference import Predictor
from vitatt.serving.api import create_app
from vitatt.serving.form import shown_category
from vitatt.serving.guards import COOKIE
from vitatt.serving.languages import chosen_language, languages

FOLDER = Path(__file__).parents[2] / "vitatt" / "serving"
FILES = [path for path in (FOLDER / "page").iterdir() if path.is_file()]
TOKEN = "a long random text"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    return predictors(tmp_path_factory.mktemp("two"), "two")[0]


def client_of(models: dict[str, Predictor], token: str | None = None) -> TestClient:
    return TestClient(
        create_app(models, token=token), base_url="http://127.0.0.1", follow_redirects=False
    )


def test_every_word_is_used_and_there_in_every_language() -> None:
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (*FILES, FOLDER / "form.py", FOLDER / "page.py")
    )
    used = set(re.findall(r'\bsay\(\s*"(\w+)"', sources))
    used |= set(re.findall(r"\btext\.(\w+)", sources))
    used |= set(re.findall(r'\btext\["(\w+)"\]', sources)) | {"language_name"}
    for code, words in languages().items():
        assert set(words) == used, code
        assert all(isinstance(word, str) and word.strip() for word in words.values())
    english = languages()["en"]
    for words in languages().values():
        for key, word in words.items():
            assert _places(word) == _places(english[key]), key
        assert len(words["places"].split("|")) == 9


def _places(word: str) -> list[str]:
    return sorted(re.findall(r"\{(\w+)\}", word))


@pytest.mark.parametrize(
    ("asked", "accepted", "expected"),
    [
        (None, "", "en"),
        (None, "de-AT,de;q=0.9,en;q=0.5", "de"),
        (None, "fr,en;q=0.4,de;q=0.6", "de"),
        (None, "de;q=0,en", "en"),
        (None, "de;q=much", "en"),
        (None, "*", "en"),
        ("de", "en", "de"),
        ("xx", "de", "de"),
    ],
)
def test_language(asked: str | None, accepted: str, expected: str) -> None:
    assert chosen_language(asked, accepted) == expected


def test_categories_in_words() -> None:
    text = languages()["de"]
    shown = ["True", "FALSE", "FEMALE", "NOSE", "BCC", "head neck", "1"]
    assert [shown_category(one, text) for one in shown] == [
        *("ja", "nein", "weiblich", "Nose", "BCC", "head neck", "1")
    ]


def test_nothing_is_inline_or_from_elsewhere(models: dict[str, Predictor]) -> None:
    html = client_of(models).get("/").text
    page = Page(html)
    for tag, attributes in page.tags:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action"):
            assert str(attributes.get(name, "/")).startswith(("/", "#")), (tag, attributes)
    assert [one["src"] for one in page.all("script")] == ["/static/page.js"]
    assert page.all("style") == []
    for path in FILES:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in re.sub(r"http-equiv", "", text) or path.suffix == ".jinja"
        assert "innerHTML" not in text


def test_questions_of_all_models(models: dict[str, Predictor]) -> None:
    page = Page(client_of(models).get("/").text)
    fields = {
        one["data-feature"]: one
        for one in page.all("input") + page.all("select")
        if "data-feature" in one
    }
    assert set(fields) == {*models["first"].features, *models["second"].features}
    assert fields["age"]["inputmode"] == "decimal"


def test_features_that_no_model_uses_are_left_out_and_said(models: dict[str, Predictor]) -> None:
    html = client_of({"second": models["second"]}).get("/").text
    fields = [one["data-feature"] for one in Page(html).all("select") if "data-feature" in one]
    assert fields == ["itch"]
    assert "Not asked, since no model here uses it: smokes, drinks alcohol" in html


def test_files_of_the_page(models: dict[str, Predictor]) -> None:
    client = client_of(models)
    for path in FILES:
        answer = client.get(f"/static/{path.name}")
        if path.suffix == ".jinja":
            assert answer.status_code == 404
            continue
        assert answer.status_code == 200
        assert answer.content == path.read_bytes()
    assert client.get("/static/page.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/static/example-0-0.jpg").headers["content-type"] == "image/jpeg"
    for name in ("../api.py", "%2e%2e%2fapi.py", "nothing.css"):
        assert client.get(f"/static/{name}").status_code == 404


def test_a_case_has_no_other_pictures(models: dict[str, Predictor]) -> None:
    client = client_of(models)
    assert client.get("/cases/none/pictures/image").status_code == 404


def test_signing_in_and_out(models: dict[str, Predictor]) -> None:
    client = client_of(models, TOKEN)
    asked = client.get("/")
    assert (asked.status_code, asked.headers["location"]) == (303, "/login")
    assert client.get("/login").status_code == 200
    assert client.get("/static/page.css").status_code == 200
    wrong = client.post("/login?lang=de", data={"token": "another"})
    assert wrong.status_code == 401
    assert languages()["de"]["wrong_token"] in wrong.text
    assert "set-cookie" not in wrong.headers
    assert client.post("/login", content=b"token=%ff&\xff").status_code in (400, 401)
    assert client.get("/v1/model").status_code == 401

    right = client.post("/login?lang=de", data={"token": TOKEN})
    assert (right.status_code, right.headers["location"]) == (303, "/?lang=de")
    cookie = right.headers["set-cookie"]
    assert COOKIE in cookie
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert client.get("/").status_code == 200
    assert client.get("/v1/model").status_code == 200
    assert 'action="/logout"' in client.get("/").text

    assert client.post("/logout").headers["location"] == "/login"
    client.cookies.clear()
    assert client.post("/logout").status_code == 401


def test_without_a_token_nobody_signs_in(models: dict[str, Predictor]) -> None:
    client = client_of(models)
    assert client.get("/login").headers["location"] == "/"
    assert "set-cookie" not in client.post("/login", data={"token": "x"}).headers
    assert "/logout" not in client.get("/").text
