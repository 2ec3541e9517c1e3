"""The command `vitatt study simulate`."""

from __future__ import annotations

import shutil

import numpy as np
import polars as pl
import pytest

from vitatt.cli import main
from vitatt.reader_study.evidence_mask import decode_mask
from vitatt.reader_study.log_reading import read_log
from vitatt.reader_study.readings import make_readings
from vitatt.reader_study.simulation.drawn_evidence import with_evidence
from vitatt.reader_study.simulation.reader_model import DEFAULT_READERS
from vitatt.reader_study.simulation.simulated_readings import SimulatedStudy
from vitatt.reader_study.study_folder import check_files, read_manifest


def test_the_log_holds_every_reading_and_the_study_stays_as_it_is(study, tmp_path) -> None:
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    folder = tmp_path / "made"
    assert main(["study", "simulate", str(study), f"--output={folder}"]) == 0
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before
    manifest, digest = read_manifest(folder)
    check_files(manifest, folder)
    assert manifest.name == "study (simulated readers)"
    events = read_log(folder, digest).events
    table = make_readings(manifest, events)
    assert table.height == 6 * 12 * 3
    written = pl.read_csv(folder / "readings.csv", null_values="")
    assert written["diagnosis"].to_list() == table["diagnosis"].to_list()
    rng = np.random.default_rng(0)
    direct = SimulatedStudy(manifest, DEFAULT_READERS).readings(rng)
    direct = with_evidence(direct, manifest, folder, DEFAULT_READERS, rng)
    order = ["reader", "period", "position"]
    assert table.sort(order).equals(direct.sort(order))
    assert sum(event.kind == "case_shown" for event in events) == table.height
    assert set(table["experience"]) == {"low", "medium", "high"}
    assert {*table["drawn_shape"]} == {"box", "brush"}
    masks = [decode_mask(text) for text in table["evidence_mask"]]
    assert all(0 < mask.sum() < 0.25 * mask.size for mask in masks)
    known = {case.case_id: set(case.answers) for case in manifest.cases}
    for case, ticked in table.select("case_id", "evidence_features").iter_rows():
        assert set(filter(None, ticked.split(";"))) <= known[case]


def test_other_readers_are_assigned_anew_and_the_seed_decides(study, tmp_path) -> None:
    tables = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        words = [f"--output={tmp_path / name}", "--readers=12", f"--seed={seed}"]
        assert main(["study", "simulate", str(study), *words]) == 0
        manifest, digest = read_manifest(tmp_path / name)
        tables.append(make_readings(manifest, read_log(tmp_path / name, digest).events))
        assert manifest.stopping.readings == tables[-1].height == 12 * 12 * 3
    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])


def test_a_changed_study_is_refused(study, tmp_path, capsys) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    image = next((copy / "images").iterdir())
    image.write_bytes(image.read_bytes() + b"x")
    assert main(["study", "simulate", str(copy)]) == 2
    assert f"{image.name} was changed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize(("words", "said"), [(["--readers=0"], "`readers` to be at least 1")])
def test_wrong_settings(study, words, said, capsys) -> None:
    assert main(["study", "simulate", str(study), *words]) == 2
    assert said in capsys.readouterr().err
