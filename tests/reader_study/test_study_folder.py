"""The plan of a study: strictly typed, without contradictions, and no file may change."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from tests.reader_study.made_study import plain_study, write_study
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.study_folder import TamperingError, check_files, read_manifest
from vitatt.types import UsageError

PLAIN, _ = plain_study()


def refused(change: Callable[[dict[str, Any]], Any]) -> str:
    plain = copy.deepcopy(PLAIN)
    change(plain)
    with pytest.raises(ValidationError) as error:
        Manifest.model_validate_json(json.dumps(plain))
    return str(error.value)


def test_a_plan_is_read_as_it_was_written(tmp_path) -> None:
    manifest, digest = write_study(tmp_path)
    assert read_manifest(tmp_path) == (manifest, digest)
    assert len(digest) == 64
    check_files(manifest, tmp_path)
    for kind in ("crossover", "sequential"):
        plain, _ = plain_study(design=kind)
        assert Manifest.model_validate_json(json.dumps(plain)).design == kind


@pytest.mark.parametrize(
    "place",
    [
        lambda plan: plan,
        lambda plan: plan["arms"][0],
        lambda plan: plan["cases"][0],
        lambda plan: plan["cases"][0]["stratum"],
        lambda plan: plan["cases"][0]["images"][0],
        lambda plan: plan["cases"][0]["maps"]["tmme"][0],
        lambda plan: plan["readers"][0]["schedule"][0],
        lambda plan: plan["analysis"],
    ],
)
def test_unknown_fields_are_refused(place) -> None:
    assert "Extra inputs are not permitted" in refused(lambda plan: place(plan).update(more=1))


def case(plan: dict[str, Any]) -> dict[str, Any]:
    return plan["cases"][0]


CONTRADICTIONS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda plan: plan.update(version=2), "Input should be 1"),
    (lambda plan: plan.update(seed="0"), "Input should be a valid integer"),
    (lambda plan: plan.update(created="2026-01-05T09:00:00+01:00"), "expected a time in UTC"),
    (lambda plan: plan.update(washout_days=27), "expected at least 28 between the periods"),
    (lambda plan: plan["arms"].append(plan["arms"][0]), "arms: no_ai stands there twice"),
    (lambda plan: case(plan).update(case_id="c001"), "cases: c001 stands there twice"),
    (
        lambda plan: plan["training_cases"][0].update(group=case(plan)["group"]),
        "groups of cases: PAT_c0 stands there twice",
    ),
    (
        lambda plan: plan["readers"][0].update(token_sha256=plan["readers"][1]["token_sha256"]),
        "tokens of readers",
    ),
    (lambda plan: case(plan).update(truth="XXX"), "case c000: there is no class XXX"),
    (
        lambda plan: case(plan)["ai"]["probabilities"].update(BCC=0.9),
        "case c000: expected probabilities that sum to 1",
    ),
    (lambda plan: case(plan)["ai"]["probabilities"].pop("BCC"), "a probability of each class"),
    (lambda plan: case(plan)["ai"].update(predicted="MEL"), "MEL is not the class of the highest"),
    (lambda plan: case(plan)["stratum"].update(ai_correct=False), "ai_correct contradicts truth"),
    (lambda plan: case(plan)["maps"].pop("tmme"), "arm ai shows a map of tmme, which it lacks"),
    (lambda plan: case(plan)["answers"].update(more="1"), "there is no feature more"),
    (lambda plan: case(plan)["images"][0].update(file="../x.png"), "no path within the study"),
    (lambda plan: case(plan)["images"][0].update(file="/etc/x.png"), "no path within the study"),
    (
        lambda plan: case(plan)["images"][0].update(file="images/c001.png"),
        "files: images/c001.png stands there twice",
    ),
    (
        lambda plan: plan["readers"][0]["schedule"][0]["cases"].append("t000"),
        "reader r01, period 1: there is no case t000",
    ),
    (
        lambda plan: plan["readers"][0]["schedule"][0].update(cases=["c001", "c001"]),
        "reader r01, period 1: case c001 comes twice",
    ),
    (
        lambda plan: plan["readers"][0]["schedule"][1].update(arms=["no_ai"]),
        "reader r01: no_ai, c00. is read twice",
    ),
    (lambda plan: plan["readers"][0].update(experience="guru"), "there is no experience guru"),
    (lambda plan: plan["analysis"].update(primary_contrast=["ai", "x"]), "there is no arm x"),
    (lambda plan: plan["analysis"].update(primary_metric="AUROC"), "AUROC is not among them"),
    (lambda plan: [one.update(positive=False) for one in plan["classes"]], "none is positive"),
    (lambda plan: plan.update(management=[]), "there are no options"),
]


@pytest.mark.parametrize(("change", "said"), CONTRADICTIONS)
def test_contradictions_are_named(change, said) -> None:
    assert re.search(said, refused(change))


def test_a_changed_plan_is_noticed(tmp_path) -> None:
    write_study(tmp_path)
    path = tmp_path / "study.json"
    path.write_text(path.read_text().replace('"truth": "MEL"', '"truth": "NEV"', 1))
    with pytest.raises(
        TamperingError, match=r"study\.json was changed: its SHA-256 is [0-9a-f]{64}"
    ):
        read_manifest(tmp_path)


def test_every_file_is_checked(tmp_path) -> None:
    manifest, _ = write_study(tmp_path, cases=2)
    names = sorted(manifest.files())
    assert names == sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*") if path.is_file()
    )
    for name in names:
        path = tmp_path / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(TamperingError, match=f"{name} was changed"):
            check_files(manifest, tmp_path)
        path.unlink()
        with pytest.raises(TamperingError, match=f"{name}, which study.json lists, cannot be read"):
            check_files(manifest, tmp_path)
        path.write_bytes(data)
    check_files(manifest, tmp_path)


def test_a_folder_that_is_no_study(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"is no folder of a reader study: it has no study\.json"):
        read_manifest(tmp_path)
