"""Readings that the server recorded, analysed and reported."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.reader_study.serving.conftest import Start
from vitatt.cli import main
from vitatt.reader_study.evidence_mask import encode_mask


def test_a_study_from_its_first_reading_to_its_report(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = start(design="sequential", cases=9, readers=4)
    chance = random.Random(0)
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:40, 10:30] = True
    for reader in ("r01", "r02", "r03"):
        study.begin(reader)
        while study.now(reader)["stage"] == "case":
            study.answer(
                reader,
                seconds=5 + 10 * chance.random(),
                diagnosis=chance.choice(["BCC", "MEL", "NEV"]),
                confidence=chance.randrange(101),
                drawing={"shape": "box", "mask": encode_mask(mask)},
                features=chance.choice([[], ["age"], ["itch"]]),
            )
    assert main(["study", "analyse", str(tmp_path)]) == 2  # while the server runs
    assert "54 of 72 readings" in capsys.readouterr().err
    study.begin("r04")
    study.answer("r04")
    study.clocks.set_by(hours=-3)
    study.post("r04", "withdraw", {"exclude": True})
    assert main(["study", "analyse", str(tmp_path)]) == 0
    tables = {one.stem: pl.read_csv(one) for one in (tmp_path / "analysis/tables").iterdir()}
    flow = tables["flow"].row(0, named=True)
    steps = ("invited", "consented", "began", "withdrew", "complete", "counted")
    assert [flow[name] for name in steps] == [4, 4, 4, 1, 3, 54]
    found = dict(tables["integrity"].iter_rows())
    assert "-10,800 s" in found["jumps of the server's clock"]
    page = (tmp_path / "analysis/report.html").read_text()
    assert "Reader r04 submitted 1 of 18 readings and withdrew." in page
    assert "Interim" not in page
