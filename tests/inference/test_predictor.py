"""The Predictor gives what the model gives on the data module's batches, from any input."""

from __future__ import annotations

import csv
import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import vitatt
from vitatt.inference import Predictor
from vitatt.models.classifier import LesionClassifier
from vitatt.models.fusion import FUSIONS
from vitatt.types import UsageError

pytestmark = pytest.mark.long

ARMS = ["vitatt", "film", "image_only", "metadata_only"]


@pytest.fixture
def published(demo_root) -> list[dict[str, str]]:
    """The rows of the demo's table, as they are published."""
    with (demo_root / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def images(demo_root, published) -> list[Path]:
    return [demo_root / "images" / row["img_id"] for row in published]


def of_module(path: Path, module) -> torch.Tensor:
    """Probabilities (N, C) by the LightningModule, batch by batch."""
    model = LesionClassifier.load_from_checkpoint(path).eval()
    with torch.inference_mode():
        rows = [model(batch).logits.double().softmax(-1) for batch in module.predict_dataloader()]
    return torch.cat(rows)


def probabilities(predictions) -> torch.Tensor:
    return torch.tensor([list(one.probabilities.values()) for one in predictions])


@pytest.mark.parametrize("arm", ARMS)
def test_the_same_as_on_the_batches_of_the_data_module(save, data, published, images, arm):
    path = save(data, fusion=FUSIONS[arm])
    expected = of_module(path, data)
    found = Predictor.load(path, device="cpu").predict_batch(images, published)
    assert expected.std(0).max() > 0.01
    assert (probabilities(found) - expected).abs().max() < 1e-6
    assert list(found[0].probabilities) == list(data.task.classes)
    predicted = [data.task.classes[number] for number in expected.argmax(1)]
    assert [one.predicted for one in found] == predicted
    assert found[0].probability == max(found[0].probabilities.values())


def test_one_by_one_and_in_batches_of_any_size(save, data, published, images):
    predictor = Predictor.load(save(data), device="cpu")
    together = predictor.predict_batch(images[:7], published[:7], batch_size=3)
    single = [predictor.predict(*case) for case in zip(images[:7], published[:7], strict=True)]
    assert (probabilities(together) - probabilities(single)).abs().max() < 1e-6
    assert [one.missing for one in together] == [one.missing for one in single]


def test_absent_answers_are_missing(save, data, images):
    predictor = Predictor.load(save(data), device="cpu")
    nothing = predictor.predict(images[0])
    assert nothing.missing == predictor.features
    assert nothing == predictor.predict(images[0], {"age": None, "itch": "UNK", "region": ""})
    some = predictor.predict(images[0], {"age": 55, "itch": "yes"})
    assert set(predictor.features) - set(some.missing) == {"age", "itch"}
    assert some.probabilities != nothing.probabilities


def test_a_category_that_training_did_not_see_is_missing(save, data, images):
    predictor = Predictor.load(save(data), device="cpu")
    with pytest.warns(UserWarning, match=r"'background_father' has values .* not see: ATLANTIS"):
        found = predictor.predict(images[0], {"background_father": "Atlantis"})
    assert found == predictor.predict(images[0])


def test_columns_that_the_model_does_not_use_are_left_aside(save, make_data, images):
    predictor = Predictor.load(save(make_data(features=["age", "region"])), device="cpu")
    answers = {"age": 55, "itch": "yes", "img_id": "x", "diagnostic": "BCC", "biopsed": True}
    assert predictor.predict(images[0], answers) == predictor.predict(images[0], {"age": 55})
    assert predictor.features == ("age", "region")
    with pytest.raises(UsageError, match="Expected 'itch'"):
        predictor.predict(images[0], {"itch": "perhaps"})


def test_answers_for_every_image(save, data, images):
    predictor = Predictor.load(save(data), device="cpu")
    with pytest.raises(UsageError, match="answers for each of 3 images, but got 2"):
        predictor.predict_batch(images[:3], [{}, {}])
    with pytest.raises(UsageError, match="'age' in the answers of image 1 to be a number"):
        predictor.predict_batch(images[:2], [{}, {"age": "old"}])
    with pytest.raises(UsageError, match="`batch_size` to be at least 1, got 0"):
        predictor.predict_batch(images[:2], batch_size=0)
    assert predictor.predict_batch([]) == []


def test_several_checkpoints_give_their_mean(save, data, make_data, published, images):
    other = make_data(48, features=["age", "itch"])
    paths = [
        save(data, "a.ckpt"),
        save(data, "b.ckpt", seed=1, fusion=FUSIONS["film"]),
        save(other, "c.ckpt", seed=2),
    ]
    single = [of_module(paths[0], data), of_module(paths[1], data), of_module(paths[2], other)]
    predictor = Predictor.load(*paths, device="cpu")
    found = probabilities(predictor.predict_batch(images, published))
    assert (found - torch.stack(single).mean(0)).abs().max() < 1e-6
    assert set(predictor.features) == {feature.name for feature in data.task.features}
    listed = Predictor.load(paths, device="cpu").predict(images[0], published[0])
    assert listed == predictor.predict(images[0], published[0])


def test_a_missing_feature_of_any_model_is_named(save, make_data, images):
    paths = [
        save(make_data(features=["age", "itch"]), "a.ckpt"),
        save(make_data(features=["itch", "region"]), "b.ckpt"),
    ]
    predictor = Predictor.load(paths, device="cpu")
    assert predictor.features == ("age", "itch", "region")
    assert predictor.predict(images[0], {"itch": "no"}).missing == ("age", "region")


def test_threads_get_what_they_would_alone(save, data, published, images):
    predictor = Predictor.load(save(data), device="cpu")
    cases = list(zip(images[:8], published[:8], strict=True))
    expected = [predictor.predict(*case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        explained = [pool.submit(predictor.explain, *case, method="grad_cam") for case in cases]
        found = list(pool.map(lambda case: predictor.predict(*case), cases))
    assert found == expected
    assert [one.result().prediction for one in explained] == expected


def test_weights_stay_as_they_are(save, data, images):
    predictor = Predictor.load(save(data), device="cpu")
    network = predictor.ensemble.models[0].network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    predictor.explain(images[0])
    assert not any(module.training for module in network.modules())
    assert not any(weight.requires_grad for weight in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_runs_by_their_folder_and_the_latest_one(save, data, tmp_path, monkeypatch, images):
    monkeypatch.chdir(tmp_path)
    run = Path("runs/vitatt/one/checkpoints")
    run.mkdir(parents=True)
    save(data).rename(run / "best.ckpt")
    expected = Predictor.load(run / "best.ckpt", device="cpu").predict(images[0])
    for asked in ("runs/vitatt/one", run, "best"):
        assert Predictor.load(asked, device="cpu").predict(images[0]) == expected


def test_checkpoints_that_cannot_be_loaded_together(save, data, demo_root, tmp_path):
    path = save(data)
    saved = torch.load(path, weights_only=True)
    saved["hyper_parameters"]["task"]["classes"] = ["ACK", "BCC", "MEL", "NEV", "SCC", "XYZ"]
    torch.save(saved, tmp_path / "classes.ckpt")
    saved["hyper_parameters"]["task"]["dataset"] = "isic_2019"
    torch.save(saved, tmp_path / "dataset.ckpt")
    with pytest.raises(UsageError, match=r"classes of .*best\.ckpt: ACK, .* of .* XYZ"):
        Predictor.load(path, tmp_path / "classes.ckpt")
    with pytest.raises(UsageError, match=r"dataset of .*: pad_ufes_20; of .*: isic_2019"):
        Predictor.load(path, tmp_path / "dataset.ckpt")
    with pytest.raises(UsageError, match="at least one checkpoint, but got none"):
        Predictor.load([])
    with pytest.raises(UsageError, match=r"nowhere\.ckpt does not exist"):
        Predictor.load("nowhere.ckpt")


def test_a_dataset_that_is_not_known(save, data, images):
    path = save(data)
    saved = torch.load(path, weights_only=True)
    saved["hyper_parameters"]["task"]["dataset"] = "isic_2091"
    torch.save(saved, path)
    with pytest.raises(UsageError, match=r"'isic_2091'\. Did you mean isic_2019"):
        Predictor.load(path, device="cpu").predict(images[0])


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "nowhere"])
def test_a_device_that_is_not_there(save, data, device):
    with pytest.raises(UsageError, match=rf"`device` to be one .* but got '{device}'"):
        Predictor.load(save(data), device=device)


def test_the_device_is_the_gpu_if_there_is_one(save, data):
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert Predictor.load(save(data)).ensemble.device.type == expected
    assert Predictor.load(save(data), device=torch.device("cpu")).ensemble.device.type == "cpu"


def test_loading_imports_no_more_than_it_needs(save, data):
    unneeded = ["lightning", "polars", "captum", "sklearn", "albumentations", "jsonargparse"]
    code = (
        "import sys; from vitatt import Predictor; Predictor.load(sys.argv[1], device='cpu'); "
        f"print([name for name in {unneeded} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(save(data))], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_public_names():
    assert set(vitatt.__all__) <= set(dir(vitatt))
    assert vitatt.Predictor is Predictor
    assert vitatt.LesionClassifier is LesionClassifier
    assert vitatt.explain.__name__ == "vitatt.explain"
    assert gc.isenabled()
    with pytest.raises(AttributeError, match="'vitatt' has no attribute 'Predicter'"):
        vitatt.Predicter  # noqa: B018


def test_the_lines_of_the_readme(save, data, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(data)
    Path("lesion.jpg").write_bytes(images[0].read_bytes())
    from vitatt import Predictor

    predictor = Predictor.load("best.ckpt")
    result = predictor.predict("lesion.jpg", {"age": 55, "itch": "yes"})
    assert sum(result.probabilities.values()) == pytest.approx(1)
    predictor.explain("lesion.jpg", {"age": 55}).figure().save("why.png")
    assert Path("why.png").stat().st_size > 10_000
