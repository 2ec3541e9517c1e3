"""Tables of cases, and maps as the analysis of drawn evidence takes them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.reader_study.made_study import npy, sha256
from tests.reader_study.simulated_study import write_simulated
from vitatt.reader_study.outcome.case_table import case_table
from vitatt.reader_study.outcome.evidence_sources import evidence_sources
from vitatt.reader_study.outcome.record import read_record
from vitatt.reader_study.study_folder import write_bytes, write_manifest


def test_the_share_of_right_diagnoses_of_each_case(tmp_path: Path) -> None:
    manifest = write_simulated(tmp_path, cases=6, readers=4)
    readings = read_record(tmp_path).readings.filter(
        ~((pl.col("case_id") == "c003") & (pl.col("arm") == "ai"))
    )
    found = case_table(manifest, readings)
    assert found["case_id"].to_list() == [case.case_id for case in manifest.cases]
    for row in found.iter_rows(named=True):
        case = manifest.case_by_id[row["case_id"]]
        assert (row["truth"], row["ai_correct"]) == (case.truth, case.stratum.ai_correct)
        for arm in ("no_ai", "ai"):
            own = readings.filter(case_id=case.case_id, arm=arm)["diagnosis"].to_list()
            assert row[f"readings_{arm}"] == len(own)
            share = own.count(case.truth) / len(own) if own else None
            assert row[f"right_{arm}"] == (None if share is None else pytest.approx(share))


def test_maps_of_the_first_view_and_relevance_of_the_answers(tmp_path: Path) -> None:
    def change(plan: dict[str, Any]) -> None:
        del plan["cases"][1]["answers"]["age"]
        del plan["cases"][2]["relevance"]["itch"]
        del plan["cases"][3]["maps"]["grad_cam"]

    manifest = write_simulated(tmp_path, cases=6, readers=4, change=change)
    found = evidence_sources(manifest, tmp_path)
    assert found.maps is not None
    assert found.relevance is not None
    assert set(found.maps) == {"TMME", "attention"}  # one case lacks the third
    expected = np.load(io.BytesIO(npy(2 * 7)))
    np.testing.assert_array_equal(found.maps["TMME"]["c002"], expected)
    assert found.relevance["c001"] == {"itch": 0.3}
    assert found.relevance["c002"] == {"age": 0.1, "itch": 0.0}
    assert found.notes == ()


def test_a_map_of_zeros_says_nothing_and_is_named(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros((4, 4), dtype=np.float32))
    digest = sha256(stream.getvalue())

    def change(plan: dict[str, Any]) -> None:
        plan["cases"][1]["maps"]["tmme"][0]["grid_sha256"] = digest

    manifest = write_simulated(tmp_path, cases=6, readers=4, change=change)
    write_bytes(stream.getvalue(), tmp_path / "maps/c001-tmme.npy")
    write_manifest(manifest, tmp_path)
    found = evidence_sources(manifest, tmp_path)
    assert found.maps is not None
    np.testing.assert_array_equal(found.maps["TMME"]["c001"], np.ones((4, 4)))
    assert found.notes == (
        "The map of TMME is 0 everywhere on case c001; it counts as equal everywhere.",
    )


@pytest.mark.parametrize(
    ("ask", "maps", "relevance"),
    [({"drawing": None}, False, True), ({"features": False}, True, False)],
)
def test_evidence_that_was_not_asked(
    tmp_path: Path, ask: dict[str, Any], maps: bool, relevance: bool
) -> None:
    manifest = write_simulated(tmp_path, cases=6, change=lambda plan: plan["ask"].update(ask))
    found = evidence_sources(manifest, tmp_path)
    assert (found.maps is not None, found.relevance is not None) == (maps, relevance)
