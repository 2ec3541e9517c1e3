"""Models for the hub: what is in the folder, what stops it, and the calls of the upload."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import yaml

from tests.benchmark_folder import ARMS, predictions
from vitatt.commands.export import export
from vitatt.commands.push import push
from vitatt.hub.licences import Licence, require_allowed, weights_licence
from vitatt.inference import Predictor
from vitatt.models.fusion import FUSIONS
from vitatt.types import UsageError

pytestmark = pytest.mark.long

REPO = "clinic/pad-vitatt"
ALLOWED = {"weights_licence": "Apache-2.0"}


class FakeHub:
    """The parts of `HfApi` that are called, on a folder."""

    place: Path

    def create_repo(self, repo_id, **settings):
        inspect.signature(REAL.create_repo).bind(self, repo_id, **settings)
        assert settings["exist_ok"]
        (self.place / repo_id).mkdir(parents=True, exist_ok=True)
        (self.place / "private").write_text(str(settings["private"]))

        class Address(str):
            pass

        address = Address(f"https://hub/{repo_id}")
        address.repo_id = repo_id
        return address

    def upload_folder(self, **settings):
        inspect.signature(REAL.upload_folder).bind(self, **settings)
        target = self.place / settings["repo_id"]
        shutil.copytree(settings["folder_path"], target, dirs_exist_ok=True)


REAL = huggingface_hub.HfApi


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """The fake hub's folder; what is fetched comes from there."""

    def fetched(repo_id, *, revision=None, allow_patterns=None):
        inspect.signature(download).bind(repo_id, revision=revision, allow_patterns=allow_patterns)
        if not (FakeHub.place / repo_id).is_dir():
            raise OSError("404 Client Error")
        target = tmp_path / "fetched"
        shutil.copytree(FakeHub.place / repo_id, target)
        for path in target.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in allow_patterns:
                path.unlink()
        (target / "revision").write_text(str(revision))
        return str(target)

    download = huggingface_hub.snapshot_download
    FakeHub.place = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    return FakeHub.place


def test_there_and_back(save, data, hub, tmp_path, demo_root, capsys):
    path = save(data)
    assert push(str(path), repo=REPO, **ALLOWED) == 0
    assert f"Predictor.load('hf:{REPO}')" in capsys.readouterr().out
    names = {str(file.relative_to(hub / REPO)) for file in (hub / REPO).rglob("*.*")}
    images = {f"examples/case_{number}.png" for number in range(3)}
    assert (
        names
        == {"README.md", "config.json", "model.safetensors", "examples/examples.json"} | images
    )
    predictor = Predictor.load(f"hf:{REPO}@v1", device="cpu")
    assert (tmp_path / "fetched" / "revision").read_text() == "v1"
    image = next((demo_root / "images").iterdir())
    expected = Predictor.load(path, device="cpu").predict(image, {"age": 55})
    found = predictor.predict(image, {"age": 55})
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    for example in json.loads((hub / REPO / "examples" / "examples.json").read_text()):
        again = predictor.predict(hub / REPO / "examples" / example["image"], example["answers"])
        assert again.probabilities == pytest.approx(example["probabilities"], abs=1e-6)


