"""Command lines of functions: spellings of options, help texts, suggestions."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import docstring_parser
import pytest

from vitatt import commands
from vitatt.cli import OWN, main
from vitatt.options import (
    CALLED_FROM_PYTHON,
    NO_DATA_SETTINGS,
    CommandLine,
    DataSettings,
    arguments_of,
    run_command,
)
from vitatt.types import UsageError
from vitatt.words import as_list, as_words, known_words, option_values, whole_numbers

Command = Callable[..., int]


@dataclasses.dataclass(frozen=True)
class Group:
    """Some cases.

    Attributes:
        ids: Their names.
        most: Number of them.
    """

    ids: Sequence[str] | str = ()
    most: int = 24


TEN = Group(most=10)


def command(
    *,
    output: str,
    kinds: Sequence[str] | str = ("a", "b"),
    seeds: Sequence[int] | Sequence[str] | int | str = (0,),
    every: bool = False,
    group: Group = TEN,
    fraction: float = 0.5,
) -> int:
    """Do something.

    Args:
        output: Where to.
        kinds: What kinds.
        seeds: Of the draws.
        every: Whether all.
        group: The cases.
        fraction: How much.
    """
    raise AssertionError


def on_data(*, ckpt_path: str, data: DataSettings = NO_DATA_SETTINGS, seed: int = 0) -> int:
    """Look at data.

    Args:
        ckpt_path: The model.
        data: The data.
        seed: Of the draws.
    """
    raise AssertionError


def on_runs(runs: Sequence[str] | str, *, average: bool = False, seed: int = 0) -> int:
    """Look at runs.

    Args:
        runs: Folders.
        average: Whether to average.
        seed: Of the draws.
    """
    raise AssertionError


def passing_on(*, arms: dict[str, Any], line: CommandLine = CALLED_FROM_PYTHON) -> int:
    """Pass options on.

    Args:
        arms: By name.
        line: The command line.
    """
    raise AssertionError


def passing_on_beside_data(*, data: DataSettings, line: CommandLine = CALLED_FROM_PYTHON) -> int:
    """Pass options on, but those of the data.

    Args:
        data: The data.
        line: The command line.
    """
    raise AssertionError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--output=x"], {}),
        (["--output", "x"], {}),
        (["--kinds", "c", "--output", "x"], {"kinds": "c"}),
        (["--kinds", "c", "d", "--output", "x"], {"kinds": ["c", "d"]}),
        (["--kinds", "c,d", "e", "--output=x"], {"kinds": ["c,d", "e"]}),
        (["--kinds=c,d", "--output=x"], {"kinds": "c,d"}),
        (["--kinds=[c, d]", "--output=x"], {"kinds": ["c", "d"]}),
        (["--output=x", "--seeds", "3", "4"], {"seeds": [3, 4]}),
        (["--output=x", "--seeds", "3"], {"seeds": 3}),
        (["--output=x", "--seeds", "-1"], {"seeds": -1}),
        (["--output=x", "--seeds=3,4"], {"seeds": "3,4"}),
        (["--output=x", "--every"], {"every": True}),
        (["--every", "--output=x"], {"every": True}),
        (["--every", "false", "--output=x"], {"every": False}),
        (["--every=true", "--output=x"], {"every": True}),
        (["--output=x", "--group.ids", "a,b"], {"group": Group("a,b", 10)}),
        (["--output=x", "--group.ids", "a", "b"], {"group": Group(["a", "b"], 10)}),
        (["--output=x", "--group.most=2"], {"group": Group(most=2)}),
        (["--output=x", "--fraction", "-.5"], {"fraction": -0.5}),
    ],
)
def test_only_what_is_given_reaches_the_function(words, expected) -> None:
    assert arguments_of(command, words) == {"output": "x", **expected}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a"], {"runs": ["a"]}),
        (["a", "b,c"], {"runs": ["a", "b,c"]}),
        (["--average", "a", "b"], {"runs": ["a", "b"], "average": True}),
        (["a", "--seed", "3", "b"], {"runs": ["a", "b"], "seed": 3}),
    ],
)
def test_words_without_an_option_are_positional(words, expected) -> None:
    found = arguments_of(on_runs, words)
    assert {**found, "runs": as_list(found["runs"])} == expected


@pytest.mark.parametrize(
    ("function", "words", "said"),
    [
        (command, [], "'output' is required"),
        (command, ["--output=x", "--fractoin=1"], "--fractoin=1. Did you mean --fraction?"),
        (command, ["--output=x", "--group.mots", "1"], "Did you mean --group.most?"),
        (command, ["--output=x", "--group.most", "two"], "group.most"),
        (command, ["--output=x", "more"], "Unrecognized arguments: more"),
        (on_data, ["--ckpt_path=x", "--data.foldd=1"], "Did you mean --data.fold?"),
        (on_runs, ["--average"], "'runs' is required"),
    ],
)
def test_wrong_options(function, words, said, capsys) -> None:
    with pytest.raises(SystemExit) as leaving:
        run_command(function, words)
    assert leaving.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_the_configuration_of_a_training(tmp_path, capsys) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "data: {fold: 2, features: [age]}\nckpt_path: null\nseed_everything: 3\n"
        "model: {fusion: {class_path: antigravity.Fusion}}\ntrainer: {max_epochs: 3}\n"
        "explanations: {size: 3}\ntoken_cache: {augmentations: 1}\n"
    )
    expected = {"ckpt_path": "x", "data": {"fold": 2, "features": ["age"]}}
    for words in (["--ckpt_path=x", "--config", str(path)], [f"--config={path}", "--ckpt_path=x"]):
        assert arguments_of(on_data, words) == expected
    assert "antigravity" not in sys.modules
    assert arguments_of(on_data, ["--ckpt_path=x"]) == {"ckpt_path": "x", "data": {}}
    path.write_text("data: {foldd: 2}\n")
    with pytest.raises(SystemExit):
        arguments_of(on_data, ["--ckpt_path=x", f"--config={path}"])
    assert "'foldd'. Did you mean --data.fold" in capsys.readouterr().err


def test_options_of_trainings_are_passed_on(tmp_path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("arms: {a: {title: A}}\n")
    words = [f"--config={path}", "--model.dropout", "0.1", "--trainer.callbacks+=X"]
    found = arguments_of(passing_on, words)
    assert found["arms"] == {"a": {"title": "A"}}
    assert found["line"] == CommandLine(
        f"vitatt passing-on --config={path} --model.dropout 0.1 --trainer.callbacks+=X",
        (path,),
        ("--model.dropout=0.1", "--trainer.callbacks+=X"),
    )
    with pytest.raises(UsageError, match=r"Expected a value after --data\.root"):
        arguments_of(passing_on, [f"--config={path}", "--data.root"])


def test_options_of_the_data_are_the_commands_own() -> None:
    words = ["--data.dataset=pad_ufes_20", "--data.features", "age", "itch", "--trainer.devices=1"]
    found = arguments_of(passing_on_beside_data, words)
    assert found["data"] == {"dataset": "pad_ufes_20", "features": ["age", "itch"]}
    assert found["line"].training_options == ("--trainer.devices=1",)


def function_of(name: str) -> Command:
    name = name.replace("-", "_").replace(" ", "_")
    found: Command = getattr(importlib.import_module(f"vitatt.commands.{name}"), name)
    return found


def test_the_folder_of_commands_holds_commands_alone() -> None:
    files = {path.stem for path in Path(commands.__path__[0]).glob("*.py")}
    assert files == {"__init__", "training", *(function_of(one).__name__ for one in OWN)}


def said(words: list[str], capsys: pytest.CaptureFixture[str], status: int) -> str:
    with pytest.raises(SystemExit) as leaving:
        main(words)
    assert leaving.value.code == status
    printed = capsys.readouterr()
    return " ".join((printed.err if status else printed.out).split())


@pytest.mark.parametrize("name", OWN)
def test_help_lists_every_parameter_with_its_text(name, capsys) -> None:
    function = function_of(name)
    text = said([*name.split(), "--help"], capsys, 0)
    parsed = docstring_parser.parse(function.__doc__)
    docs = {one.arg_name: one.description for one in parsed.params}
    parameters = inspect.signature(function, eval_str=True).parameters
    assert docs.keys() == parameters.keys()
    for key, parameter in parameters.items():
        if parameter.annotation == DataSettings:
            assert "--data.root ROOT Folder of the labelled data." in text
            assert "--config CONFIG" in text
        elif parameter.annotation is not CommandLine:
            assert f"--{key}" in text or f" {key} " in text
            assert " ".join(docs[key].removesuffix(".").split()) in text
    assert parsed.short_description in text


@pytest.mark.parametrize("name", [name for name in OWN if name not in ("datasets", "download")])
def test_an_unknown_option_suggests_the_close_one(name, capsys) -> None:
    """Two commands have no options."""
    keys = [
        key
        for key, parameter in inspect.signature(function_of(name), eval_str=True).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.annotation is not CommandLine
    ]
    option = f"--{keys[-1]}" if keys and keys[-1] != "data" else "--data.root"
    text = said([*name.split(), f"{option[:-1]}{option[-1] * 3}=x"], capsys, 2)
    assert re.search(rf"Did you mean .*{option}", text), text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("[a, b]", ["a", "b"]),
        (["a", "b,c", "a"], ["a", "b", "c"]),
        ("", []),
        ("[]", []),
        ([], []),
        ([1, 2], ["1", "2"]),
    ],
)
def test_as_words(value, words) -> None:
    assert as_words(value) == words


@pytest.mark.parametrize(
    ("value", "numbers"),
    [(3, (3,)), ("3", (3,)), ("0, 1,2", (0, 1, 2)), ([1, 1], (1, 1)), (["-1", "+2"], (-1, 2))],
)
def test_whole_numbers(value, numbers) -> None:
    assert whole_numbers(value, "seeds") == numbers


@pytest.mark.parametrize("value", ["0,x", "1.5", [0.5], "x"])
def test_no_whole_numbers(value) -> None:
    said = re.escape(f"Expected `seeds` to be whole numbers, but got {value}.")
    with pytest.raises(UsageError, match=said):
        whole_numbers(value, "seeds")


def test_option_values() -> None:
    words = ["--x", "a", "--y=b", "--x=c", "--xy", "d", "--x"]
    assert list(option_values(words, "--x")) == ["a", "c"]


def test_known_words() -> None:
    assert known_words("b,a", ("a", "b"), "x") == ["b", "a"]
    with pytest.raises(UsageError, match=r"`x.methods` to name a method, but it is empty"):
        known_words([], ("a", "b"), "x.methods")
    with pytest.raises(UsageError, match=r"among blue, red, but got 'bleu'\. Did you mean blue"):
        known_words("bleu", ("blue", "red"), "x")
