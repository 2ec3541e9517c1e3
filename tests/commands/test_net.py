"""Whatever goes wrong, a command ends in one line and a status that says whose turn it is."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vitatt import cli
from vitatt.cli import OWN, TRAINER, main
from vitatt.types import UsageError

VITATT = str(Path(sys.executable).with_name("vitatt"))


@pytest.fixture
def failing(monkeypatch):
    """Makes every command fail with an error."""

    def fail(error: BaseException) -> None:
        def run(words: list[str]) -> int:
            raise error

        monkeypatch.setattr(cli, "_run", run)

    return fail


def test_an_unforeseen_error(failing, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failing(ZeroDivisionError("by nought\nin two lines"))
    assert main(["fit", "--data.root", "x"]) == 3
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    found = re.search(r"Unexpected ZeroDivisionError in `vitatt fit`, .*: by nought in two", said)
    assert found, said
    (story,) = tmp_path.glob("vitatt-error-*.txt")
    assert str(story) in said
    text = story.read_text()
    assert "command: vitatt fit --data.root x" in text
    assert f"torch: {torch.__version__.split('+')[0]}" in text
    assert "Traceback (most recent call last)" in text
    assert "ZeroDivisionError: by nought" in text


def test_the_step_is_named(capsys, monkeypatch, options):
    def broken(*_: object) -> None:
        raise RuntimeError("no folds today")

    monkeypatch.setattr("vitatt.data.fold.split_rows", broken)
    assert main(["fit", *options]) == 3
    assert re.search(
        r"in rows \(vitatt/data/fold.py, line \d+\): no folds", capsys.readouterr().err
    )


def test_debug_shows_the_traceback_at_once(failing, capsys):
    failing(ZeroDivisionError("by nought"))
    for words in (["--debug", "fit"], ["fit", "--debug"]):
        assert main(words) == 3
        assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_where_no_file_can_be_written(failing, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    failing(ZeroDivisionError("by nought"))
    assert main(["fit"]) == 3
    said = capsys.readouterr().err
    assert "ZeroDivisionError: by nought" in said
    assert "are above, since no file could be written" in said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(failing, capsys, number):
    inner = OSError(number, os.strerror(number), "runs/last.ckpt")
    outer = RuntimeError("unexpected pos 704 vs 598")
    outer.__context__ = inner
    failing(outer)
    assert main(["fit"]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "The disk is full, or its quota is used up (runs/last.ckpt)" in said


def test_what_the_user_can_put_right(failing, capsys):
    failing(UsageError("Put it right."))
    assert main(["fit"]) == 2
    assert capsys.readouterr().err == "error: Put it right.\n"


@pytest.mark.parametrize(("word", "meant"), [("trian", "fit"), ("predcit", "predict"), ("x", "")])
def test_an_unknown_command(capsys, word, meant):
    assert main([word]) == 2
    said = capsys.readouterr().err
    assert (f"Did you mean `{meant}`?" in said) == bool(meant)
    for name in (*TRAINER, *OWN):
        assert name.split()[0] in said, "of commands of two words the first"


def test_every_command_is_in_the_help(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [re.split("  +", line)[1] for line in lines if re.match(r"  [a-z]", line)]
    assert sorted(listed) == sorted((*TRAINER, *OWN))


def test_version_and_module():
    for words in ([VITATT, "--version"], [sys.executable, "-m", "vitatt", "--version"]):
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert re.fullmatch(r"vitatt \d+\.\d+\.\d+\n", done.stdout)


def test_a_reader_that_has_enough():
    line = f"{sys.executable} -m vitatt --help | true"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
