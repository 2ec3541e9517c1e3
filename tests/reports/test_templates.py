from __future__ import annotations

from importlib import resources

import jinja2
import pytest

from vitatt.reports.templates import environment, paragraphs

TEMPLATES = [name for name in environment().list_templates() if name.endswith(".jinja")]


def test_paragraphs_are_joined_and_empty_ones_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "{# No text. #}\nOne\n  line,  {{ a }}.\n\n{% if b %}\nTwo.\n{% endif %}\n\n\nThree.\n"
    loader = jinja2.DictLoader({"x.txt.jinja": text})
    monkeypatch.setattr(environment(), "loader", loader)
    assert paragraphs("x.txt.jinja", a="n\u00a0=\u00a05 <", b=False) == [
        "One line, n\u00a0=\u00a05 <.",
        "Three.",
    ]
    assert paragraphs("x.txt.jinja", a="", b=True)[1] == "Two."
    with pytest.raises(jinja2.UndefinedError, match="'b' is undefined"):
        paragraphs("x.txt.jinja", a="")


def test_pages_are_escaped_and_text_is_not() -> None:
    escaped = {name: environment().autoescape(name) for name in TEMPLATES}  # type: ignore[operator]
    assert {name for name in TEMPLATES if not escaped[name]} == {
        name for name in TEMPLATES if name.endswith((".txt.jinja", ".md.jinja"))
    }
    assert len(TEMPLATES) > 10


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_have_no_syntax_errors(name: str) -> None:
    assert environment().get_template(name).name == name


def test_there_is_one_template_one_stylesheet_and_one_script() -> None:
    files = [path.name for path in resources.files("vitatt.reports").iterdir()]
    assert [name for name in files if name.endswith((".css", ".js"))].count("page.css") == 1
    assert {name for name in files if name.endswith((".css", ".js"))} == {"page.css", "page.js"}
