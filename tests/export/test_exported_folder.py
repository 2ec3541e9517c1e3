"""Folders of `vitatt export`, and the Predictor on them: the same answers as the checkpoint's."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vitatt.commands.export import export
from vitatt.export import exporting
from vitatt.export.parity import compare
from vitatt.inference import Predictor
from vitatt.models.exported import CONFIG, FILES, SEAL, digest, read_exported, seal
from vitatt.models.fusion import FUSIONS
from vitatt.types import UsageError

pytestmark = pytest.mark.long

ANSWERS = {"age": 55, "itch": "yes", "region": "NOSE"}


@pytest.fixture
def published(demo_root):
    with (demo_root / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))[:20]


@pytest.fixture
def images(demo_root, published):
    return [demo_root / "images" / row["img_id"] for row in published]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Folder of the exports that several tests begin with, and of their checkpoint."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def exported(save, data, tmp_path, made):
    """Export a checkpoint; its folder."""

    def make(format: str = "onnx", name: str = "best.ckpt", **settings: object) -> Path:
        path, folder = tmp_path / name, tmp_path / f"{format}-{Path(name).stem}"
        usual = name == "best.ckpt" and not settings
        if usual and not path.exists() and (made / format).is_dir():
            shutil.copyfile(made / format / name, path)
            return Path(shutil.copytree(made / format / folder.name, folder))
        path = path if path.is_file() else save(data, name)
        assert export(ckpt_path=str(path), output=str(folder), format=format, **settings) == 0
        if usual and not (made / format).exists():
            shutil.copytree(folder, made / format / folder.name)
            shutil.copyfile(path, made / format / name)
        return folder

    return make


def probabilities(predictor: Predictor, images, answers) -> np.ndarray:
    found = predictor.predict_batch(images, answers, batch_size=7)
    return np.array([list(one.probabilities.values()) for one in found])


@pytest.mark.parametrize("format", ["onnx", "safetensors"])
def test_the_same_answers(exported, tmp_path, images, published, format):
    folder = exported(format)
    original = Predictor.load(tmp_path / "best.ckpt", device="cpu")
    found = Predictor.load(folder, device="cpu")
    expected = probabilities(original, images, published)
    assert np.abs(probabilities(found, images, published) - expected).max() < 1e-5
    assert (found.classes, found.features) == (original.classes, original.features)
    assert found.spec == original.spec
    case = images[0], ANSWERS
    assert found.predict(*case).missing == original.predict(*case).missing
    with pytest.raises(UsageError, match=r"Did you mean 'itch'|has no column 'itches'"):
        found.predict(images[0], {"itches": "yes"})


def test_several_folders_give_their_mean(exported, save, data, tmp_path, images, published):
    save(data, "other.ckpt", seed=3)
    folders = [exported(), exported(name="other.ckpt")]
    paths = [tmp_path / "best.ckpt", tmp_path / "other.ckpt"]
    expected = probabilities(Predictor.load(paths, device="cpu"), images, published)
    found = Predictor.load(folders)
    assert np.abs(probabilities(found, images, published) - expected).max() < 1e-5
    with pytest.raises(UsageError, match="this is the mean of 2"):
        found.explain(images[0])
    with pytest.raises(UsageError, match=r"is run by ONNX Runtime and .* by PyTorch"):
        Predictor.load(folders[0], paths[1])


def test_its_explanation_is_the_attention(exported, tmp_path, images):
    found = Predictor.load(exported()).explain(images[0], ANSWERS, method="attention")
    original = Predictor.load(tmp_path / "best.ckpt", device="cpu")
    expected = original.explain(images[0], ANSWERS, method="attention")
    assert np.allclose(found.patches, expected.patches, atol=1e-5)
    assert found.features == pytest.approx(expected.features, abs=1e-5)
    assert found.image_share == pytest.approx(expected.image_share, abs=1e-4)
    assert found.target == expected.target
    assert found.case.feature_values == expected.case.feature_values
    assert found.case.maps.keys() == expected.case.maps.keys()
    assert found.figure().size == expected.figure().size


def test_other_explanations_are_refused(exported, save, data, images):
    predictor = Predictor.load(exported())
    with pytest.raises(UsageError, match=r"'attention' alone, but got method 'tmme': .*best\.ckpt"):
        predictor.explain(images[0])
    with pytest.raises(UsageError, match="and a contrast"):
        predictor.explain(images[0], method="attention", contrast="BCC")
    with pytest.raises(UsageError, match=r"`target` to be among ACK, .* but got 'XYZ'"):
        predictor.explain(images[0], method="attention", target="XYZ")
    save(data, "film.ckpt", fusion=FUSIONS["metadata_only"])
    without = Predictor.load(exported(name="film.ckpt"))
    with pytest.raises(UsageError, match="has no attention layer"):
        without.explain(images[0], method="attention")


def test_nothing_imports_torch(exported, tmp_path, images, published):
    script = """
