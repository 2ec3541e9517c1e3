"""The code blocks of README and docs: Python runs, options and keys exist, files are there."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import io
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.blocks import (
    DOCS,
    PAGES,
    ROOT,
    Block,
    blocks,
    blocks_of,
    command_of,
    commands,
)
from vitatt.benchmark.plan import Arm
from vitatt.cli import OWN, TRAINER, main
from vitatt.commands.benchmark import benchmark
from vitatt.commands.sweep import sweep
from vitatt.data.datasets.description import parse_description
from vitatt.models.fusion import FUSIONS
from vitatt.reader_study.design.protocol import Protocol
from vitatt.reader_study.simulation.reader_model import ReaderModel
from vitatt.sweep.parameters import read_parameters

pytestmark = pytest.mark.long

LANGUAGES = {"python", "bash", "yaml", "diff", "text"}
PROGRAMS = {
    "cd",
    "git",
    "pip",
    "make",
    "vitatt",
    "torchrun",
    "srun",
    "wandb",
    "tensorboard",
    "python",
}
MADE = {block.caption for page in PAGES for block in blocks(page)}
"""Files that recipes make."""
RUNNABLE = [
    page
    for page in PAGES
    if page.parent.name != "notebooks" and any(_.language == "python" for _ in blocks(page))
]


def name(block: Block) -> str:
    return str(block)


def test_every_page_has_only_known_languages():
    every = [block for page in PAGES for block in blocks(page)]
    assert {block.language for block in every} <= LANGUAGES, [
        str(block) for block in every if block.language not in LANGUAGES
    ]
    assert {"README.md", "docs/quickstart.md", "docs/extending/dataset.md"} <= {
        block.page for block in every
    }


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_runs(page: Path, workplace: Path) -> None:
    """In order and in one namespace; blocks with a caption are files of recipes."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    registered = dict(FUSIONS)
    try:
        for block in blocks(page):
            if block.language == "python" and not block.caption:
                lines = "\n" * block.line + block.text  # so that errors name the line of the page
                exec(compile(lines, block.page, "exec", dont_inherit=True), namespace)
    finally:
        FUSIONS.clear()
        FUSIONS.update(registered)


@pytest.mark.parametrize("block", blocks_of("bash"), ids=name)
def test_shell_commands_exist(block: Block) -> None:
    for words in commands(block.text):
        assert words[0].rpartition("/")[2] in PROGRAMS, words[0]
        if words[0] == "make":
            check_make(words[1:])
        elif words[0] == "pip":
            check_extras(words)
        elif words[0] not in ("cd", "git", "tensorboard"):
            check_vitatt(words[place_of_vitatt(words) + 1 :])


@pytest.mark.parametrize("block", blocks_of("yaml"), ids=name)
def test_keys_exist(block: Block) -> None:
    config = yaml.safe_load(block.text)
    if "classes" in config:
        parse_description(block.text, str(block))
        return
    if "bands" in config:
        ReaderModel.model_validate_json(json.dumps(config))
        return
    if isinstance(config.get("arms"), list):
        Protocol.model_validate_json(json.dumps(config))
        return
    if "arms" in config:
        assert set(config) <= set(inspect.signature(benchmark).parameters)
        for arm in config["arms"].values():
            assert set(arm) <= {field.name for field in dataclasses.fields(Arm)}, arm
            for key in arm.get("settings", {}):
                assert known("fit", f"--{key}"), key
            for path in arm.get("configs", []):
                assert is_file(f"conf/{path.removeprefix('../')}"), path
        return
    if "parameters" in config:
        assert set(config) <= set(inspect.signature(sweep).parameters)
        assert read_parameters(config["parameters"])
        for key in config["parameters"]:
            assert known("fit", f"--{key}"), key
        return
    for key in dotted(config):
        assert known("fit", f"--{key}"), key


def test_pages_name_files_that_exist():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for path in re.findall(r"\b(?:conf|tests|vitatt)/[\w/]+\.(?:py|yaml)\b", text):
            assert is_file(path) or path.endswith(("/NAME.yaml", "/x.yaml")), f"{page}: {path}"


def test_pages_link_to_pages_and_headings_that_exist():
    """Sphinx checks docs; this checks the README, whose links are seen on the repository's page."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", text):
        if not target.startswith("https://"):
            assert (ROOT / target).exists(), target


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize(
    "path", sorted((DOCS / "_static").glob("*.*g")), ids=lambda path: path.name
)
def test_images_are_small(path: Path) -> None:
    assert path.stat().st_size <= 300_000


def place_of_vitatt(words: list[str]) -> int:
    return next(n for n, word in enumerate(words) if word.rpartition("/")[2] == "vitatt")


def is_file(path: str) -> bool:
    """Whether the repository has a file, or will have it after the recipes."""
    return (ROOT / path).is_file() or path in MADE


def check_vitatt(words: list[str]) -> None:
    command = command_of(words)
    if command == "count-cases":  # of the recipe, whose own test calls it
        return
    assert command in (*TRAINER, *OWN), command
    for place, word in enumerate(words):
        if not word.startswith("--"):
            continue
        option, _, value = word.partition("=")
        assert known(command, option), f"vitatt {command} {option}"
        value = value or next(iter(words[place + 1 : place + 2]), "")
        if option == "--config":
            assert is_file(value), value


def check_make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        variable, equals, _ = word.partition("=")
        if equals:
            assert re.search(rf"^{variable} \?=", text, re.MULTILINE), word
        else:
            assert re.search(rf"^{word}:", text, re.MULTILINE), word


def check_extras(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in words:
        for extra in re.findall(r"vitatt\[([\w,]+)\]", word):
            assert set(extra.split(",")) <= set(project["optional-dependencies"]), word


def known(command: str, option: str) -> bool:
    """Whether a command has an option; below ``init_args``, whether it has that of the class."""
    if command in ("benchmark", "sweep") and option.startswith(_PASSED):
        command = "fit"
    option = re.sub(r"\.(init_args|class_path)\b.*", "", option)
    return option in options(command) or option in ("--debug", "--help")


_PASSED = tuple(f"--{name}." for name in ("data", "model", "trainer", "token_cache"))


@functools.cache
def options(command: str) -> frozenset[str]:
    """All options of a command, from its help."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit) as leaving:
        main([*command.split(), "--help"])
    assert leaving.value.code == 0
    return frozenset(re.findall(r"--[\w.]+", text.getvalue()))


def dotted(config: Any, prefix: str = "") -> Iterator[str]:
    """Keys of a configuration, down to values and to objects described by a class path."""
    for key, value in config.items():
        inside = isinstance(value, dict) and "class_path" not in value and key != "fusion"
        if inside:
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
