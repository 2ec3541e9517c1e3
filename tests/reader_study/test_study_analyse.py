"""The command `vitatt study analyse`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.pages import Page
from tests.reader_study.simulated_study import Events, reader_model, write_simulated
from vitatt.cli import main
from vitatt.reader_study.event_chain import NewEvent
from vitatt.reader_study.outcome.record import read_record

MODEL = reader_model((0.2, 0.6, 0.4), (1.0, 0.3, 0.2))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "study"
    write_simulated(folder, MODEL, cases=12, readers=6)
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "study"))


def headings(folder: Path) -> list[str]:
    text = (folder / "report.html").read_text()
    return [part.partition("</h2>")[0].rpartition(">")[2] for part in text.split("<h2")[1:]]


def stop(events: Events) -> Events:
    """r01 stops after the first period, as the time does."""
    return [
        event
        for event in events
        if event.reader != "r01" or event.data.get("period") != 2 or event.kind != "submitted"
    ]


def test_every_result_is_written(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "analyse", str(study)]) == 0
    place = study / "analysis"
    said = capsys.readouterr().out
    assert f"Report: {place / 'report.html'}" in said
    assert said.startswith("Balanced accuracy was ")
    names = {path.name for path in place.iterdir()}
    assert names == {"report.html", "methods.md", "readings.csv", "tables"}
    written = pl.read_csv(place / "readings.csv")
    readings = read_record(study).readings
    assert written["diagnosis"].to_list() == readings["diagnosis"].to_list()
    assert written["evidence_mask"].to_list() == readings["evidence_mask"].to_list()
    tables = {path.stem: pl.read_csv(path) for path in (place / "tables").iterdir()}
    assert tables["primary"].height == 1
    assert tables["secondary"]["p_holm"].is_not_null().any()
    assert {"metrics", "gains", "reliance", "times", "sensitivity", "flow", "cases"} <= set(tables)
    before = (place / "report.html").read_bytes()
    assert main(["study", "analyse", str(study)]) == 0  # an earlier report is written anew
    assert (place / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("study.json", lambda data: data.replace(b"Does the AI", b"Did the AI"), "study.json was"),
        ("images/c003.png", lambda data: data + b"x", "images/c003.png was changed"),
        ("maps/c004-tmme.npy", lambda data: data[:-1] + b"x", "maps/c004-tmme.npy was changed"),
        ("events.jsonl", lambda data: data.replace(b'"NEV"', b'"MEL"', 1), "events.jsonl, line"),
        ("events.jsonl", lambda data: data[: data[:-1].rfind(b"\n") + 1], "missing at the end"),
        ("events.head", lambda data: b"", "events.head was changed"),
    ],
)
def test_tampering_is_named_and_stops(
    study: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    change: Callable[[bytes], bytes],
    said: str,
) -> None:
    path = study / name
    changed = change(path.read_bytes())
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    assert main(["study", "analyse", str(study)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (study / "analysis").exists()


def test_a_running_study_needs_interim(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "study"
    write_simulated(study, MODEL, cases=12, readers=6, events=stop)
    assert main(["study", "analyse", str(study)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "is not over: 132 of 144 readings. Results before its end unblind" in said
    assert "add --interim" in said
    assert not (study / "analysis").exists()
    assert main(["study", "analyse", str(study), "--interim"]) == 0
    page = (study / "analysis/report.html").read_text()
    assert "Interim: 132 of 144 readings." in page
    assert "<dd>interim</dd>" in page
    assert "Left out of the analysis of variance, since they lack readings: r01." in page
    assert "Reader r01 submitted 12 of 24 readings." in page
    methods = (study / "analysis/methods.md").read_text()
    assert "**Interim: 132 of 144 readings." in methods


def test_a_study_without_readings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_simulated(tmp_path / "study", cases=6, events=lambda events: [])
    assert main(["study", "analyse", str(tmp_path / "study"), "--interim"]) == 2
    assert "has no reading to analyse" in capsys.readouterr().err


def test_too_few_complete_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def withdraw(events: Events) -> Events:
        gone = [NewEvent("withdrawn", f"r0{n}", {}, events[-1].time) for n in (2, 3, 4)]
        return [*events, *gone]

    write_simulated(tmp_path / "study", cases=6, readers=4, events=withdraw)
    assert main(["study", "analyse", str(tmp_path / "study")]) == 2
    assert "at least 2 arms and 2 readers" in capsys.readouterr().err


def test_other_files_are_not_written_over(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.html").write_text("mine")
    assert main(["study", "analyse", str(study), f"--output={other}"]) == 2
    assert f"but {other} holds other files" in " ".join(capsys.readouterr().err.split())
    assert (other / "report.html").read_text() == "mine"


def test_a_folder_that_is_no_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "analyse", str(tmp_path)]) == 2
    assert "is no folder of a reader study" in capsys.readouterr().err


def test_a_sequential_study(tmp_path: Path) -> None:
    study = tmp_path / "study"
    write_simulated(study, MODEL, cases=12, readers=6, design="sequential")
    assert main(["study", "analyse", str(study)]) == 0
    page = " ".join((study / "analysis/report.html").read_text().split())
    assert "It does not separate the AI from a second look" in page
    assert "an effect of the order cannot be separated" in page
    assert not (study / "analysis/tables/periods.csv").exists()


def test_a_study_that_asks_the_diagnosis_alone(tmp_path: Path) -> None:
    def silent(plan: dict[str, Any]) -> None:
        asked = {"confidence": False, "management": False, "trust": False, "drawing": None}
        plan["ask"] |= {**asked, "features": False}
        plan["analysis"]["metrics"] = ["balanced accuracy", "AUROC"]

    study = tmp_path / "study"
    write_simulated(study, MODEL, cases=12, readers=6, change=silent)
    assert main(["study", "analyse", str(study)]) == 0
    found = headings(study / "analysis")
    assert not [one for one in found if "confidence" in one or "evidence" in one]
    assert "Exploratory: time and trust" in found
    page = (study / "analysis/report.html").read_text()
    assert "No AUROC: " in page


def test_a_study_of_arms_with_ai_alone(tmp_path: Path) -> None:
    def both(plan: dict[str, Any]) -> None:
        plan["arms"][0]["shows_ai"] = True

    study = tmp_path / "study"
    write_simulated(study, MODEL, cases=12, readers=6, change=both)
    assert main(["study", "analyse", str(study)]) == 0
    page = " ".join((study / "analysis/report.html").read_text().split())
    assert "No arm is without AI" in page
    rows = [row for row in Page(page).rows if row[:1] == ["Relative AI reliance"]]
    assert rows == []
    assert not list((study / "analysis/tables").glob("reliance*"))


def test_times_of_zero_are_raised_and_noted(tmp_path: Path) -> None:
    def still(events: Events) -> Events:
        first = next(n for n, event in enumerate(events) if event.kind == "submitted")
        data = {**events[first].data, "visible_seconds": 0.0}
        return [*events[:first], events[first]._replace(data=data), *events[first + 1 :]]

    study = tmp_path / "study"
    write_simulated(study, MODEL, cases=12, readers=6, events=still)
    assert main(["study", "analyse", str(study)]) == 0
    assert (
        "1 reading of less than 0.1 s counted as 0.1 s."
        in (study / "analysis/report.html").read_text()
    )
    assert pl.read_csv(study / "analysis/readings.csv")["seconds"].min() == 0
