"""demo-data: what it refuses, in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitatt.cli import main


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["demo-data", *words]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize("name", ["file/demo", "/proc/demo", "/proc/deeper/demo"])
def test_a_folder_that_cannot_be_written(tmp_path, capsys, name) -> None:
    (tmp_path / "file").write_text("")
    said = refused([str(tmp_path / name)], capsys)
    assert "which the synthetic dataset names, cannot be" in said


def test_a_folder_of_something_else_stays(tmp_path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not empty and holds no synthetic dataset" in refused([str(tmp_path)], capsys)
    (tmp_path / "truth.json").write_bytes(b"\xff")
    assert "was not written by this version of vitatt" in refused([str(tmp_path)], capsys)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--num_cases=47", "`num_cases` to be at least 48, but got 47"),
        ("--image_size=31", "`image_size` to be at least 32, but got 31"),
        ("--seed=-1", "`seed` to be at least 0, but got -1"),
    ],
)
def test_numbers_that_cannot_be(tmp_path, capsys, option, message) -> None:
    assert message in refused([str(tmp_path / "demo"), option], capsys)
    assert not (tmp_path / "demo").exists()


def test_a_folder_below_home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["demo-data", "~/demo", "--num_cases=48", "--image_size=32"]) == 0
    assert (tmp_path / "demo" / "truth.json").is_file()
    assert not Path("~").exists()
