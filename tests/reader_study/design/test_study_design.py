"""The command `vitatt study design`, on a model that nobody trained."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import stat
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from tests.inference.conftest import save_model
from tests.reader_study.conftest import SECRET
from vitatt.cli import main
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.synthetic.demo import write_demo
from vitatt.inference.case_in_hand import CaseInHand
from vitatt.inference.predictor import Predictor
from vitatt.models.fusion.naming import class_of
from vitatt.plotting.heatmap import overlay
from vitatt.reader_study.log_reading import read_log
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.study_folder import check_files, read_manifest
from vitatt.studies.inputs import datamodule_of_checkpoint


def option(options: list[str], name: str) -> str:
    return next(one for one in options if one.startswith(f"--{name}=")).partition("=")[2]


@pytest.fixture(scope="module")
def plan(study) -> Manifest:
    return read_manifest(study)[0]


@pytest.fixture(scope="module")
def predictor(study_options) -> Predictor:
    return Predictor.load(option(study_options, "ckpt_path"), device="cpu")


@pytest.fixture(scope="module")
def table(marked_root) -> dict[str, dict[str, str]]:
    with (marked_root / "metadata.csv").open() as file:
        return {row["img_id"]: row for row in csv.DictReader(file)}


def test_the_folder_is_whole_and_its_log_is_begun(study, plan) -> None:
    _, digest = read_manifest(study)
    check_files(plan, study)
    (event,) = read_log(study, digest).events
    assert (event.kind, event.data) == ("opened", {"manifest": digest})
    listed = {study / name for name in plan.files()}
    others = {"study.json", "manifest.sha256", "events.jsonl", "events.head", "tokens.csv"}
    found = {path for path in study.rglob("*") if path.is_file()}
    assert found - listed == {study / name for name in others}
    checksum = hashlib.sha256((study / "study.json").read_bytes()).hexdigest()
    assert (study / "manifest.sha256").read_text() == f"{checksum}  study.json\n"
    assert not list(study.parent.glob(".*"))


def test_cases_are_of_the_outer_fold_one_of_each_group(plan, table, study_options) -> None:
    checkpoint = torch.load(option(study_options, "ckpt_path"), weights_only=True)
    fold = checkpoint["hyper_parameters"]["task"]["fold_spec"]
    assert plan.source.fold == f"fold {fold['fold']} of {fold['num_folds']}, seed {fold['seed']}"
    cases = [*plan.cases, *plan.training_cases]
    assert len(plan.cases) == 12
    assert len(plan.training_cases) == 2
    assert len({case.group for case in cases}) == 14
    for case in cases:
        assert case.truth == table[case.source_id]["diagnostic"]
    assert sum(not case.stratum.ai_correct for case in plan.cases) >= 4


def test_no_case_was_seen_in_training(plan, study_options, marked_root) -> None:

    settings = {"root": str(marked_root), "cache_dir": option(study_options, "data.cache_dir")}
    module = datamodule_of_checkpoint(option(study_options, "ckpt_path"), settings)
    seen = {group for name in ("train", "val") for group in module.cases(name)["group"]}
    assert seen
    assert not seen & {case.group for case in (*plan.cases, *plan.training_cases)}


def test_the_ai_is_the_predictors(plan, table, marked_root, predictor) -> None:
    for case in plan.cases[:4]:
        answers = {key: table[case.source_id][key] for key in predictor.features}
        image = marked_root / "images" / case.source_id
        found = predictor.predict(image, answers)
        assert found.predicted == case.ai.predicted
        assert case.ai.probabilities == pytest.approx(dict(found.probabilities), abs=2e-6)
        evidence = CaseInHand(predictor, image).evidence(answers)
        # An answer that training did not see is none to the model.
        known = {name: value for name, value in evidence.items() if name not in found.missing}
        assert case.evidence == pytest.approx(known, abs=1e-4)
        assert set(case.evidence) == set(case.answers) - set(found.missing)


def test_maps_are_the_predictors(plan, study, table, marked_root, predictor) -> None:
    case = plan.cases[0]
    answers = {key: table[case.source_id][key] for key in predictor.features}
    assert set(case.maps) == {"tmme", "attention", "grad_cam"}
    for method, (one,) in case.maps.items():
        found = predictor.explain(marked_root / "images" / case.source_id, answers, method=method)
        grid = np.load(study / one.grid)
        np.testing.assert_allclose(grid, found.patches, rtol=1e-3, atol=1e-5)
        drawn = np.asarray(Image.open(study / one.file))
        assert drawn.shape == (48, 48, 4)
        np.testing.assert_array_equal(drawn, overlay(grid, (48, 48)))
        if method == "tmme":
            assert case.relevance == pytest.approx(dict(found.features), rel=1e-3, abs=1e-5)


def test_nothing_that_a_reader_can_be_served_tells_source_or_truth(plan, study, table) -> None:
    """Names and bytes of images and maps; the plan itself and the tokens are never served."""
    words = {SECRET.encode(), b"Exif", b"GPS"}
    for case in (*plan.cases, *plan.training_cases):
        words |= {case.source_id.encode(), Path(case.source_id).stem.encode(), case.group.encode()}
    names = {one.name.encode() for one in plan.classes}
    for name in plan.files():
        assert re.fullmatch(
            r"(images|maps)/[ct]\d{3}-1(-(tmme|attention|grad_cam))?\.(png|npy)", name
        )
        data = (study / name).read_bytes()
        assert not [word for word in words if word in data]
        if name.endswith(".png"):
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                assert image.info == {}
                assert not image.getexif()
            chunks = re.findall(rb"IHDR|tEXt|iTXt|zTXt|eXIf|tIME", data[:64] + data[-64:])
            assert chunks == [b"IHDR"]
            assert not [one for one in names if one in data[:33]]


def test_pixels_are_those_of_the_source(plan, study, marked_root) -> None:
    for case in plan.cases[:3]:
        shown = np.asarray(Image.open(study / case.images[0].file))
        source = np.asarray(Image.open(marked_root / "images" / case.source_id).convert("RGB"))
        np.testing.assert_array_equal(shown, source)


def test_tokens_are_for_the_operator_alone(study, plan) -> None:
    tokens = pl.read_csv(study / "tokens.csv")
    assert tokens["reader"].to_list() == [reader.code for reader in plan.readers]
    for token, reader in zip(tokens["token"], plan.readers, strict=True):
        assert hashlib.sha256(token.encode()).hexdigest() == reader.token_sha256
        assert token not in (study / "study.json").read_text()
        assert token not in (study / "events.jsonl").read_text()
    assert stat.S_IMODE((study / "tokens.csv").stat().st_mode) == 0o600


def frozen(folder: Path) -> dict:
    plain = json.loads((folder / "study.json").read_text())
    plain.pop("created")
    for reader in plain["readers"]:
        reader.pop("token_sha256")
    return plain


def test_the_seed_decides_all_but_time_and_tokens(study_options, tmp_path) -> None:
    """With one number of threads: with another, sums differ in their last digits."""
    folders = [tmp_path / name / "study" for name in ("one", "again", "other")]
    for folder, more in zip(folders, ([], [], ["--seed=8"]), strict=True):
        assert main(["study", "design", *study_options, *more, f"--output={folder}"]) == 0
    one, again, other = map(frozen, folders)
    assert again == one
    assert other["readers"] != one["readers"]


def test_the_summary(study_options, tmp_path, capsys) -> None:
    folder = tmp_path / "five"
    words = [*study_options, "--readers=5", "--design=sequential", "--arms=no_ai,ai"]
    assert main(["study", "design", *words, f"--output={folder}"]) == 0
    text = capsys.readouterr().out
    assert "Cases: 12 of as many groups, and 2 training cases of other groups." in text
    plan, _ = read_manifest(folder)
    counts = sorted(Counter(case.truth for case in plan.cases).items())
    assert re.search(rf"class +{', '.join(f'{name} {count}' for name, count in counts)}\n", text)
    assert re.search(r"AI +wrong in \d+ \(\d+%\), right in \d+", text)
    assert "Arms: no_ai, ai; sequential, one period." in text
    assert "Readers: 5; readings: 120, 24 of each reader; expected time: 19 minutes" in text
    assert re.search(r"Power: \d+% for balanced accuracy of ai against no_ai at level 0.05", text)
    assert f"Next: vitatt study serve {folder}" in text


def test_a_readers_file_and_a_protocol(study_options, tmp_path) -> None:
    readers = tmp_path / "readers.csv"
    readers.write_text("code,experience\na1,low\nb2,\n")
    protocol = tmp_path / "protocol.yaml"
    protocol.write_text("experience: [{name: low, title: Student}]\nlevel: 0.9\n")
    words = [*study_options, f"--readers={readers}", f"--protocol={protocol}", "--positive=MEL"]
    folder = tmp_path / "study"
    words += ["--washout_days=40", "--until=2999-12-31", f"--output={folder}"]
    assert main(["study", "design", *words]) == 0
    plan, _ = read_manifest(folder)
    assert [(one.code, one.experience) for one in plan.readers] == [("a1", "low"), ("b2", None)]
    assert plan.positive == {"MEL"}
    assert plan.washout_days == 40
    assert str(plan.stopping.date) == "2999-12-31"
    assert plan.stopping.readings == 2 * 12 * 3
    assert plan.analysis.level == 0.9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--washout_days=27"], "`--washout_days` to be at least 28 between the periods"),
        (["--design=sequential", "--washout_days=28"], "no `--washout_days` with a single period"),
        (["--cases=500"], "Expected at most .* but got --cases 500: the test split has"),
        (["--wrong_share=1.5"], "Expected `wrong_share` to be at least 0 and at most 1"),
        (["--arms=ai,maps"], "Expected `arms` to be among no_ai, ai, ai_reasons, but got 'maps'"),
        (["--positive=MELA"], "got 'MELA'. Did you mean MEL"),
        (["--positive=ACK,BCC,MEL,NEV,SCC,SEK"], "some but not all classes"),
        (["--skin_type=fitzpatrick"], "got 'fitzpatrick'. Did you mean fitspatrick"),
        (["--until=tomorrow"], "a day as YYYY-MM-DD, but got 'tomorrow'"),
        (["--until=2020-01-01"], "--until to be 20.* or later, .* 56 days at least, but got 2020"),
        (["--design=sequential", "--until=2020-01-01"], "take 0 days at least"),
        (["--readers=none.csv"], "none.csv is no file"),
        (["--ckpt_path=none.ckpt"], "The checkpoint none.ckpt does not exist"),
    ],
)
def test_wrong_settings_leave_no_folder(study_options, tmp_path, capsys, words, said) -> None:
    folder = tmp_path / "study"
    assert main(["study", "design", *study_options, f"--output={folder}", *words]) == 2
    assert re.search(said, " ".join(capsys.readouterr().err.split()))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_anything_in_it_is_refused(study_options, tmp_path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["study", "design", *study_options, f"--output={tmp_path}"]) == 2
    assert "to be a new or empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("fusion", "maps", "said"),
    [
        ("metadata_only", set(), "no method applies"),
        ("image_only", {"tmme", "attention", "grad_cam"}, ""),
        ("concatenation", {"grad_cam"}, "Methods that apply to it: grad_cam"),
    ],
)
def test_other_networks(marked_root, study_options, tmp_path, capsys, fusion, maps, said) -> None:
    """Maps of the methods that apply; an arm that shows another is an error."""
    settings = {"root": str(marked_root), "cache_dir": option(study_options, "data.cache_dir")}
    module = LesionDataModule("pad_ufes_20", image_size=32, num_folds=2, **settings)
    path = save_model(tmp_path / "other.ckpt", module, fusion=class_of(fusion))
    words = ["study", "design", *study_options, f"--ckpt_path={path}"]
    assert main([*words, "--arms=no_ai,ai", f"--output={tmp_path / 'study'}"]) == 0
    plan, _ = read_manifest(tmp_path / "study")
    assert all(set(case.maps) == maps for case in plan.cases)
    assert all(bool(case.evidence) == (fusion != "image_only") for case in plan.cases)
    assert main(["study", "simulate", str(tmp_path / "study")]) == 0
    assert main(["study", "analyse", str(tmp_path / "study-simulated")]) == 0
    capsys.readouterr()
    assert main([*words, f"--output={tmp_path / 'other'}"]) == (2 if said else 0)
    assert said in capsys.readouterr().err


def test_cases_of_several_views(tmp_path) -> None:
    write_demo(tmp_path / "data", dataset="derm7pt", num_cases=60, image_size=40)
    settings = {"root": str(tmp_path / "data"), "cache_dir": str(tmp_path / "cache")}
    module = LesionDataModule("derm7pt", image_size=32, num_folds=2, **settings)
    path = save_model(tmp_path / "views.ckpt", module)
    words = [f"--ckpt_path={path}", *(f"--data.{name}={one}" for name, one in settings.items())]
    words += ["--cases=10", "--readers=2", "--simulations=2", f"--output={tmp_path / 'study'}"]
    assert main(["study", "design", *words]) == 0
    plan, _ = read_manifest(tmp_path / "study")
    views = [tuple(image.view for image in case.images) for case in plan.cases]
    assert ("close-up", "dermoscopic") in views
    for case in plan.cases:
        for maps in case.maps.values():
            assert [one.view for one in maps] == [image.view for image in case.images]
            for one in maps:
                assert np.load(tmp_path / "study" / one.grid).shape == (2, 2)
    assert main(["study", "simulate", str(tmp_path / "study"), "--readers=4"]) == 0
    assert main(["study", "analyse", str(tmp_path / "study-simulated")]) == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["study"], 0, "usage: vitatt study COMMAND"),
        (["study", "--help"], 0, "design      plan a reader study"),
        (["study", "desing"], 2, "vitatt study has no command 'desing'. Did you mean `design`?"),
        (["study", "--output=x"], 2, "vitatt study has no command '--output=x'."),
        (["stduy"], 2, "vitatt has no command 'stduy'. Did you mean `study`?"),
    ],
)
def test_the_family_of_commands(words, status, said, capsys) -> None:
    assert main(words) == status
    printed = capsys.readouterr()
    assert said in (printed.err if status else printed.out)
