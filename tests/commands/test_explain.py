"""explain: what it leaves behind, which cases it takes, and what it refuses."""

from __future__ import annotations

import functools
import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from PIL import Image

from vitatt.callbacks import tracking
from vitatt.cli import main
from vitatt.commands import explain as command
from vitatt.data.datamodule import LesionDataModule
from vitatt.explain.methods import explain as relevance_of
from vitatt.models.classifier import LesionClassifier
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.metadata_only import MetadataOnly
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.reports.section import Section
from vitatt.studies import batches, explained_cases, explanation_checks, metadata_agreement
from vitatt.studies.explanation_checks import Evaluation
from vitatt.studies.explanation_measures import MEASURES, summarise_measures

pytestmark = pytest.mark.long

FAST = ["tmme", "attention", "rollout", "grad_cam", "random"]
COLUMNS = ["case_id", "true", "predicted", "probability", "map", "patches", "features"]
LOCALISATION = ["pointing", "mass", "iou"]
Explain = Callable[..., int]


@pytest.fixture(autouse=True)
def _undrawn(request, monkeypatch) -> None:
    """Charts take most of the time: drawn only in tests that look at them."""
    if "drawn" in request.fixturenames:
        return
    white = np.full((2, 2, 3), 255, np.uint8)
    fast = functools.partial(metadata_agreement.feature_importance, repeats=1)
    monkeypatch.setattr(metadata_agreement, "feature_importance", fast)
    monkeypatch.setattr(explanation_checks, "intervals_figure", lambda *_, **__: white)
    monkeypatch.setattr(command, "case_figure", lambda case: white)
    monkeypatch.setattr(command, "overview", lambda cases, classes, *, title: [Section(title)])


@pytest.fixture
def drawn() -> None:
    """Everything as users get it."""


@pytest.fixture(scope="session")
def checkpoint(trained) -> Path:
    return trained / "checkpoints" / "best.ckpt"


@pytest.fixture
def words(checkpoint, options, demo_root, tmp_path) -> list[str]:
    """The least that the command needs, into the folder ``out`` of the test."""
    (cache,) = [word for word in options if word.startswith("--data.cache_dir")]
    output = f"--output={tmp_path / 'out'}"
    return [f"--ckpt_path={checkpoint}", f"--data.root={demo_root}", cache, output]


@pytest.fixture
def run(words) -> Explain:
    return lambda *others: main(["explain", *words, *others])


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture(scope="session")
def model(checkpoint) -> LesionClassifier:
    return LesionClassifier.load_from_checkpoint(checkpoint, map_location="cpu").eval()


@pytest.fixture(scope="session")
def data(model, demo_root, tmp_path_factory) -> LesionDataModule:
    cache = str(tmp_path_factory.mktemp("own-cache"))
    task = model.task.to_plain()
    return LesionDataModule("pad_ufes_20", str(demo_root), cache_dir=cache, task=task)


@pytest.fixture(scope="session")
def predictions(model, data) -> pl.DataFrame:
    """Of the test split, by the model itself."""
    cases = data.cases("test")
    batch = data.make_dataset("test", cases).__getitems__(range(cases.height))
    with torch.no_grad():
        best, number = model(batch).logits.softmax(1).max(1)
    predicted = [model.task.classes[n] for n in number.tolist()]
    return cases.select("case_id", "group", true="diagnosis").with_columns(
        pl.Series("predicted", predicted), pl.Series("probability", best.tolist())
    )


def table(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "relevance.parquet")


def explained(folder: Path) -> list[str]:
    """The ids in the table, after a look whether figures and report are of the same."""
    ids = table(folder)["case_id"].unique(maintain_order=True).to_list()
    assert {p.name for p in (folder / "cases").iterdir()} == {f"{Path(i).stem}.png" for i in ids}
    html = (folder / "report.html").read_text()
    assert set(re.findall(r'<article [^>]*data-id="([^"]+)"', html)) == set(ids)
    return ids


def headings(folder: Path) -> list[str]:
    return re.findall(r'<h2 id="section-\d+">([^<]+)</h2>', (folder / "report.html").read_text())


def facts(folder: Path) -> dict[str, str]:
    html = (folder / "report.html").read_text()
    return dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", html))


