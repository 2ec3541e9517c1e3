"""predict: what the Predictor gives for every case, as the command line asks for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from tests.commands.runs import refused
from vitatt.cli import main
from vitatt.commands.predict import predict
from vitatt.inference import Predictor, ensemble
from vitatt.types import DataError, UsageError

pytestmark = pytest.mark.long


@pytest.fixture
def checkpoint(trained) -> Path:
    return trained / "checkpoints" / "best.ckpt"


@pytest.fixture
def settings(options, demo_root) -> dict[str, str]:
    (cache,) = (word.partition("=")[2] for word in options if "cache_dir" in word)
    return {"predict_root": str(demo_root), "cache_dir": cache}


@pytest.fixture
def data(settings) -> list[str]:
    return [f"--data.{name}={value}" for name, value in settings.items()]


def rows(path: str | Path) -> np.ndarray:
    return pl.read_csv(path).drop("img_id").to_numpy()


@pytest.fixture
def asked(monkeypatch) -> list[object]:
    """Devices that predictions are asked for."""
    devices: list[object] = []
    original = ensemble.Ensemble.load

    def note(paths, device=None):
        devices.append(device)
        return original(paths, "cpu")

    monkeypatch.setattr(ensemble.Ensemble, "load", note)
    return devices


def test_from_python_as_from_the_shell(checkpoint, settings, data, demo_root, tmp_path):
    assert predict(ckpt_path=str(checkpoint), output="python.csv", data=settings) == 0
    assert main(["predict", f"--ckpt_path={checkpoint}", *data, "--output=shell.csv"]) == 0
    assert Path("python.csv").read_bytes() == Path("shell.csv").read_bytes()
    published = pl.read_csv(demo_root / "metadata.csv", infer_schema=False)
    assert pl.read_csv("shell.csv")["img_id"].to_list() == published["img_id"].to_list()
    images = [demo_root / "images" / name for name in published["img_id"]]
    found = Predictor.load(checkpoint).predict_batch(images, list(published.iter_rows(named=True)))
    expected = [list(one.probabilities.values()) for one in found]
    assert np.abs(rows("shell.csv") - expected).max() < 1e-6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["python.csv", "shell.csv"]


def test_several_checkpoints(checkpoint, data):
    other = torch.load(checkpoint, weights_only=True)
    other["state_dict"]["network.head.weight"] *= -1
    torch.save(other, "other.ckpt")
    pair = [str(checkpoint), "other.ckpt"]
    for number, words in enumerate([pair[:1], pair[1:], pair]):
        words = ["--ckpt_path", *words, *data, f"--output={number}.csv"]
        assert main(["predict", *words]) == 0
    assert main(["ensemble", "--ckpt_paths", *pair, *data, "--output=mean.csv"]) == 0
    assert np.abs(rows("2.csv") - (rows("0.csv") + rows("1.csv")) / 2).max() < 1e-9
    assert Path("2.csv").read_bytes() == Path("mean.csv").read_bytes()


def test_models_of_other_features_and_image_sizes(checkpoint, options, settings, data):
    own = [word for word in options if "image_size" not in word]
    small = ["--data.image_size=48", "--data.features=[age,itch]", "--trainer.max_epochs=1"]
    assert main(["fit", *own, *small, "--explanations.size=0", "--trainer.logger=false"]) == 0
    pair = [str(checkpoint), "best"]
    for number, words in enumerate([pair[:1], pair[1:], pair]):
        assert predict(ckpt_path=words, output=f"{number}.csv", data=settings) == 0
    assert np.abs(rows("2.csv") - (rows("0.csv") + rows("1.csv")) / 2).max() < 1e-9


def test_the_configuration_of_a_training(checkpoint, options, data, trained):
    recipe = ["--config", str(trained / "config.yaml")]
    more = ["--model.encoder=test_vit", "--trainer.precision=bf16-mixed", "--seed_everything=3"]
    for number, words in enumerate([recipe, [*recipe, *more], [*options, *more]]):
        words = ["predict", *words, *data, "--ckpt_path", str(checkpoint), f"--output={number}.csv"]
        assert main(words) == 0
        assert Path(f"{number}.csv").read_bytes() == Path("0.csv").read_bytes()


@pytest.mark.parametrize(
    ("file", "words", "device"),
    [
        (None, [], None),
        ("auto", [], None),
        ("cpu", [], "cpu"),
        ("gpu", ["--trainer.accelerator=cpu"], "cpu"),
        ("cpu", ["--trainer.accelerator", "gpu"], "cuda"),
        (None, ["--trainer.accelerator=auto", "--trainer.devices=2"], None),
    ],
)
def test_the_device_is_the_accelerator(checkpoint, data, asked, file, words, device):
    if file is not None:
        Path("recipe.yaml").write_text(yaml.safe_dump({"trainer": {"accelerator": file}}))
        words = ["--config=recipe.yaml", *words]
    assert main(["predict", *words, *data, f"--ckpt_path={checkpoint}", "--output=p.csv"]) == 0
    assert asked == [device]


def test_an_accelerator_that_is_none(checkpoint, data, capsys):
    words = [*data, f"--ckpt_path={checkpoint}", "--output=p.csv", "--trainer.accelerator=cpus"]
    said = refused(["predict", *words], capsys)
    assert "`trainer.accelerator` to be among cpu, gpu, cuda, auto, but got 'cpus'" in said


def test_a_checkpoint_is_required(data, capsys):
    assert "ckpt_path" in refused(["predict", *data, "--output=p.csv"], capsys)


def test_of_several_processes_the_first_predicts(checkpoint, data, monkeypatch):
    from lightning.pytorch.utilities import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert main(["predict", *data, f"--ckpt_path={checkpoint}", "--output=p.csv"]) == 0
    assert not Path("p.csv").exists()


def test_cases_without_prediction_have_a_reason(checkpoint, settings, demo_root, tmp_path, capsys):
    shutil.copytree(demo_root, tmp_path / "new")
    table = pl.read_csv(demo_root / "metadata.csv", infer_schema=False).head(3)
    table.with_columns(diagnostic=pl.lit("pending")).drop("patient_id").write_csv(
        tmp_path / "new" / "metadata.csv"
    )
    first, second, third = table["img_id"]
    (tmp_path / "new" / "images" / first).write_bytes(b"no image")
    (tmp_path / "new" / "images" / second).unlink()
    new = settings | {"predict_root": str(tmp_path / "new")}
    with pytest.warns(UserWarning, match="1 image files cannot be read") as warned:
        assert predict(ckpt_path=str(checkpoint), output="new.csv", data=new) == 0
    assert not any("check-data" in str(one.message) for one in warned)
    assert pl.read_csv("new.csv")["img_id"].to_list() == [third]
    reasons = dict(pl.read_csv("new.left_out.csv").iter_rows())
    assert list(reasons) == [first, second]
    assert "is no image: its content has no known format" in reasons[first]
    assert reasons[second] == "it has no image file"
    assert "2 other cases are in new.left_out.csv, with the reason: " in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"new\.csv"):
        predict(ckpt_path=str(checkpoint), output="new.csv", data=new)


def test_a_folder_of_photographs(checkpoint, settings, demo_root, tmp_path):
    images = sorted((demo_root / "images").iterdir())[:2]
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for place, image in zip(("one.png", "sub/two.png"), images, strict=True):
        shutil.copy(image, tmp_path / "photos" / place)
    new = settings | {"predict_root": str(tmp_path / "photos")}
    with pytest.warns(UserWarning, match="the 2 images below .* from the image alone") as warned:
        assert predict(ckpt_path=str(checkpoint), output="photos.csv", data=new) == 0
    assert len(warned) == 1
    assert pl.read_csv("photos.csv")["img_id"].to_list() == ["one.png", "sub/two.png"]
    found = Predictor.load(checkpoint).predict_batch(images, [{}, {}])
    expected = [list(one.probabilities.values()) for one in found]
    assert np.abs(rows("photos.csv") - expected).max() < 1e-6


def test_each_of_several_models_has_the_columns_that_it_reads(
    checkpoint, settings, options, demo_root, tmp_path, monkeypatch
):
    few = [f"--data.root={demo_root}", "--data.features=[age,itch]", "--trainer.max_epochs=1"]
    assert main(["fit", *options, *few]) == 0
    (other,) = Path("runs").glob("vitatt/*/checkpoints/best.ckpt")
    shutil.copytree(demo_root, tmp_path / "new")
    table = pl.read_csv(demo_root / "metadata.csv", infer_schema=False)
    table.drop("bleed").write_csv(tmp_path / "new" / "metadata.csv")
    new = settings | {"predict_root": str(tmp_path / "new")}
    assert predict(ckpt_path=str(other), output="few.csv", data=new) == 0
    with pytest.raises(DataError, match="lacks the column bleed"):
        predict(ckpt_path=str(checkpoint), output="all.csv", data=new)
    with pytest.raises(DataError, match=rf"lacks the column bleed, which the model {checkpoint}"):
        predict(ckpt_path=[str(other), str(checkpoint)], output="both.csv", data=new)
