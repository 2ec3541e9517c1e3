"""Registered names of networks in configurations and on the command line."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from jsonargparse import get_loader

from vitatt.models.fusion.configuration import PARSER_MODE, with_class_paths, with_names
from vitatt.types import UsageError

FILM = "vitatt.models.fusion.film.FiLM"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--model.fusion", "film", "film"], ["--model.fusion", FILM, "film"]),
        (["--model.fusion=film"], [f"--model.fusion={FILM}"]),
        (["--model.fusion.class_path=film"], [f"--model.fusion.class_path={FILM}"]),
        (["--model.fusion.help", "film"], ["--model.fusion.help", FILM]),
        (["--model.fusion=vitatt.models.baselines.film.FiLM"], [f"--model.fusion={FILM}"]),
        (["--output=film", "--name", "film"], ["--output=film", "--name", "film"]),
        (["--model.fusion"], ["--model.fusion"]),
        *(
            ([f"--model.fusion={kept}"], [f"--model.fusion={kept}"])
            for kept in ("FiLM", "own.module.Fusion", "{class_path: film}", "fusion.yaml")
        ),
    ],
)
def test_options(words: list[str], expected: list[str]) -> None:
    assert with_class_paths(words) == expected


def test_a_misspelt_name() -> None:
    said = r"`model.fusion` to be among vitatt, .* got 'flim'\. Did you mean film\?"
    with pytest.raises(UsageError, match=said):
        with_class_paths(["--model.fusion=flim"])
    for text in ("model: {fusion: flim}", "fit: {model: {fusion: {class_path: flim}}}"):
        with pytest.raises(UsageError, match=said):
            get_loader(PARSER_MODE)(text)


@pytest.mark.parametrize(
    "written",
    [
        {"model": {"fusion": "film"}},
        {"model": {"fusion": {"class_path": "film"}}},
        {"fit": {"model": {"fusion": "film"}}},
        {"fusion": "film", "encoder": "test_vit"},
    ],
)
def test_files(written: dict[str, Any]) -> None:
    loaded = get_loader(PARSER_MODE)(yaml.safe_dump(written))
    section = loaded.get("fit", loaded)
    assert section.get("model", section)["fusion"] == {"class_path": FILM}
    assert str(with_names(loaded)).count("{'class_path': 'film'}") == 1
    assert str(loaded).count(FILM) == 1, "the configuration itself stays as it is"


def test_the_value_of_the_option() -> None:
    loaded = get_loader(PARSER_MODE)("{class_path: film, init_args: {dropout: 0}}")
    assert loaded == {"class_path": FILM, "init_args": {"dropout": 0}}


@pytest.mark.parametrize(
    "other",
    ["film", "trainer: {logger: {class_path: own.Logger}}", "model: {fusion: {init_args: {a: 1}}}"],
)
def test_other_values_are_as_in_yaml(other: str) -> None:
    assert get_loader(PARSER_MODE)(other) == get_loader("yaml")(other)
    if ":" in other:
        assert with_names(yaml.safe_load(other)) == yaml.safe_load(other)
