"""robustness: its curves against the test command and the network itself, and what it refuses."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.metrics import balanced_accuracy_score

from tests.commands.runs import only_run
from vitatt.cli import main
from vitatt.commands import robustness as command
from vitatt.commands.robustness import robustness
from vitatt.data.datamodule import LesionDataModule
from vitatt.evaluation.summary import summarise
from vitatt.models.classifier import LesionClassifier
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.metadata_only import MetadataOnly
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.options import run_command
from vitatt.studies import robustness as study
from vitatt.studies import robustness_results
from vitatt.studies import robustness_scores as evaluation
from vitatt.types import Pixels, UsageError

pytestmark = pytest.mark.long

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def _fast(request, monkeypatch) -> None:
    """Few resamples and shuffles; figures only in tests that look at them."""
    monkeypatch.setattr(evaluation, "RESAMPLES", 20)
    once = functools.partial(study.feature_importance, repeats=1)
    monkeypatch.setattr(study, "feature_importance", once)
    if "drawn" not in request.fixturenames:
        white = np.full((2, 2, 3), 255, np.uint8)
        monkeypatch.setattr(robustness_results, "curves_figure", lambda *_, **__: white)


@pytest.fixture
def few_corruptions(monkeypatch) -> None:
    """Two of them."""
    two = {name: study.CORRUPTIONS[name] for name in ("blur", "hair")}
    curves = {"image": list(two), "both": list(two)}
    monkeypatch.setattr(study, "CORRUPTIONS", two)
    monkeypatch.setattr(study, "PERTURBATIONS", {**study.PERTURBATIONS, **curves})


@pytest.fixture
def drawn() -> None:
    """Figures as users get them."""


@pytest.fixture(scope="session")
def checkpoint(trained) -> Path:
    return trained / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="session")
def model(checkpoint) -> LesionClassifier:
    return LesionClassifier.load_from_checkpoint(checkpoint, map_location="cpu").eval()


@pytest.fixture
def words(checkpoint, options, demo_root, tmp_path) -> list[str]:
    """The least that the command needs, into the folder ``out`` of the test."""
    (cache,) = [word for word in options if word.startswith("--data.cache_dir")]
    output = f"--output={tmp_path / 'out'}"
    return [f"--ckpt_path={checkpoint}", f"--data.root={demo_root}", cache, output, "--repeats=2"]


@pytest.fixture
def run(words) -> Run:
    return lambda *others: run_command(robustness, [*words, *others])


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def save(model: LesionClassifier, fusion: object, path: Path, *, encoder: bool = True) -> Path:
    """A checkpoint of the same task and another network, untrained but for the encoder."""
    other = LesionClassifier(model.task.to_plain(), encoder="test_vit", fusion=fusion)  # type: ignore[arg-type]
    if encoder and other.network.encoder is not None:
        other.network.encoder.load_state_dict(model.network.encoder.state_dict())
    checkpoint = {
        "state_dict": other.state_dict(),
        "pytorch-lightning_version": "2.6.6",
        other.CHECKPOINT_HYPER_PARAMS_KEY: dict(other.hparams),
    }
    other.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)
    return path


@pytest.fixture
def image_only(model, tmp_path) -> Path:
    return save(model, ImageOnly, tmp_path / "image.ckpt")


def at(curves: pl.DataFrame, **place: object) -> pl.DataFrame:
    return curves.filter(pl.lit(True), **place)


def test_nothing_perturbed_is_what_test_says(run, out, options, checkpoint, model, demo_root):
    assert run("--kinds", "missing", "noise") == 0
    assert main(["test", *options, f"--ckpt_path={checkpoint}"]) == 0
    frame = pl.read_parquet(only_run() / "predictions.parquet")
    tested = summarise(frame, model.task.classes, [f.name for f in model.task.features])
    first = at(pl.read_parquet(out / "curves.parquet"), level=0.0)
    assert first.height == 2 * 6
    for metric, interval in tested.intervals["all cases"].items():
        values = at(first, metric=metric)["value"].to_numpy()
        np.testing.assert_allclose(values, interval.value, atol=1e-9)


def test_all_missing_is_what_the_network_says_of_it(run, out, model, options, demo_root):
    assert run("--kinds", "missing") == 0
    last = pl.read_parquet(out / "curves.parquet").filter(
        pl.col("level") == pl.col("level").max().over("perturbation")
    )
    data = LesionDataModule(
        "pad_ufes_20", str(demo_root), cache_dir=str(out), task=model.task.to_plain()
    )
    batch = next(data.dataset_of("test").batches(100))
    uniform = torch.cat([torch.full((k,), 1 / k) for k in model.task.cardinalities])
    unknown = batch._replace(
        metadata=uniform.expand_as(batch.metadata), missing=torch.ones_like(batch.missing)
    )
    with torch.no_grad():
        predicted = model(unknown).logits.argmax(1)
    expected = balanced_accuracy_score(batch.target, predicted)
    values = at(last, metric="balanced accuracy")["value"].to_list()
    assert values == pytest.approx([expected] * 3)
    levels = dict(last.select("perturbation", "level").iter_rows())
    count = len(model.task.features)
    assert levels == {"at random": 1, "most important first": count, "least important first": count}


def test_everything_it_leaves_behind(
    drawn, few_corruptions, run, out, model, image_only, tmp_path, capsys
):
    other = save(model, AttentionFusion, tmp_path / "other.ckpt")
    words = ["--name=mask", f"--image_only={image_only}", "--sample=8", "--repeats=1"]
    assert run(*words, "--against", f"other={other}") == 0
    kinds = ["missing", "noise", "image", "both"]
    files = ["curves.csv", "curves.parquet", "falls_below.csv", "importance.csv", "report.html"]
    assert {path.name for path in out.iterdir()} == {*files, *(f"{kind}.png" for kind in kinds)}
    page = (out / "report.html").read_text()
    assert "<dt>models</dt><dd>image only, mask, other</dd>" in page
    assert "8 test cases of" in page
    for kind in kinds:
        assert np.asarray(Image.open(out / f"{kind}.png")).std() > 5
    curves = pl.read_parquet(out / "curves.parquet")
    assert curves.equals(pl.read_csv(out / "curves.csv", schema=curves.schema))
    keys = ["model", "kind", "perturbation", "level", "metric"]
    assert not curves.select(keys).is_duplicated().any()
    counts = dict(
        curves.group_by("model", "kind")
        .len()
        .select(pl.concat_str("model", pl.lit(" "), "kind"), "len")
        .iter_rows()
    )
    features = len(model.task.features)
    for name in ("mask", "other"):
        expected = {"missing": 3 + 10 + 2 * features, "noise": 18, "image": 12, "both": 12}
        assert {kind: counts[f"{name} {kind}"] / 2 for kind in kinds} == expected
    expected = {"missing": 3, "noise": 3, "image": 12, "both": 12}
    assert {kind: counts[f"image only {kind}"] / 2 for kind in kinds} == expected
    assert (curves["n"] == 8).all()
    # Differences are to the image-only model with the same figures.
    reference = at(curves, model="image only").filter(pl.col("kind") == "image")
    joined = at(curves, model="mask", kind="both").join(
        reference, on=["perturbation", "level", "metric"], suffix="_of"
    )
    assert joined.height == 24
    np.testing.assert_allclose(
        joined["difference"], joined["value"] - joined["value_of"], atol=1e-12
    )
    crossings = pl.read_csv(out / "falls_below.csv")
    assert set(crossings["model"]) == {"mask", "other"}
    importance = pl.read_csv(out / "importance.csv")
    assert importance.height == 2 * features
    assert at(importance, model="mask")["importance"].is_sorted(descending=True)
    printed = capsys.readouterr().out
    assert "8 test cases of" in printed
    assert "random draws averaged: 1;" in printed
    assert printed.count("below image-only at") == 2 * 2 * (3 + 3 + 2 + 2)


def test_one_pass_of_the_encoder_for_all_metadata_and_all_who_share_it(
    run, out, model, image_only, tmp_path, monkeypatch
):
    seen = []
    forward = ImageEncoder._encode

    def spy(self, image, *others):
        seen.append(len(image.values) if isinstance(image, Pixels) else 0)
        return forward(self, image, *others)

    monkeypatch.setattr(ImageEncoder, "_encode", spy)
    assert run(f"--image_only={image_only}", "--kinds", "missing") == 0
    assert sum(seen) == 12 + 10  # test and validation cases, once
    seen.clear()
    stranger = save(model, ImageOnly, tmp_path / "stranger.ckpt", encoder=False)
    second = [f"--output={tmp_path / 'second'}", f"--image_only={stranger}"]
    assert run(*second, "--kinds", "noise") == 0
    assert sum(seen) == 24


def test_networks_that_metadata_enters_and_that_see_no_image(
    few_corruptions, run, out, model, tmp_path
):
    joining = functools.partial(AttentionFusion, join_at=1)
    early = save(model, joining, tmp_path / "early.ckpt")
    blind = save(model, MetadataOnly, tmp_path / "blind.ckpt")
    words = ["--sample=6", "--repeats=1", "--kinds", "image", "noise"]
    assert run(*words, "--against", f"early={early}", f"blind={blind}") == 0
    curves = pl.read_parquet(out / "curves.parquet")
    figures = at(curves, model="blind", kind="image", metric="macro AUROC")
    assert figures.height == 12
    assert figures["value"].n_unique() == 1
    assert at(curves, model="blind", kind="noise")["value"].n_unique() > 2
    assert curves["difference"].is_null().all()


def test_interrupted_on_the_way(run, out, monkeypatch, capsys):
    calls, score = itertools.count(1), study.score_level

    def interrupted(*args):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return score(*args)

    monkeypatch.setattr(study, "score_level", interrupted)
    assert run("--kinds", "missing") == 130
    # Of the three curves the first points, which are one measurement, and three shares.
    assert "Interrupted: 6 of" in capsys.readouterr().out
    for table in (pl.read_csv(out / "curves.csv"), pl.read_parquet(out / "curves.parquet")):
        assert table.height == 2 * 6
    assert (out / "missing.png").exists()
    assert (out / "report.html").exists()


def test_rows_are_on_file_as_they_come(run, out, monkeypatch):
    heights = []
    score = study.score_level

    def spy(*args):
        path = out / "curves.csv"
        heights.append(pl.read_csv(path).height if path.stat().st_size else 0)
        return score(*args)

    monkeypatch.setattr(study, "score_level", spy)
    assert run("--kinds", "noise") == 0
    assert heights == [0, *range(6, 36, 2)]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--sample=0"], "`sample` to be at least 1, but got 0"),
        (["--repeats=0"], "`repeats` to be at least 1"),
        (["--seed=-1"], "`seed` to be at least 0"),
        (["--against", "x.ckpt"], "`against` to be NAME=CHECKPOINT, but got 'x.ckpt'"),
        (["--against", "model=x.ckpt"], "a name of its own, but got model twice"),
        (["--kinds", "none"], "`kinds` to be among missing, noise, image, both, view, but got"),
        (["--against", "gone=x.ckpt"], "The checkpoint x.ckpt does not exist"),
    ],
)
def test_wrong_options(run, out, option, message, capsys):
    with pytest.raises((UsageError, SystemExit)) as refused:
        run(*option)
    said = str(refused.value) + capsys.readouterr().err
    assert message in said
    assert not out.exists()


def test_results_of_two_runs_do_not_mix(run, out, monkeypatch):
    out.mkdir()
    (out / "curves.csv").write_text("mine")
    monkeypatch.setattr(command, "load_model", lambda path: pytest.fail("a model was made"))
    with pytest.raises(UsageError, match=r"holds 1 entry \(curves\.csv\)"):
        run()
    assert (out / "curves.csv").read_text() == "mine"


def test_image_only_must_be_so(run, checkpoint):
    with pytest.raises(UsageError, match=r"sees the image alone, but .* is a AttentionFusion"):
        run(f"--image_only={checkpoint}")


def test_only_models_of_the_same_split_are_compared(run, out, model, tmp_path):
    path = save(model, AttentionFusion, tmp_path / "other.ckpt")
    saved = torch.load(path, weights_only=True)
    saved[LesionClassifier.CHECKPOINT_HYPER_PARAMS_KEY]["task"]["fold_spec"]["fold"] = 1
    torch.save(saved, path)
    with pytest.raises(UsageError, match=r"`other` .* another split"):
        run("--against", f"other={path}")
    assert not out.exists()