def fails(call: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says, in one line, as it fails with status 2."""
    capsys.readouterr()
    try:
        status = call()
    except SystemExit as leaving:
        status = leaving.code
    printed = capsys.readouterr()
    assert status == 2, printed.err
    assert "Traceback" not in printed.out + printed.err
    return " ".join(printed.err.split())


def save(model: LesionClassifier, fusion: object, path: Path) -> Path:
    """A checkpoint of the same task and another, untrained network."""
    plain = model.task.to_plain()
    other = LesionClassifier(plain, encoder="test_vit", fusion=fusion)  # type: ignore[arg-type]
    checkpoint = {
        "state_dict": other.state_dict(),
        "pytorch-lightning_version": "2.6.6",
        other.CHECKPOINT_HYPER_PARAMS_KEY: dict(other.hparams),
    }
    other.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)
    return path


# What it leaves behind.


def test_figures_table_and_report(drawn, run, out, predictions, model, data, capsys):
    assert run() == 0
    printed = capsys.readouterr().out
    assert "Explaining 12 of 12 cases (test)." in printed
    assert f"Report: {out / 'report.html'}" in printed
    assert {p.name for p in out.iterdir()} == {"cases", "relevance.parquet", "report.html"}
    assert explained(out) == predictions["case_id"].to_list()
    for path in (out / "cases").iterdir():
        figure = np.asarray(Image.open(path))
        assert figure.shape[1:] == (1120, 3)
        assert figure.std() > 10
    frame = table(out)
    assert frame.columns == COLUMNS
    assert frame.schema["true"] == pl.String
    own = frame.select("case_id", "true", "predicted", "probability").unique(maintain_order=True)
    expected = predictions.drop("group")
    for name in ("case_id", "true", "predicted"):
        assert own[name].to_list() == expected[name].to_list()
    np.testing.assert_allclose(own["probability"], expected["probability"], atol=1e-5)
    labels = [feature.label for feature in model.task.features]
    for row in predictions.iter_rows(named=True):
        maps = frame.filter(pl.col("case_id") == row["case_id"])["map"].to_list()
        wrong = row["true"] != row["predicted"]
        titles = ["attention", f"TMME: predicted {row['predicted']}"]
        assert maps == [*titles, *([f"TMME: true {row['true']}"] if wrong else [])]
    for row in frame.iter_rows(named=True):
        assert np.shape(row["patches"]) == (2, 2)
        assert [feature["feature"] for feature in row["features"]] == labels
    # Each value is the method's own.
    batch = data.make_dataset("test", data.cases("test")).__getitems__(range(12))
    relevance = relevance_of(model.network, batch)
    tmme = frame.filter(pl.col("map").str.contains("predicted"))
    np.testing.assert_allclose(tmme["patches"].to_list(), relevance.patches[:, 0], rtol=1e-3)
    values = [[one["relevance"] for one in features] for features in tmme["features"]]
    np.testing.assert_allclose(values, relevance.features[:, 0], rtol=1e-3, atol=1e-7)


def test_report_says_what_was_explained(run, out, checkpoint):
    assert run("--split=val", "--cases.sample=2") == 0
    assert facts(out) == {
        "checkpoint": checkpoint.name,
        "data": "PAD-UFES-20, val split of fold 0 of 5",
        "cases": "2 of 10",
        "how chosen": "random sample of at most 2, seed 0",
    }
    assert headings(out)[0] == "PAD-UFES-20, val split of fold 0 of 5"


def test_several_maps_in_the_order_asked_for(run, out, predictions):
    methods = ["random", "grad_cam", "tmme", "rollout"]
    name = predictions["case_id"][0]
    assert run(f"--methods=[{','.join(methods)}]", f"--cases.ids=[{name}]") == 0
    titles = [title.split(":")[0] for title in table(out)["map"]]
    assert list(dict.fromkeys(titles)) == ["random", "Grad-CAM", "TMME", "rollout"]


def test_random_relevance_alone_still_tells_the_prediction(run, out, predictions):
    assert run("--methods=[random]") == 0
    frame = table(out)
    assert frame["map"].unique().to_list() == ["random"]
    assert frame["predicted"].to_list() == predictions["predicted"].to_list()
    np.testing.assert_allclose(frame["probability"], predictions["probability"], atol=1e-5)


def test_a_network_without_metadata(run, out, model, tmp_path):
    path = save(model, ImageOnly, tmp_path / "image.ckpt")
    assert run(f"--ckpt_path={path}", "--cases.sample=2", "--evaluate", *evaluation(2)) == 0
    frame = table(out)
    assert frame.columns == COLUMNS
    assert frame["features"].list.len().to_list() == [0] * frame.height
    assert frame["case_id"].n_unique() == 2
    assert "Metadata agreement" not in headings(out)


def test_features_in_one_token(run, out, model, tmp_path):
    path = save(
        model, functools.partial(AttentionFusion, granularity="joint"), tmp_path / "joint.ckpt"
    )
    assert run(f"--ckpt_path={path}", "--cases.sample=2", "--evaluate", *evaluation(2)) == 0
    names = [[one["feature"] for one in features] for features in table(out)["features"]]
    assert names == [["all metadata"]] * len(names)
    assert "All features share one token" in (out / "report.html").read_text()


# Which cases.


def test_chosen_by_id(run, out, predictions):
    wanted = predictions["case_id"].to_list()[7:3:-2]
    assert run(f"--cases.ids=[{','.join(wanted)}]") == 0
    assert sorted(explained(out)) == sorted(wanted)
    assert facts(out)["how chosen"] == "by id"


def test_chosen_by_diagnosis(run, out, predictions):
    assert run("--cases.diagnosis=BCC") == 0
    expected = predictions.filter(pl.col("true") == "BCC")["case_id"].to_list()
    assert explained(out) == expected
    assert 0 < len(expected) < 12


def test_worst_errors_are_wrong_with_the_highest_confidence(run, out, predictions):
    wrong = predictions.filter(pl.col("true") != pl.col("predicted"))
    worst = wrong.sort("probability", descending=True)["case_id"].to_list()
    assert len(worst) > 3
    assert run("--cases.errors=3") == 0
    assert explained(out) == worst[:3]
    assert facts(out)["how chosen"] == "the 3 worst errors"


def test_worst_errors_across_batches_and_of_one_class(run, out, predictions, monkeypatch):
    monkeypatch.setattr(batches, "BATCH", 5)
    wrong = predictions.filter(pl.col("true") != pl.col("predicted"))
    worst = wrong.sort("probability", descending=True)
    assert run("--cases.errors=100") == 0
    assert explained(out) == worst["case_id"].to_list()
    shutil.rmtree(out)
    name = worst["true"][-1]
    assert run("--cases.errors=1", f"--cases.diagnosis={name}") == 0
    assert explained(out) == worst.filter(pl.col("true") == name)["case_id"].to_list()[:1]


def test_the_seed_decides_the_sample(run, out, tmp_path):
    found = []
    for number, seed in enumerate((1, 1, 2)):
        folder = tmp_path / f"sample{number}"
        choice = ["--cases.sample=5", f"--cases.seed={seed}", "--methods=[random]"]
        assert run("--split=train", *choice, f"--output={folder}") == 0
        found.append(explained(folder))
    assert len(found[0]) == 5
    assert found[0] == found[1] != found[2]


def test_data_to_predict_without_diagnosis(run, out, demo_copy, words):
    path = demo_copy / "metadata.csv"
    pl.read_csv(path, infer_schema=False).drop("diagnostic", "biopsed").write_csv(path)
    without = [word for word in words if not word.startswith("--data.root")]
    own = ["--split=predict", f"--data.predict_root={demo_copy}", "--cases.sample=3"]
    assert main(["explain", *without, *own, "--evaluate", *evaluation(2)]) == 0
    frame = table(out)
    assert frame["case_id"].n_unique() == len(explained(out)) == 3
    assert frame["true"].null_count() == frame.height
    assert frame.schema["true"] == pl.String
    assert facts(out)["data"] == "PAD-UFES-20, predict split"
    assert "No case has a diagnosis" in (out / "report.html").read_text()
    measured = pl.read_parquet(out / "measures.parquet")
    assert set(LOCALISATION) <= set(measured["measure"]), "masks of the predicted folder count"


@pytest.mark.parametrize("form", ["{0}", "{0},{1}", "[{0}, {1}]", "['{0}']"])
def test_ids_as_a_word_or_a_list(run, out, predictions, form):
    names = predictions["case_id"].to_list()[:2]
    assert run("--cases.ids", form.format(*names), "--methods", "random") == 0
    assert explained(out) == names[: 1 + ("{1}" in form)]


def test_single_words_for_lists(run, out):
    words = ["--methods", "random", "--evaluation.methods", "random", "--evaluation.cases=2"]
    assert run("--cases.sample=1", "--evaluate", *words) == 0
    assert table(out)["map"].to_list() == ["random"]
    assert set(pl.read_parquet(out / "measures.parquet")["method"]) == {"random", "centre"}


def test_an_id_that_is_elsewhere(run, predictions, data, capsys):
    name = data.cases("val")["case_id"][0]
    said = fails(lambda: run("--cases.ids", name), capsys)
    assert f"1 of the chosen cases, {name} among them, is not in the test split of fold 0" in said
    assert f"{name} is in the val split: give --split=val." in said
    assert run("--cases.ids", predictions["case_id"][0]) == 0, "the refused folder may be used"


@pytest.mark.parametrize("words", [["--cases.ids=nope.png"], ["--cases.diagnosis=XYZ"]])
def test_a_choice_that_cannot_be_is_found_before_the_model_is_made(run, monkeypatch, words, capsys):
    monkeypatch.setattr(command, "load_model", lambda path: pytest.fail("the model was made"))
    fails(lambda: run(*words), capsys)


def test_results_of_two_runs_do_not_mix(run, out, monkeypatch, capsys):
    assert run("--cases.sample=1", "--methods=random") == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    monkeypatch.setattr(LesionDataModule, "cases", lambda *_: pytest.fail("data were read"))
    said = fails(lambda: run("--cases.sample=2"), capsys)
    assert f"new or empty folder, but {out} holds 3 entries (cases, relevance.parquet," in said
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_wrong_method_of_the_evaluation_for_this_network_is_found_first(
    run, out, model, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(explained_cases, "explain_cases", lambda *_, **__: pytest.fail("explained"))
    path = save(model, MetadataOnly, tmp_path / "metadata.ckpt")
    said = fails(lambda: run(f"--ckpt_path={path}", "--methods=random", "--evaluate"), capsys)
    assert "no method applies" in said


def test_a_bug_is_no_mistake_of_the_users(run, monkeypatch, capsys):
    def broken(*_, **__):
        raise ValueError("shapes do not fit")

    monkeypatch.setattr(explained_cases, "explain_cases", broken)
    assert run("--cases.sample=1") == 3
    assert "Unexpected ValueError" in capsys.readouterr().err


# The tests of the methods.


def evaluation(cases: int, methods: list[str] = ["tmme"], masked: int = 3) -> list[str]:  # noqa: B006
    return [
        f"--evaluation.methods=[{','.join(methods)}]",
        f"--evaluation.cases={cases}",
        f"--evaluation.masked_cases={masked}",
    ]


def test_evaluation(drawn, run, out, demo_root, predictions, capsys):
    assert run("--cases.sample=1", "--evaluate", *evaluation(2, FAST, masked=500)) == 0
    names = [p.name for p in sorted(out.iterdir())]
    assert names[:3] == ["cases", "measures.csv", "measures.parquet"]
    assert names[3:] == ["relevance.parquet", "report.html"]
    measured = pl.read_parquet(out / "measures.parquet")
    assert measured.columns == ["case_id", "group", "method", "measure", "value"]
    group = dict(predictions.select("case_id", "group").iter_rows())
    assert [group[name] for name in measured["case_id"]] == measured["group"].to_list()
    # Lesions that show no sign have an empty mask, and no place to point at.
    masks = {
        name: np.asarray(Image.open(demo_root / "masks" / f"{Path(name).stem}_segmentation.png"))
        for name in group
    }
    seen = {name for name, mask in masks.items() if mask.any()}
    assert 0 < len(seen) < 12
    assert f"{len(seen)} of 12 cases have a mask that is not empty." in capsys.readouterr().out
    for measure in MEASURES:
        part = measured.filter(pl.col("measure") == measure)
        methods = [*FAST, "centre"] if measure in LOCALISATION else FAST
        assert set(part["method"]) == set(methods)
        for _, one in part.group_by("method"):
            assert one["case_id"].is_unique().all()
            assert one.height == (len(seen) if measure in LOCALISATION else 2)
        if measure in LOCALISATION:
            assert set(part["case_id"]) == seen
    written = pl.read_csv(out / "measures.csv")
    summary = summarise_measures(measured)
    assert written.columns == summary.columns
    assert written["method"].to_list() == summary["method"].to_list()
    np.testing.assert_allclose(written["value"], summary["value"])
    titles = [title[0].upper() + title[1:] for title, _ in MEASURES.values()]
    assert headings(out)[4:] == [*titles, "Metadata agreement"]
    html = (out / "report.html").read_text()
    best = summary.filter(pl.col("measure") == "iou").row(0, named=True)
    interval = f"[{best['low']:.3f}, {best['high']:.3f}]"
    assert f'{best["value"]:.3f} <span class="quiet">{interval}</span>' in html
    assert "minus TMME" in html
    assert "Spearman" in html
    assert "association in training rows" in html


def test_evaluation_draws_by_its_own_seed(run, out, tmp_path):
    drawn = []
    for number, seed in enumerate((0, 0, 1)):
        words = [*evaluation(2, ["random"]), f"--evaluation.seed={seed}", "--cases.sample=1"]
        folder = tmp_path / f"draw{number}"
        assert run("--evaluate", *words, f"--output={folder}") == 0
        measured = pl.read_parquet(folder / "measures.parquet")
        drawn.append(measured.select("measure", "case_id").unique(maintain_order=True).rows())
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({name for measure, name in drawn[0] if measure == "iou"}) == 3
    assert len({name for measure, name in drawn[0] if measure == "deletion"}) == 2


def test_evaluation_without_the_reference_compares_with_nothing(run, out):
    words = evaluation(2, ["attention", "random"])
    assert run("--cases.sample=1", "--evaluate", *words) == 0
    summary = pl.read_csv(out / "measures.csv")
    assert summary["difference"].null_count() == summary.height
    assert set(summary["method"]) == {"attention", "random", "centre"}


def test_evaluation_without_masks(run, out, demo_copy, capsys):
    shutil.rmtree(demo_copy / "masks")
    others = ["--cases.sample=1", "--evaluate", *evaluation(2)]
    assert run(f"--data.root={demo_copy}", *others) == 0
    assert f"No lesion masks in {demo_copy / 'masks'}" in capsys.readouterr().out
    measured = pl.read_parquet(out / "measures.parquet")
    assert set(measured["measure"]) == set(MEASURES) - set(LOCALISATION)


def test_evaluation_with_masks_from_elsewhere(run, out, demo_copy, tmp_path):
    folder = Path((demo_copy / "masks").rename(tmp_path / "elsewhere"))
    own = [f"--data.root={demo_copy}", f"--evaluation.masks={folder}"]
    assert run(*own, "--cases.sample=1", "--evaluate", *evaluation(2)) == 0
    assert set(LOCALISATION) <= set(pl.read_parquet(out / "measures.parquet")["measure"])


def test_no_localisation_where_all_masks_are_empty(run, out, demo_copy, capsys):
    for path in (demo_copy / "masks").iterdir():
        Image.new("L", (32, 32)).save(path)
    others = ["--cases.sample=1", "--evaluate", *evaluation(2)]
    assert run(f"--data.root={demo_copy}", *others) == 0
    assert "0 of 12 cases have a mask that is not empty." in capsys.readouterr().out
    assert not set(LOCALISATION) & set(pl.read_parquet(out / "measures.parquet")["measure"])


def test_cases_stay_explained_if_the_evaluation_fails(run, out, demo_copy, capsys):
    for path in (demo_copy / "masks").iterdir():
        path.write_bytes(b"no mask")
    own = [f"--data.root={demo_copy}", "--cases.sample=2", "--evaluate", *evaluation(2)]
    said = fails(lambda: run(*own), capsys)
    assert re.search(r"lesion mask .*_segmentation\.png cannot be read", said)
    assert len(explained(out)) == 2
    assert not (out / "measures.csv").exists()


def test_evaluation_leaves_occlusion_out_by_default():
    assert set(Evaluation().methods) == {*FAST, "integrated_gradients"}


# Configurations of a training.


def test_the_configuration_of_the_training(run, out, trained, checkpoint, monkeypatch):
    made = []
    monkeypatch.setattr(
        tracking.RunLogger, "__init__", lambda self, *args, **kwargs: made.append(self)
    )
    config = trained / "config.yaml"
    # It says `ckpt_path: null` and `data.task: null`, wherever it stands.
    last = ["--cases.sample=1", "--methods=[random]", "--config", str(config)]
    assert run(*last) == 0
    assert len(explained(out)) == 1
    assert not made, "the logger of the training is not wanted here"


def test_the_checkpoint_may_stand_in_the_configuration(trained, checkpoint, out, capsys):
    content = yaml.safe_load((trained / "config.yaml").read_text())
    path = out.parent / "config.yaml"
    path.write_text(yaml.safe_dump({**content, "ckpt_path": str(checkpoint)}))
    words = [f"--config={path}", f"--output={out}", "--cases.sample=1", "--methods=[random]"]
    assert main(["explain", *words]) == 0
    assert facts(out)["checkpoint"] == "best.ckpt"
    # Its task counts too: no fold that it was trained on passes for unseen.
    other = [f"--output={out}2", "--data.fold=1"]
    said = fails(lambda: main(["explain", *words, *other]), capsys)
    assert "trained with fold 0 of 5" in said


@pytest.mark.parametrize("first", [True, False])
def test_a_configuration_does_not_undo_the_task(trained, words, capsys, first):
    config = ["--config", str(trained / "config.yaml")]
    ordered = [*config, *words] if first else [*words, *config]
    said = fails(lambda: main(["explain", *ordered, "--data.fold=1"]), capsys)
    assert "trained with fold 0 of 5" in said


def test_the_demo_configuration(run, out, checkpoint, options, demo_root):
    path = Path(__file__).parents[2] / "conf" / "demo.yaml"
    (cache,) = [word for word in options if word.startswith("--data.cache_dir")]
    words = [f"--config={path}", f"--data.root={demo_root}", cache, f"--output={out}"]
    words += [f"--ckpt_path={checkpoint}", "--cases.sample=1", "--methods=[random]"]
    assert main(["explain", *words]) == 0
    assert len(explained(out)) == 1


# What it refuses.


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--cases.ids=[gone,lost]", "2 of the chosen cases, gone among them, .* test split.* 12 "),
        ("--cases.diagnosis=XYZ", "`cases.diagnosis` to be one of ACK, BCC, .*, but got 'XYZ'"),
        ("--cases.seed=4294967296", "`cases.seed` to be at least 0 and at most 4.*but got"),
        ("--methods=tmm", "`methods` to be among tmme, .*, but got 'tmm'. Did you mean tmme"),
        ("--cases.sample=0", "`cases.sample` to be at least 1, but got 0"),
        ("--cases.errors=-1", "`cases.errors` to be at least 0, but got -1"),
        ("--cases.sampel=3", "sampel"),
        ("--cases.sample=two", "cases.sample.*two"),
        ("--methods=[]", "`methods` to name a method"),
        ("--methods=[lime]", "methods.*tmme.*lime"),
        ("--split=all", "split.*all"),
        ("--data.fold=1", "trained with fold 0 of 5 .* fold 1 of 5"),
        ("--data.inner_fold=1", "inner fold 0 of 5.*inner fold 1 of 5"),
        ("--data.root=nowhere", "nowhere does not exist"),
        ("--split=predict", "`data.predict_root` is not set"),
        ("--ckpt_path=gone.ckpt", "checkpoint gone.ckpt does not exist"),
        ("--config=gone.yaml", "gone.yaml"),
    ],
)
def test_wrong_option(run, out, capsys, option, message):
    said = fails(lambda: run(option), capsys)
    assert re.search(message, said), said
    assert not (out / "report.html").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--evaluation.masks=gone", "folder of lesion masks gone does not exist.*_segmentation"),
        ("--evaluation.cases=0", "`evaluation.cases` to be at least 1, but got 0"),
        ("--evaluation.masked_cases=-1", "`evaluation.masked_cases` to be at least 0"),
        ("--evaluation.methods=lime", "`evaluation.methods` to be among tmme.* got 'lime'"),
        ("--evaluation.sanity_cases=-1", "`evaluation.sanity_cases` to be at least 0, but got -1"),
        ("--evaluation.seed=-1", "`evaluation.seed` to be at least 0 .*but got -1"),
        ("--evaluation.methods=[]", "`evaluation.methods` to name a method"),
        ("--evaluation.caes=3", "evaluation.caes"),
    ],
)
def test_wrong_option_of_the_evaluation_is_told_before_the_work(run, out, capsys, option, message):
    said = fails(lambda: run("--evaluate", option), capsys)
    assert re.search(message, said), said
    assert not out.exists()


def test_no_checkpoint_and_no_output(words, out, capsys):
    assert "ckpt_path" in fails(lambda: main(["explain", *words[1:]]), capsys)
    assert "output" in fails(lambda: main(["explain", *words[:-1]]), capsys)
    assert not out.exists()


def test_a_file_that_is_no_checkpoint(run, tmp_path, capsys):
    path = tmp_path / "garbage.ckpt"
    path.write_bytes(b"not a checkpoint")
    said = fails(lambda: run(f"--ckpt_path={path}"), capsys)
    assert "cannot be read as a checkpoint" in said


@pytest.mark.parametrize("inside", ["", "/deeper"])
def test_a_file_where_the_output_should_go(run, tmp_path, capsys, inside):
    path = tmp_path / "taken"
    path.write_text("mine")
    said = fails(lambda: run(f"--output={path}{inside}"), capsys)
    assert f"folder {path}{inside}, which --output names, cannot be made" in said
    assert path.read_text() == "mine"


def test_a_network_that_sees_no_image(run, out, model, tmp_path, capsys):
    path = save(model, MetadataOnly, tmp_path / "metadata.ckpt")
    said = fails(lambda: run(f"--ckpt_path={path}"), capsys)
    assert "image encoder, but MetadataOnly has none: no method applies" in said
    assert not (out / "report.html").exists()


def test_data_that_changed_since_the_training(run, demo_copy, data, capsys):
    Path(demo_copy / "images" / Path(data.cases("train")["image"][0]).name).unlink()
    said = fails(lambda: run(f"--data.root={demo_copy}"), capsys)
    assert "trained on other cases" in said


def test_no_error_where_no_diagnosis_is_known(run, demo_copy, capsys):
    path = demo_copy / "metadata.csv"
    pl.read_csv(path, infer_schema=False).drop("diagnostic").write_csv(path)
    own = ["--split=predict", f"--data.predict_root={demo_copy}", "--cases.errors=3"]
    assert "No case is left to explain (the 3 worst errors)" in fails(lambda: run(*own), capsys)


# Ctrl-C.


def interrupt_call(monkeypatch: pytest.MonkeyPatch, module: object, name: str, number: int) -> None:
    calls, real = itertools.count(1), getattr(module, name)

    def interrupted(*args, **kwargs):
        if next(calls) == number:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, interrupted)


def test_interrupted_on_the_way(run, out, predictions, monkeypatch, capsys):
    monkeypatch.setattr(batches, "BATCH", 5)
    interrupt_call(monkeypatch, explained_cases, "explain_cases", 2)
    assert run("--evaluate", *evaluation(2)) == 130
    printed = capsys.readouterr()
    assert "Interrupted: 5 of 12 cases are explained and are kept." in printed.out
    assert "Traceback" not in printed.out + printed.err
    assert explained(out) == predictions["case_id"].to_list()[:5]
    assert facts(out)["cases"] == "5 of 12"
    assert not (out / "measures.csv").exists()


def test_interrupted_in_the_evaluation(run, out, monkeypatch, capsys):
    interrupt_call(monkeypatch, command, "measure_explanations", 1)
    assert run("--cases.sample=2", "--evaluate") == 130
    assert "Interrupted: 2 of 2 cases" in capsys.readouterr().out
    assert len(explained(out)) == 2


def test_interrupted_before_anything_is_finished(run, out, monkeypatch, capsys):
    interrupt_call(monkeypatch, explained_cases, "explain_cases", 1)
    assert run() == 130
    assert "Interrupted." in capsys.readouterr().err
    assert not list(out.iterdir())
    assert run("--cases.sample=1") == 0, "an empty folder is nobody's"
