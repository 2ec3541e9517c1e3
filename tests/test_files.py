from __future__ import annotations

from pathlib import Path

import pytest

from vitatt.files import check_writable, whole_file
from vitatt.types import UsageError


def test_a_file_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    with whole_file(path) as part:
        part.write_text("first")
        assert not path.exists()

    def fill_the_disk(part: Path) -> None:
        part.write_text("second, half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"), whole_file(path) as part:
        fill_the_disk(part)
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", [".", "file/below.csv"])
def test_a_file_that_cannot_be_is_found_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file that can be written"):
        check_writable(tmp_path / name)
    check_writable(tmp_path / "fine" / "out.csv")
    assert (tmp_path / "fine").is_dir()
