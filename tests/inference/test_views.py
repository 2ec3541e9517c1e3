"""Predictions and explanations of cases with several images, and commands on them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from vitatt.cli import main
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.synthetic.demo import write_demo
from vitatt.explain.methods import METHODS
from vitatt.inference import Predictor
from vitatt.models.classifier import LesionClassifier
from vitatt.models.fusion import FUSIONS
from vitatt.types import UsageError

pytestmark = pytest.mark.long
VIEWS = ("close-up", "dermoscopic")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LesionDataModule:
    folder = tmp_path_factory.mktemp("views")
    write_demo(folder / "data", dataset="derm7pt", num_cases=60, image_size=48)
    root = str(folder / "data")
    return LesionDataModule(
        *("derm7pt", root, root), image_size=32, batch_size=16, cache_dir=str(folder / "cache")
    )


def case_inputs(data: LesionDataModule) -> tuple[list[dict[str, str]], list[dict[str, object]]]:
    cases = data.cases("predict")
    images = [dict(zip(VIEWS, paths, strict=True)) for paths in cases["image"]]
    return images, cases.select("sex", "location", "elevation").to_dicts()


@pytest.mark.parametrize("arm", ["vitatt", "film", "image_only", "cross_attention"])
def test_the_same_as_on_the_batches_of_the_data_module(
    save, data: LesionDataModule, arm: str
) -> None:
    path = save(data, fusion=FUSIONS[arm])
    model = LesionClassifier.load_from_checkpoint(path).eval()
    with torch.inference_mode():
        rows = [model(batch).logits.double().softmax(-1) for batch in data.predict_dataloader()]
    images, answers = case_inputs(data)
    found = Predictor.load(path, device="cpu").predict_batch(images, answers)
    probabilities = torch.tensor([list(one.probabilities.values()) for one in found])
    assert (probabilities - torch.cat(rows)).abs().max() < 1e-6
    assert probabilities.std(0).max() > 0.01


def test_an_absent_view(save, data: LesionDataModule) -> None:
    path = save(data)
    (image, *_), (answers, *_) = case_inputs(data)
    predictor = Predictor.load(path, device="cpu")
    without = predictor.predict({"dermoscopic": image["dermoscopic"]}, answers)
    named = predictor.predict({**image, "close-up": None}, answers)
    assert without == named
    assert without.probabilities != predictor.predict(image, answers).probabilities
    explained = predictor.explain({"dermoscopic": image["dermoscopic"]}, answers)
    assert explained.patches.shape == (4, 2)
    assert (explained.patches[:2] == 0).all()
    assert (explained.patches[2:] > 0).any()
    case = explained.case
    assert case.views == VIEWS
    assert case.view_shares[0] == 0
    assert sum(case.view_shares) == pytest.approx(case.image_share)
    assert (case.image[:32] == 235).all(), "an absent view is light grey"


def test_several_models_share_an_encoder(save, data: LesionDataModule) -> None:
    paths = [save(data, f"{seed}.ckpt", seed=seed, freeze_encoder=True) for seed in (1, 2)]
    images, answers = case_inputs(data)
    both = Predictor.load(paths, device="cpu").predict_batch(images[:5], answers[:5])
    each = [
        Predictor.load(one, device="cpu").predict_batch(images[:5], answers[:5]) for one in paths
    ]
    for mean, *alone in zip(both, *each, strict=True):
        expected = np.mean([list(one.probabilities.values()) for one in alone], axis=0)
        np.testing.assert_allclose(list(mean.probabilities.values()), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("a.jpg", r"by the names of its views, \{'close-up': \.\.\., 'dermoscopic': \.\.\.\}, but"),
        ({"closeup": "a.jpg"}, "got one of 'closeup'. Did you mean close-up"),
        ({"close-up": None}, "Expected an image of close-up or dermoscopic, but got none"),
        ({"close-up": "gone.jpg"}, r"The image file gone\.jpg does not exist"),
        ({"close-up": ""}, "Expected the path of an image, but got an empty text"),
        (["a.jpg", "b.jpg"], "by the names of its views, .*, but got a list"),
    ],
)
def test_wrong_images(save, data: LesionDataModule, image, message: str) -> None:
    predictor = Predictor.load(save(data), device="cpu")
    with pytest.raises(UsageError, match=message):
        predictor.predict(image)


def test_images_by_view_for_a_model_of_one_image(save, make_data) -> None:
    predictor = Predictor.load(save(make_data()), device="cpu")
    with pytest.raises(UsageError, match=r"but got images by name \(close-up, 2\)"):
        predictor.predict({"close-up": "a.jpg", 2: "b.jpg"})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "images", [{"close-up": ["a.jpg"], "dermoscopic": ["b.jpg"]}, "a.jpg", Path("a.jpg")]
)
def test_a_batch_is_a_list_of_cases(save, data: LesionDataModule, images) -> None:
    predictor = Predictor.load(save(data), device="cpu")
    with pytest.raises(UsageError, match=f"to be a list .*, but got a {type(images).__name__}"):
        predictor.predict_batch(images, [{}, {}])


@pytest.mark.parametrize("method", METHODS)
def test_an_absent_view_has_no_relevance(save, data: LesionDataModule, method: str) -> None:
    (image, *_), (answers, *_) = case_inputs(data)
    predictor = Predictor.load(save(data), device="cpu")
    alone = {"dermoscopic": image["dermoscopic"]}
    close_up, dermoscopic = np.split(predictor.explain(alone, answers, method=method).patches, 2)
    assert not close_up.any()
    assert dermoscopic.any()


@pytest.fixture
def words(data: LesionDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    return [f"--data.root={data.root}", f"--data.cache_dir={data.cache_dir}"]


FIT = (
    *("--data.dataset=derm7pt", "--data.image_size=32", "--data.batch_size=8"),
    *("--data.num_folds=2", "--data.inner_folds=2", "--model.encoder=test_vit"),
    *("--model.learning_rate=0.001", "--model.encoder_learning_rate=0.001"),
    *("--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--explanations.size=2"),
    *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
)


@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
def test_a_frozen_encoder_trains_on_cached_tokens_of_both_views(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    frozen = ["--model.freeze_encoder=true", "--token_cache.augmentations=2"]
    assert main(["fit", *FIT, *words, *frozen]) == 0
    (checkpoint,) = Path("runs").glob("vitatt/*/checkpoints/best.ckpt")
    assert main(["test", *FIT, *words, *frozen, f"--ckpt_path={checkpoint}"]) == 0
    (found,) = Path("runs").glob("vitatt/*/predictions.parquet")
    cached = pl.read_parquet(found)
    model = LesionClassifier.load_from_checkpoint(checkpoint).eval()
    plain = LesionDataModule(
        *("derm7pt", words[0].partition("=")[2]), image_size=32, num_folds=2, inner_folds=2
    )
    dataset = plain.dataset_of("test")
    with torch.inference_mode():
        logits = model(dataset.__getitems__(range(len(dataset)))).logits
    assert cached["case_id"].to_list() == plain.cases("test")["case_id"].to_list()
    predicted = [model.task.classes[n] for n in logits.argmax(1)]
    agreeing = np.mean([a == b for a, b in zip(cached["predicted"], predicted, strict=True)])
    assert agreeing > 0.95, "tokens are cached in float16"


@pytest.mark.filterwarnings("ignore::ImportWarning")
@pytest.mark.filterwarnings("ignore:n_jobs value:UserWarning")
def test_robustness_without_a_view(
    save, data: LesionDataModule, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(data)
    options = [f"--ckpt_path={path}", *words, "--repeats=2"]
    assert main(["robustness", *options, "--output=out", "--kinds=view"]) == 0
    curves = pl.read_csv("out/curves.csv")
    assert set(curves["perturbation"]) == set(VIEWS)
    assert sorted(set(curves["level"])) == [0, 0.25, 0.5, 0.75, 1]
    of_metric = curves.filter(pl.col("metric") == curves["metric"][1])
    assert of_metric["value"].n_unique() > 2
    assert "without dermoscopic" in capsys.readouterr().out
    for command in ("explain", "embed"):
        assert main([command, *options[:-1], f"--output={command}"]) == 0


def test_masks_beside_the_data_are_of_one_image(
    save, data: LesionDataModule, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    masks = Path(data.root) / "masks"
    assert masks.is_dir()
    options = [f"--ckpt_path={save(data)}", *words, "--methods=tmme", "--evaluate"]
    options += ["--evaluation.methods=tmme", "--evaluation.cases=2", "--cases.sample=2"]
    assert main(["explain", *options, "--output=out"]) == 0
    assert "A mask is of one image: localisation is left out." in capsys.readouterr().out
    assert main(["explain", *options, f"--evaluation.masks={masks}", "--output=other"]) == 2
    assert "these cases have several views" in capsys.readouterr().err


def test_robustness_without_a_view_of_a_network_that_sees_none(
    save, data: LesionDataModule, words: list[str]
) -> None:
    blind = save(data, fusion=FUSIONS["metadata_only"])
    options = [*words, "--repeats=1", "--output=out", "--kinds=view"]
    assert main(["robustness", f"--ckpt_path={blind}", *options]) == 0
    curves = pl.read_csv("out/curves.csv")
    assert curves.height
    assert curves.group_by("metric").agg(pl.col("value").n_unique())["value"].to_list() == [1, 1]


def of_views(data: LesionDataModule, *views: str) -> SimpleNamespace:
    """A stand-in for data that differ in their views alone, to save models of."""
    return SimpleNamespace(task=dataclasses.replace(data.task, views=views))


def test_models_of_other_views_are_not_compared(
    save, data: LesionDataModule, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    two, one = save(data), save(of_views(data), "one.ckpt")
    options = [f"--ckpt_path={two}", *words, "--output=out", "--kinds=view"]
    assert main(["robustness", *options, "--against", f"one={one}"]) == 2
    said = capsys.readouterr().err
    assert "was trained with other views (none) than the first (close-up, dermoscopic)" in said
    with pytest.raises(UsageError, match=r"views of .*best.ckpt: close-up, .* of .*ckpt: none\."):
        Predictor.load(two, one, device="cpu")


@pytest.mark.parametrize("views", [(), VIEWS[::-1], (*VIEWS, "third")])
@pytest.mark.parametrize("command", ["test", "predict", "explain", "fit"])
def test_a_checkpoint_of_other_views_is_refused(
    save, data: LesionDataModule, words, capsys, command: str, views: tuple[str, ...]
) -> None:
    path = save(of_views(data, *views))
    options = {
        "predict": [f"--data.predict_root={data.root}", "--output=out.csv"],
        "explain": [*words, "--output=out"],
    }.get(command, [*FIT, "--data.num_folds=5", "--data.inner_folds=5", *words])
    assert main([command, f"--ckpt_path={path}", *options]) == 2
    found = f"the views {', '.join(views)}" if views else "one image"
    said = capsys.readouterr().err
    assert f"was trained on cases of {found}, but the data have cases of the views close" in said


def test_robustness_without_a_view_needs_views(
    save, make_data, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    module = make_data()
    options = [f"--ckpt_path={save(module)}", f"--data.root={module.root}", "--kinds=view"]
    assert main(["robustness", *options, f"--data.cache_dir={module.cache_dir}", "--output=o"]) == 2
    assert "Expected `--kinds` to have another kind than view" in capsys.readouterr().err
