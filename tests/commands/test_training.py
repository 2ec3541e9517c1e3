"""fit, validate, test, predict: what they leave behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from PIL import Image

from tests.commands.runs import everything, history, only_run
from vitatt.cli import main
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.images.transforms import TrainingAugmentation
from vitatt.data.synthetic.demo import write_demo
from vitatt.models.classifier import LesionClassifier

pytestmark = pytest.mark.long


def test_fit_leaves_checkpoints_config_and_maps(trained):
    assert {p.name for p in (trained / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["model"]["encoder"] == "test_vit"
    steps = sorted((trained / "maps").iterdir())
    assert len(steps) == 2, "one folder a validation run"
    for kind in ("attention", "tmme", "cases"):
        names = [{p.name for p in (step / kind).iterdir()} for step in steps]
        assert len(names[0]) == 4
        assert names[0] == names[1], "the same cases every time"
    figure = np.asarray(Image.open(next((steps[-1] / "tmme").iterdir())))
    assert figure.ndim == 3
    assert figure.std() > 10


def test_wandb_holds_maps_of_each_validation_run(trained):
    records = history(trained)
    text = [json.dumps(record) for record in records]
    for key in ("maps/attention", "maps/tmme", "maps/cases", "val/confusion", "train/confusion"):
        assert sum(key in line for line in text) == 2, key
    for key in ("val/balanced_accuracy", "val_by_class/auroc_MEL", "train/f1"):
        assert any(key in line for line in text), key
    assert sum("calibration_error" in line for line in text) == 4  # train and val, two epochs


def test_best_checkpoint_is_logged(trained):
    assert f"model-{trained.name}" in everything(trained)


def test_test_reports_intervals_and_a_table(trained, options, demo_root):
    checkpoint = trained / "checkpoints" / "best.ckpt"
    assert main(["test", *options, f"--ckpt_path={checkpoint}"]) == 0
    run = only_run()
    frame = pl.read_parquet(run / "predictions.parquet")
    assert frame["case_id"].is_unique().all()
    expected = LesionDataModule("pad_ufes_20", str(demo_root), image_size=32).cases("test")
    assert frame["case_id"].to_list() == expected["case_id"].to_list()
    assert frame["true"].to_list() == expected["diagnosis"].to_list()
    sums = frame.select(pl.sum_horizontal(pl.col("^p_.*$"))).to_series()
    assert np.allclose(sums, 1)
    assert {"group", "true", "predicted", "age", "region"} <= set(frame.columns)
    text = "\n".join(json.dumps(record) for record in history(run))
    assert "test/cases" in text
    assert "test_intervals/all_cases_balanced_accuracy_low" in text
    for measure in ("most_relevant_first", "insertion", "stability", "randomised_3"):
        assert f"test_explanations/{measure}_tmme" in text
    (table,) = run.parents[1].glob("wandb/offline-run-*/files/media/table/test/*.json")
    content = json.loads(table.read_text())
    assert content["columns"][-1] == "tmme"
    assert len(content["data"]) == frame.height
    # The table names its figures; they lie in the artifact that W&B makes of it.
    assert all(row[-1] == "Image" for row in content["data"])
    assert len(set(re.findall(r"media/[0-9]+-[^\"]+\.jpg", everything(run)))) == frame.height
    assert len(list((run / "maps" / "test").glob("*.jpg"))) == frame.height


def test_validate_draws_maps_too(trained, options):
    checkpoint = trained / "checkpoints" / "best.ckpt"
    size = "--explanations.size=3"
    assert main(["validate", *options, size, f"--ckpt_path={checkpoint}"]) == 0
    (step,) = (only_run() / "maps").iterdir()
    assert len(list((step / "tmme").iterdir())) == 3


def test_predict_writes_one_row_a_case(trained, options, tmp_path, demo_root):
    output = tmp_path / "out" / "predictions.csv"
    checkpoint = trained / "checkpoints" / "best.ckpt"
    # Neither the labelled data nor the model's settings are needed.
    words = [o for o in options if not o.startswith(("--data.root", "--model"))]
    words += [f"--data.predict_root={demo_root}", f"--output={output}"]
    assert main(["predict", *words, f"--ckpt_path={checkpoint}"]) == 0
    frame = pl.read_csv(output)
    assert frame.columns == ["img_id", "ACK", "BCC", "MEL", "NEV", "SCC", "SEK"]
    published = pl.read_csv(demo_root / "metadata.csv")["img_id"]
    assert frame["img_id"].to_list() == published.to_list()
    assert np.allclose(frame.drop("img_id").to_numpy().sum(1), 1)
    assert [p.name for p in output.parent.iterdir()] == ["predictions.csv"]


def test_isic_predictions_satisfy_the_official_scorer(options, tmp_path):
    scorer = pytest.importorskip("isic_challenge_scoring")
    root = tmp_path / "isic"
    write_demo(root, dataset="isic_2019", num_cases=80, image_size=32)
    words = [o for o in options if not o.startswith(("--data.root", "--data.dataset"))]
    words += ["--data.dataset=isic_2019", f"--data.root={root}"]
    assert main(["fit", *words, "--trainer.max_epochs=1", "--explanations.size=0"]) == 0
    checkpoint = only_run() / "checkpoints" / "best.ckpt"
    output = tmp_path / "submission.csv"
    words += [f"--data.predict_root={root}", f"--output={output}", f"--ckpt_path={checkpoint}"]
    assert main(["predict", *words]) == 0
    # The official test has a class UNK; the scorer needs each class to occur.
    published = pl.read_csv(root / "ISIC_2019_Training_GroundTruth.csv")
    classes = published.columns[1:]
    last = pl.int_range(pl.len()) == published.height - 1
    truth = tmp_path / "truth.csv"
    published.with_columns(
        pl.when(last).then(float(name == "UNK")).otherwise(pl.col(name)).alias(name)
        for name in classes
    ).write_csv(truth)
    metric = scorer.ClassificationMetric.BALANCED_ACCURACY
    score = scorer.ClassificationScore.from_file(truth, output, metric)
    merged = pl.read_csv(output).join(pl.read_csv(truth), on="image", suffix="_true")
    predicted = merged.select(classes).to_numpy().argmax(1)
    true = merged.select([f"{c}_true" for c in classes]).to_numpy().argmax(1)
    recalls = [np.mean(predicted[true == c] == c) for c in np.unique(true)]
    assert score.overall == pytest.approx(np.mean(recalls))


def test_checkpoint_loads_alone(trained, tmp_path):
    path = trained / "checkpoints" / "best.ckpt"
    plain = torch.load(path, weights_only=True)
    assert plain["hyper_parameters"]["encoder_weights"] is None
    model = LesionClassifier.load_from_checkpoint(path, map_location="cpu")
    assert model.task.classes == ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
    assert len(model.task.features) == 21
    for name, value in plain["state_dict"].items():
        assert torch.equal(model.state_dict()[name], value), name


def test_drawing_maps_may_fail_without_stopping_training(options, monkeypatch, caplog):
    def broken(*args, **kwargs):
        raise RuntimeError("no ink")

    monkeypatch.setattr("vitatt.callbacks.panel_figures.case_figure", broken)
    monkeypatch.setattr("vitatt.callbacks.best_effort._reported", set())
    assert main(["fit", *options, "--trainer.max_epochs=2", "--explanations.size=2"]) == 0
    told = [r for r in caplog.records if "Could not draw the maps" in r.getMessage()]
    assert len(told) == 1, "loudly, and once"
    assert "no ink" in caplog.text


@pytest.mark.parametrize(
    "function",
    [
        "explanation_metrics.measure_faithfulness",
        "explanation_metrics.measure_sanity",
        "testing.heatmap",
        "charts.log_confusion",
    ],
)
def test_a_test_whose_explanations_fail_is_an_error(
    trained, options, monkeypatch, capsys, function
):
    def broken(*args, **kwargs):
        raise RuntimeError("no ink")

    monkeypatch.setattr(f"vitatt.callbacks.{function}", broken)
    words = ["--explanation_tests.cases=2", f"--ckpt_path={trained}"]
    assert main(["test", *options, *words]) == 3
    said = capsys.readouterr().err
    assert "Unexpected RuntimeError in `vitatt test`" in said
    assert "no ink" in said
    if function != "testing.heatmap":
        assert (only_run() / "predictions.parquet").is_file(), "written before"


def test_arms_without_attention_train(options):
    for arm in ("metadata_only.MetadataOnly", "missing_pattern.MissingPattern"):
        fusion = f"--model.fusion=vitatt.models.fusion.{arm}"
        assert main(["fit", *options, fusion, "--trainer.max_epochs=1"]) == 0


@pytest.mark.parametrize(
    ("encoder", "freeze"),
    [
        ("test_vit", "true"),
        pytest.param("test_vit", "4", marks=pytest.mark.slow),
        pytest.param("test_efficientnet", "true", marks=pytest.mark.slow),
        pytest.param("test_efficientnet", "2", marks=pytest.mark.slow),
    ],
)
def test_cached_tokens_of_plain_views_give_the_losses_of_pixels(
    options, tmp_path, monkeypatch, encoder, freeze
):
    monkeypatch.setattr(TrainingAugmentation, "__call__", lambda self, image, seed: image)
    losses = {}
    for views in (0, 1):
        own = [f"--data.cache_dir={tmp_path / 'cache'}", f"--trainer.logger.save_dir=views-{views}"]
        frozen = [f"--model.freeze_encoder={freeze}", f"--token_cache.augmentations={views}"]
        frozen.append(f"--model.encoder={encoder}")
        epochs = ["--trainer.max_epochs=3", "--explanations.size=2"]
        assert main(["fit", *options, *own, *frozen, *epochs]) == 0
        (run,) = Path(f"views-{views}", "vitatt").iterdir()
        items = [record["history"]["item"] for record in history(run)]
        losses[views] = [item[key] for item in items for key in sorted(item) if "/loss" in key]
    assert len(losses[0]) >= 6
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)  # tokens are kept as float16


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_maps_of_a_network_of_another_precision(options, precision):
    words = ["--trainer.max_epochs=1", "--explanations.size=2"]
    assert main(["fit", *options, *words, f"--trainer.precision={precision}"]) == 0
    assert len(list((only_run() / "maps").glob("*/tmme/*.jpg"))) == 2


@pytest.mark.slow
def test_a_compiled_training(options):
    """As the uncompiled one, with explanations, and its checkpoint loads uncompiled."""
    words = ["--trainer.max_epochs=2", "--explanations.size=2"]
    words.append("--model.fusion=vitatt.models.fusion.vitatt.AttentionFusion")
    for name in ("dropout", "metadata_dropout", "metadata_dropout_all"):
        words.append(f"--model.fusion.{name}=0")  # compiled, chance is another
    losses = {}
    for compiled in ("false", "true"):
        place = f"--trainer.logger.save_dir=compiled-{compiled}"
        assert main(["fit", *options, *words, place, f"--model.compile={compiled}"]) == 0
        (run,) = Path(f"compiled-{compiled}", "vitatt").iterdir()
        items = [record["history"]["item"] for record in history(run)]
        losses[compiled] = [item["val/loss"] for item in items if "val/loss" in item]
        assert len(list((run / "maps").glob("*/tmme/*.jpg"))) == 4
        checkpoint = f"--ckpt_path={run / 'checkpoints' / 'best.ckpt'}"
        assert main(["test", *options, checkpoint, place]) == 0
    assert losses["true"] == pytest.approx(losses["false"], rel=1e-3)
