"""The description in `docs/own_data.md` explains the table beside it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.docs.blocks import DOCS, blocks
from vitatt.data.datasets import find_dataset


def test_the_table_can_be_read(tmp_path: Path) -> None:
    found = {one.caption: one.text for one in blocks(DOCS / "own_data.md") if one.caption}
    for name in ("my_data/cases.csv", "clinic.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(found[name], encoding="utf-8")
    for line in found["my_data/cases.csv"].splitlines()[1:]:
        Image.new("RGB", (8, 8)).save(tmp_path / "my_data" / line.split(";")[1])
    dataset = find_dataset(str(tmp_path / "clinic.yaml"), "`data.dataset`")
    table = dataset.read(tmp_path / "my_data", labelled=True)
    assert table.cases["diagnosis"].to_list() == ["MEL", "NEV", "NEV"]
    assert table.cases["group"].to_list() == ["P1", "P1", "P2"]
    assert table.cases["age"].to_list() == [44.5, 44.5, 71]
    assert table.cases["itch"].to_list() == ["True", None, "False"]
    assert table.cases["site"].to_list() == ["upper limb", "back", "upper limb"]
    assert table.absent == []
    assert table.notes == ("cases.csv was read as columns separated by semicolons.",)
