"""Protocols by preset and from YAML, and readers from a file."""

from __future__ import annotations

import pytest

from vitatt.reader_study.design.protocol import make_protocol
from vitatt.reader_study.design.readers import new_tokens, planned_readers
from vitatt.types import UsageError

BANDS = ("low", "high")


def test_presets() -> None:
    assert [arm.name for arm in make_protocol((), None).arms] == ["no_ai", "ai", "ai_reasons"]
    assert make_protocol((), None).contrast == ("ai", "ai_reasons")
    assert make_protocol("no_ai,ai", None).contrast == ("no_ai", "ai")
    with pytest.raises(UsageError, match="to name two arms at least, but got ai"):
        make_protocol(["ai"], None)
    with pytest.raises(UsageError, match=r"got .ai_reason.\. Did you mean ai_reasons"):
        make_protocol("ai_reason", None)


def test_a_file(tmp_path) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_text(
        "arms:\n"
        "  - {name: plain, title: Plain, shows_ai: true, shows_map: null, shows_answers: false}\n"
        "  - {name: map, title: Map, shows_ai: true, shows_map: grad_cam, shows_answers: false}\n"
        "ask: {top: 3, confidence: true, management: false, trust: false, drawing: box,"
        " features: false}\n"
        "question: Does Grad-CAM help?\n"
    )
    protocol = make_protocol((), path)
    assert protocol.contrast == ("plain", "map")
    assert protocol.ask.top == 3
    assert protocol.stated_question() == "Does Grad-CAM help?"
    with pytest.raises(UsageError, match="but both name them"):
        make_protocol("ai", path)


def test_a_version_of_the_consent_may_be_a_date(tmp_path) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_text("consent: {version: 2026-01-31, text: {en: Agreed}, withdrawal: ask}")
    assert make_protocol((), path).consent.version == "2026-01-31"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("levels: 3", r"protocol.yaml: levels: Extra .*Did you mean level"),
        ("level: many", "level: Input should be a valid number"),
        ("level: 0.05", "level: Input should be greater than 0.5"),
        ("ask: {tops: 1}", r"ask.tops: Extra .*Did you mean top"),
        ("readers: {bands: [], second: 1}", r"readers.second: Extra"),
        ("arms: []", "arms: Tuple should have at least 2 items"),
        ("primary_contrast: [ai, ai]", "primary_contrast: both arms are ai"),
        (
            "primary_contrast: [ai, noai]",
            "primary_contrast: there is no arm noai. Did you mean no_ai",
        ),
        ("primary_metric: x", "primary_metric: Input should be .balanced accuracy."),
        ("metrics: [AUROC]", "metrics: balanced accuracy is not among them"),
        ("readers: {bands: []}", "readers.bands"),
        ("- a", "hold values by name"),
    ],
)
def test_wrong_files(tmp_path, text, said) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        make_protocol((), path)


def test_readers_by_number_and_by_file(tmp_path) -> None:
    assert [one.code for one in planned_readers("3", BANDS)] == ["r01", "r02", "r03"]
    path = tmp_path / "readers.csv"
    path.write_text("code,experience\nanna7,low\n12,\n")
    assert planned_readers(str(path), BANDS) == [("anna7", "low"), ("12", None)]
    path.write_text("code\na\nb\n")
    assert planned_readers(str(path), BANDS) == [("a", None), ("b", None)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("code,experience\na,lo\n", "line 2: there is no experience band 'lo'. Did you mean low"),
        ("code\na\na\n", "line 3: reader a stands there twice"),
        ("code\nAnna Meier\n", "line 2: expected a code of letters, digits, - and _, and no name"),
        ("code\n", "names no reader"),
        ("experience\nlow\n", "Expected the column code"),
        ("code;experience\na;low\n", "unknown column 'code;experience'.*by a comma"),
        ("code,band\na,low\n", "unknown column 'band'"),
        ("code,Experience\na,low\n", "'Experience'. Did you mean experience"),
    ],
)
def test_wrong_readers(tmp_path, text, said) -> None:
    path = tmp_path / "readers.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        planned_readers(str(path), BANDS)


@pytest.mark.parametrize(
    ("given", "said"),
    [("0", "1 to 999"), ("-1", "1 to 999"), ("1000", "1 to 999"), ("no.csv", "is no file")],
)
def test_wrong_numbers_of_readers(given, said) -> None:
    with pytest.raises(UsageError, match=said):
        planned_readers(given, BANDS)


def test_tokens_are_secret_and_differ() -> None:
    readers = planned_readers("50", BANDS)
    first, second = new_tokens(readers), new_tokens(readers)
    assert len({*first.values(), *second.values()}) == 100
    assert all(len(token) >= 32 for token in first.values())