def test_the_card(save, data, hub):
    assert push(str(save(data)), repo=REPO, licence="cc-by-nc-4.0", private=True, **ALLOWED) == 0
    _, front, text = (hub / REPO / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "cc-by-nc-4.0"
    assert (hub / "private").read_text() == "True"
    for part in (
        "**Not a medical device**",
        f'Predictor.load("hf:{REPO}")',
        "MEL (melanoma)",
        "biopsed, which answers of the anamnesis are missing.",
        "| dataset PAD-UFES-20 | CC BY 4.0 | free |",
        "| Apache-2.0 (as its publisher states) | free |",
        "outer fold 0 of 5",
        "None were given with this model",
    ):
        assert part in text, part
    code = text.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")


def test_an_exported_folder(save, data, hub, tmp_path):
    save(data)
    for format in ("onnx", "torch_export"):
        export(ckpt_path=str(tmp_path / "best.ckpt"), output=str(tmp_path / format), format=format)
    assert push(str(tmp_path / "onnx"), repo=REPO, **ALLOWED) == 0
    assert (hub / REPO / "model.onnx").is_file()
    assert Predictor.load(f"hf:{REPO}").ensemble.runtime == "onnx"
    with pytest.raises(UsageError, match=r"program of torch.export, which Predictor does not load"):
        push(str(tmp_path / "torch_export"), repo=REPO, **ALLOWED)


def test_the_folder_without_an_upload(save, data, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: pytest.fail("uploaded"))
    path = save(data)
    assert push(str(path), repo=REPO, output=str(tmp_path / "out"), dry_run=True, **ALLOWED) == 0
    assert (tmp_path / "out" / "README.md").is_file()
    with pytest.raises(UsageError, match="`output` with `dry_run`"):
        push(str(path), repo=REPO, dry_run=True)
    for name in ("name", "../name", "a/..", "a/b/c", "a/b\n", "ü/b"):
        with pytest.raises(UsageError, match=f"`repo` to be OWNER/NAME, but got '{name}'"):
            push(str(path), repo=name)
    with pytest.raises(UsageError, match=r"`licence` to be a name as the hub has it, .*'MIT"):
        push(str(path), repo=REPO, licence="MIT\nlicense: x")


def test_an_unknown_licence_stops_the_push(save, data, hub, tmp_path):
    path = save(data)
    with pytest.raises(
        UsageError, match="encoder test_vit, of unknown origin: no licence is known"
    ):
        push(str(path), repo=REPO, output=str(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(UsageError, match="the terms of 'house rules' are not known here"):
        push(str(path), repo=REPO, weights_licence="house rules")
    assert not (hub / REPO).exists()
    assert push(str(path), repo=REPO, accept_licences=True) == 0
    assert "stated to have the right" in (hub / REPO / "README.md").read_text()


def test_weights_that_may_not_be_passed_on(save, data, hub, tmp_path):
    """The configuration of the run says where the encoder's weights are from."""
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    save(data).rename(run / "checkpoints" / "best.ckpt")
    model = {"encoder": "test_vit", "encoder_weights": "/data/PanDerm_Base.pth"}
    (run / "config.yaml").write_text(yaml.safe_dump({"model": model}))
    with pytest.raises(UsageError, match=r"PanDerm: CC-BY-NC-ND-4.0 forbids to pass on"):
        push(str(run), repo=REPO, **ALLOWED)
    for source, name in (("hub", "apache-2.0"), (None, "MIT")):
        (run / "config.yaml").write_text(
            yaml.safe_dump({"model": {**model, "encoder_weights": source}})
        )
        assert push(str(run), repo=REPO) == 0
        assert f"| {name} | free |" in (hub / REPO / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("MIT", "free"),
        ("Apache-2.0", "free"),
        ("CC BY 4.0", "free"),
        ("cc-by-sa-4.0", "free"),
        ("CC BY-NC", "non-commercial"),
        ("CC-BY-NC-SA-4.0", "non-commercial"),
        ("CC-BY-NC-ND-4.0", "forbidden"),
        ("cc-by-nd-4.0", "forbidden"),
        ("dinov3-license", "unknown"),
        ("", "unknown"),
    ],
)
def test_verdicts(name, verdict):
    assert Licence("weights", name).verdict == verdict


def test_a_model_is_not_freer_than_its_parts(save, data, hub):
    path = str(save(data))
    with pytest.raises(UsageError, match=r"non-commercial use, .* \(CC-BY-NC-4.0\), but got 'mit'"):
        push(path, repo=REPO, licence="mit", weights_licence="CC-BY-NC-4.0")
    assert not (hub / REPO).exists()
    for licence in ("other", "cc-by-nc-4.0"):
        assert push(path, repo=REPO, licence=licence, weights_licence="CC-BY-NC-4.0") == 0


def test_the_card_of_a_model_without_answers(save, data, hub):
    assert push(str(save(data, fusion=FUSIONS["image_only"])), repo=REPO, **ALLOWED) == 0
    text = (hub / REPO / "README.md").read_text()
    assert "A classifier of skin lesions from an image, trained with" in text
    assert "- Answers: none. " in text
    assert 'predictor.predict("lesion.jpg", {})' in text


def test_known_weights_keep_their_licence():
    assert weights_licence("panderm_base", "", "MIT").name == "CC-BY-NC-ND-4.0"
    assert weights_licence("vit_base_patch16_clip_224", "DermLIP.pt").verdict == "non-commercial"
    require_allowed([Licence("weights", "CC BY-NC")], accept=False)
    require_allowed([Licence("weights", "")], accept=True)


def test_failures_of_the_hub(save, data, hub, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"'hf:no/where' could not be fetched \(OSError: 404"):
        Predictor.load("hf:no/where")
    (hub / "other" / "model").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds no model of `vitatt push`"):
        Predictor.load("hf:other/model")
    monkeypatch.setattr(FakeHub, "upload_folder", lambda self, **_: SimpleNamespace().nothing)
    with pytest.raises(UsageError, match="could not be uploaded to 'clinic/pad-vitatt'"):
        push(str(save(data)), repo=REPO, **ALLOWED)


def test_the_package_may_be_absent(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'vitatt\[hub\]'"):
        Predictor.load("hf:a/b")


def test_probabilities_are_plain(save, data):
    found = Predictor.load(save(data), device="cpu").predict(np.zeros((8, 8, 3), np.uint8))
    assert all(type(one) is float for one in found.probabilities.values())


@pytest.fixture
def test_run(tmp_path, data) -> Path:
    """What a card reads of a test run, made up."""
    folder = tmp_path / "tested"
    folder.mkdir()
    frame = predictions({"vitatt": ARMS["vitatt"]}, folds=1, seeds=(0,))
    frame.drop("arm", "fold", "seed", "temperature").write_parquet(folder / "predictions.parquet")
    fusion = {"class_path": "vitatt.models.fusion.vitatt.AttentionFusion", "init_args": {}}
    model = {"encoder": "test_vit", "freeze_encoder": True, "fusion": fusion}
    config = {"data": {"task": data.task.to_plain()}, "model": model}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_the_metrics_of_a_test_run(save, data, hub, test_run):
    assert push(str(save(data)), repo=REPO, test_run=str(test_run), **ALLOWED) == 0
    text = (hub / REPO / "README.md").read_text()
    assert re.search(r"\n\| vitatt .* 0\.\d+ \[0\.\d+, 0\.\d+\]", text), text
    for heading in ("## Metrics", "## Evaluation data", "### Unitary results", "## Licences"):
        assert text.count(f"\n{heading}\n") == 1, heading
    assert str(test_run) not in text, "paths of this machine are nobody's business"
    assert "None were given" not in text


def test_a_test_run_of_another_model(save, data, hub, test_run):
    config = yaml.safe_load((test_run / "config.yaml").read_text())
    config["data"]["task"]["fold_spec"]["fold"] = 3
    (test_run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UsageError, match=r"test run of this model, .* fold 0 of 5, .* fold 3 of 5"):
        push(str(save(data)), repo=REPO, test_run=str(test_run), **ALLOWED)