import json, sys
for name in ("torch", "timm", "torchvision", "lightning", "safetensors.torch"):
    sys.modules[name] = None  # importing it raises
from vitatt import Predictor
predictor = Predictor.load(sys.argv[1])
images, answers = json.loads(sys.argv[2])
found = predictor.predict_batch(images, answers)
predictor.explain(images[0], answers[0], method="attention").figure()
try:
    import torch
except ImportError:
    print(json.dumps([dict(one.probabilities) for one in found]))
"""
    given = json.dumps([[str(image) for image in images], published])
    words = [sys.executable, "-c", script, str(exported()), given]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = [list(row.values()) for row in json.loads(done.stdout)]
    expected = probabilities(
        Predictor.load(tmp_path / "best.ckpt", device="cpu"), images, published
    )
    assert np.abs(np.array(found) - expected).max() < 1e-5


def test_the_program_of_torch_export(exported, tmp_path, images):
    folder = exported("torch_export")
    module = torch.export.load(folder / "model.pt2").module()
    config = json.loads((folder / CONFIG).read_text())
    predictor = Predictor.load(tmp_path / "best.ckpt", device="cpu")
    values = predictor._read(images[:3], [ANSWERS] * 3)
    (cases,) = predictor.arrays(images[:3], predictor.reader.encode(values), slice(3))
    given = {"image": cases.pixels, "metadata": cases.metadata, "missing": cases.missing}
    found = module(*(torch.from_numpy(given[one["name"]]) for one in config["inputs"]))
    named = dict(zip([one["name"] for one in config["outputs"]], found, strict=True))
    assert np.abs(named["probabilities"].numpy() - predictor.ensemble.predict([cases])).max() < 1e-6
    with pytest.raises(UsageError, match=r"program of torch.export, .* --format onnx or safeten"):
        Predictor.load(folder)


def test_the_description_is_enough_for_other_software(exported, tmp_path, data, images):
    """The inputs are made from the JSON file alone, as a program in another language would."""
    import onnxruntime
    from PIL import Image

    folder = exported()
    config = json.loads((folder / CONFIG).read_text())
    session = onnxruntime.InferenceSession(folder / config["file"])
    answers = {"age": 41.5, "itch": "True", "region": "NOSE"}
    metadata, missing = [], []
    for feature in config["features"]:
        size = feature["columns"][1] - feature["columns"][0]
        value = answers.get(feature["name"])
        block = np.full(size, 1 / size)
        if value is not None and feature["kind"] == "categorical":
            block[:] = config["smoothing"] / (size - 1)
            block[feature["categories"].index(value)] = 1 - config["smoothing"]
        elif value is not None:
            place = np.interp(value, feature["centres"], range(size))
            block = np.maximum(0, 1 - np.abs(np.arange(size) - place))
        metadata.extend(block)
        missing.append(value is None)
    side = config["image_size"]
    pixels = Image.open(images[0]).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    made = {
        "image": np.asarray(pixels, np.uint8).transpose(2, 0, 1)[None],
        "metadata": np.array([metadata], np.float32),
        "missing": np.array([missing]),
    }
    found = session.run(
        ["probabilities"], {one["name"]: made[one["name"]] for one in config["inputs"]}
    )
    expected = Predictor.load(tmp_path / "best.ckpt", device="cpu").predict(images[0], answers)
    assert found[0][0] == pytest.approx(list(expected.probabilities.values()), abs=1e-5)
    assert config["classes"] == list(expected.probabilities)
    assert config["checkpoint"]["sha256"] == digest(tmp_path / "best.ckpt")
    assert config["vitatt"]
    spellings = {one["name"]: one["spellings"] for one in config["features"]}
    assert spellings["background_father"] == {"BRASIL": "BRAZIL"}
    shapes = {one["name"]: one["shape"][1:] for one in config["outputs"]}
    for one in session.get_outputs():
        assert one.shape[1:] == shapes[one.name], one.name


def test_an_export_that_differs_is_not_written(exported, save, data, tmp_path, monkeypatch):
    save(data)

    def worse(graph, run, batches):
        found = compare(graph, run, batches)
        return found._replace(differences={**found.differences, "logits": 2e-3})

    monkeypatch.setattr(exporting, "compare", worse)
    with pytest.raises(UsageError, match=r"network 'vitatt' of .*best.ckpt differs .* by 0.002 in"):
        exported()
    assert list((tmp_path / "onnx-best").iterdir()) == []


def test_what_cannot_be_is_refused(exported, save, data, tmp_path):
    save(data)
    with pytest.raises(UsageError, match="`quantize` with the format onnx alone"):
        exported("safetensors", quantize="dynamic")
    with pytest.raises(UsageError, match=r"`data.root` with `quantize` static"):
        exported(name="best.ckpt", quantize="static")
    with pytest.raises(UsageError, match="positions of its transformer's patches"):
        exported(any_image_size=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "pickle"}, "`format` in .* among onnx, safetensors, torch_export"),
        ({"sha256": "0"}, "is not the file that config.json beside it describes"),
        ({"task": {}}, "Expected a task with the keys"),
        ({"task": {"smoothing": "0.1"}}, "values of other types"),
        ({"network": None}, "says nothing of its network"),
        ({"grid_size": "all"}, "`grid_size` in .* is wrong"),
        ({"task": {"image_size": 48}}, "no model of the task beside it: its 'image'"),
    ],
)
def test_a_changed_folder(exported, change, message):
    folder = exported()
    config = json.loads((folder / CONFIG).read_text())
    if change.get("task"):
        change = {"task": {**config["task"], **change["task"]}}
    write_sealed(folder, {**config, **change})
    with pytest.raises(UsageError, match=message):
        Predictor.load(folder)


def write_sealed(folder, config):
    """Write a description as one who knows its digest does."""
    (folder / CONFIG).write_text(json.dumps({**config, SEAL: seal(config)}))


@pytest.mark.parametrize("format", ["onnx", "safetensors"])
def test_a_description_in_another_order_is_refused(exported, format):
    """It would fit the weights, and give the probabilities of other classes."""
    folder = exported(format)
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True))
    Predictor.load(folder)  # its layout does not matter
    for key in ("classes", "features"):
        task = {**config["task"], key: config["task"][key][::-1]}
        (folder / CONFIG).write_text(json.dumps({**config, "task": task}))
        with pytest.raises(UsageError, match=r"config.json is not as `vitatt export` wrote it"):
            Predictor.load(folder)


def test_the_file_of_a_folder_may_be_named(exported, images):
    folder = exported()
    named = Predictor.load(folder / "model.onnx")
    assert named.predict(images[0], ANSWERS) == Predictor.load(folder).predict(images[0], ANSWERS)


def test_a_folder_that_is_not_whole(exported):
    folder = exported()
    (folder / FILES["onnx"]).unlink()
    with pytest.raises(UsageError, match=r"lacks model.onnx: copy the whole folder"):
        Predictor.load(folder)


def test_a_stranger_chooses_nothing(exported):
    folder = exported("safetensors")
    config = json.loads((folder / CONFIG).read_text())
    config["network"]["fusion"]["name"] = "os.system"
    write_sealed(folder, config)
    with pytest.raises(UsageError, match=r"'os.system' as its network, which is none of vitatt's"):
        Predictor.load(folder)


def test_predictions_of_a_table(exported, tmp_path, demo_root, monkeypatch):
    from vitatt.cli import main

    monkeypatch.chdir(tmp_path)
    folder = exported()
    places = [f"--data.predict_root={demo_root}", "--data.cache_dir=cache"]
    names = ["onnx", "torch"]
    for name, path in zip(names, (folder, "best.ckpt"), strict=True):
        words = ["predict", f"--ckpt_path={path}", f"--output={name}.csv", *places]
        assert main([*words, "--trainer.accelerator=cpu"]) == 0
    tables = [list(csv.reader(Path(f"{name}.csv").read_text().splitlines())) for name in names]
    assert [row[0] for row in tables[0]] == [row[0] for row in tables[1]]
    numbers = [np.array([row[1:] for row in table[1:]], float) for table in tables]
    assert np.abs(numbers[0] - numbers[1]).max() < 1e-5


def test_quantized(exported, tmp_path, demo_root, images, published, capsys):
    data = {"root": str(demo_root), "cache_dir": str(tmp_path / "cache")}
    original = exported()
    size = (original / "model.onnx").stat().st_size
    shutil.rmtree(original)
    floats = probabilities(Predictor.load(tmp_path / "best.ckpt", device="cpu"), images, published)
    for settings in ({"quantize": "dynamic"}, {"quantize": "static", "data": data}):
        folder = exported(**settings)
        said = capsys.readouterr().out
        assert "8-bit weights change the probabilities of" in said
        assert ("Balanced accuracy on 12 cases of the outer fold" in said) == ("data" in settings)
        cost = read_exported(folder).plain["quantization"]
        assert cost["mode"] == settings["quantize"]
        assert 0 < cost["mean_difference"] <= cost["largest_difference"] < 0.2
        assert (folder / "model.onnx").stat().st_size < size / 2
        found = probabilities(Predictor.load(folder), images, published)
        assert 1e-4 < np.abs(found - floats).max() < 0.2
        shutil.rmtree(folder)
