"""Results are whole or not there, and where they go is looked at before the work."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from vitatt.files import (
    check_folder,
    check_writable,
    claim_folder,
    whole_file,
    write_frame,
    write_image,
    write_text,
)
from vitatt.types import UsageError

PACKAGE = Path(__file__).parents[1] / "vitatt"

WRITERS = {"write_parquet", "write_csv", "write_text", "write_bytes", "write_json", "dump", "save"}
"""Methods and functions that write a file, beside `open` for writing."""

ELSEWHERE = {
    "commands/robustness.py": "curves.csv grows while points are measured",
    "callbacks/run_config.py": "LightningCLI's parser and W&B write on their own",
    "benchmark/training.py": "to a string",
    "data/images/corruptions.py": "to memory",
    "reports/addresses.py": "to memory",
    "serving/page.py": "to memory",
    "serving/examples.py": "to memory",
    "inference/remote.py": "to memory",
    "export/program.py": "to memory, whose content is then written whole",
    "reader_study/design/case_files.py": "to memory, whose content is then written whole",
    "data/download/fetch.py": "a part that grows over several calls, with a note of its source",
    "data/download/unpack.py": "a part that takes its name when its checksum is right",
    "data/images/partial_array.py": "an array filled bit by bit, with marks of what is there",
    "data/synthetic/demo.py": "a folder that takes its place when all is in it",
    "data/synthetic/tables.py": "the same folder",
}
"""Files that write in another way, with the reason."""


def direct_writes(source: str) -> list[str]:
    """Calls that write a file, less those to what `whole_file` gave."""
    tree = ast.parse(source)
    items = [item for node in ast.walk(tree) if isinstance(node, ast.With) for item in node.items]
    parts = {"whole_file"}
    for item in items:  # also `part.open() as file`
        if isinstance(item.optional_vars, ast.Name) and isinstance(item.context_expr, ast.Call):
            opened = item.context_expr.func
            if getattr(getattr(opened, "value", opened), "id", "") in parts:
                parts.add(item.optional_vars.id)
    found = []
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        owner = getattr(call.func, "value", None)
        words = [*call.args, *(one.value for one in call.keywords)]
        told = {one.id for one in [*words, owner] if isinstance(one, ast.Name)}
        modes = [str(one.value) for one in words if isinstance(one, ast.Constant)]
        opens = name == "open" and any(re.fullmatch(r"[rbt]*[wax+][bt+]*", one) for one in modes)
        bare = isinstance(call.func, ast.Name)  # those of this package, such as `write_text`
        if (opens or (name in WRITERS and not bare)) and not told & parts:
            found.append(f"line {call.lineno}: {name}")
    return found


def test_every_result_is_written_in_one_way() -> None:
    found = {
        str(path.relative_to(PACKAGE)): direct_writes(path.read_text())
        for path in PACKAGE.rglob("*.py")
    }
    writing = {place: calls for place, calls in found.items() if calls}
    # `run_config.py` writes through the classes it derives from.
    assert set(writing) | {"callbacks/run_config.py"} == set(ELSEWHERE), writing


@pytest.mark.parametrize(
    "source",
    [
        "frame.write_parquet(path)",
        "frame.write_csv(path / 'x.csv')",
        "path.write_text('x')",
        "image.save(path)",
        "with path.open('w') as file: pass",
        "open(path, mode='ab')",
        "json.dump(plain, file)",
        "with whole_file(path) as part:\n    other.write_text('x')",
    ],
)
def test_that_test_can_fail(source: str) -> None:
    assert direct_writes(source)


@pytest.mark.parametrize(
    "source",
    [
        "write_text('x', path)",
        "with whole_file(path) as part:\n    frame.write_csv(part)",
        "with whole_file(path) as part, part.open('wb') as file: torch.save(x, file)",
        "Image.open(path)",
        "path.open('rb')",
        "open(path, encoding='utf-8-sig', errors='replace')",
    ],
)
def test_that_test_can_pass(source: str) -> None:
    assert not direct_writes(source)


def test_a_file_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    with whole_file(path) as part:
        part.write_text("first")
        assert part.suffix == ".csv"
        assert not path.exists()

    def fill_the_disk(part: Path) -> None:
        part.write_text("second, half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"), whole_file(path) as part:
        fill_the_disk(part)
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_on_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch) -> None:
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: done.append("fsync") or fsync(handle))
    monkeypatch.setattr(
        Path, "replace", lambda self, other: done.append("replace") or replace(self, other)
    )
    write_text("x", tmp_path / "x.txt")
    assert done == ["fsync", "replace", "fsync"]  # the file, and then its name


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 60 + ".txt")
    with whole_file(path) as one, whole_file(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_frames_by_their_ending_and_images(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2]})
    for name in ("a.parquet", "a.csv"):
        write_frame(frame, tmp_path / "t" / name)
    assert pl.read_parquet(tmp_path / "t" / "a.parquet").equals(frame)
    assert pl.read_csv(tmp_path / "t" / "a.csv").equals(frame)
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    write_image(pixels, tmp_path / "i" / "a.png")
    assert (np.asarray(Image.open(tmp_path / "i" / "a.png")) == pixels).all()
    write_text("ä\n", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == "ä\n".encode()


UNWRITABLE = ["file/below", "/proc/results", "/dev/null/results", "null\0byte", "n" * 300]


@pytest.mark.parametrize("name", UNWRITABLE)
@pytest.mark.parametrize("check", [check_folder, claim_folder])
def test_a_folder_that_cannot_be_is_found_before_the_work(tmp_path: Path, check, name) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"which --output names, cannot be (made|written) \(.+\)"):
        check(tmp_path / name, "--output")


@pytest.mark.parametrize("name", UNWRITABLE)
def test_a_file_that_cannot_be_is_found_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="which --output names, cannot be"):
        check_writable(tmp_path / name / "out.csv")
    check_writable(tmp_path / "fine" / "out.csv")
    assert not list((tmp_path / "fine").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_disk_mounted_read_only(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(UsageError, match=r"cannot be written \(Read-only file system\)"):
            check_folder(tmp_path, "--output")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_folder_without_permission(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.geteuid() == 0:
        pytest.skip("an administrator may write everywhere")
    with pytest.raises(UsageError, match=r"cannot be written \(Permission denied\)"):
        claim_folder(closed)
    closed.chmod(0)
    with pytest.raises(UsageError, match=r"cannot be read \(Permission denied\)"):
        claim_folder(closed)
    closed.chmod(0o700)


def test_a_folder_holds_the_results_of_one_run(tmp_path: Path) -> None:
    claim_folder(tmp_path / "new" / "results")
    claim_folder(tmp_path / "new" / "results")  # it is still empty
    write_text("x", tmp_path / "new" / "results" / "report.html")
    with pytest.raises(UsageError, match=r"results holds 1 entry \(report\.html\): results of two"):
        claim_folder(tmp_path / "new" / "results")
    for name in ("a", "b", "c"):
        (tmp_path / "new" / "results" / name).mkdir()
    with pytest.raises(UsageError, match=r"holds 4 entries \(a, b, c, \.\.\.\): .* or remove it\."):
        claim_folder(tmp_path / "new" / "results")


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with pytest.raises(UsageError, match=r"to be a file, but .* is a folder"):
        check_writable(tmp_path)
    path.symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"out\.csv exists already\. Name another one, or remove"):
        check_writable(path)
    check_writable(path, again=True)
