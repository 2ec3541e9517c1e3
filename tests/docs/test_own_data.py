"""The table of `docs/own_data.md` is one that the reader of PAD-UFES-20 accepts."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.docs.blocks import DOCS, blocks
from vitatt.data.datasets import DATASETS


def test_the_table_can_be_read(tmp_path: Path) -> None:
    (block,) = (one for one in blocks(DOCS / "own_data.md") if one.caption == "metadata.csv")
    (tmp_path / "metadata.csv").write_text(block.text, encoding="utf-8")
    for line in block.text.splitlines()[1:]:
        Image.new("RGB", (8, 8)).save(tmp_path / line.split(",")[1])
    table = DATASETS["pad_ufes_20"].read(tmp_path, labelled=True)
    assert table.cases["group"].to_list() == ["P1", "P1", "P2"]
    assert table.cases["itch"].to_list() == ["False", "True", None]
    assert table.absent == []
    assert table.notes == ()
