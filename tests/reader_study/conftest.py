"""Demo data whose image files carry metadata, a model that nobody trained, and its study."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import ExifTags, Image, PngImagePlugin

from tests.inference.conftest import save_model
from vitatt.cli import main
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.synthetic.demo import write_demo

SECRET = "Secret of the camera"


@pytest.fixture(scope="session")
def marked_root(tmp_path_factory) -> Path:
    """PAD's layout; every image has EXIF and a text."""
    root = tmp_path_factory.mktemp("marked") / "data"
    write_demo(root, num_cases=120, image_size=48)
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = SECRET
    exif[ExifTags.Base.GPSInfo] = {1: "N", 2: (48.0, 12.0, 1.0)}
    for path in root.glob("images/*.png"):
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", f"{SECRET}: {path.name}")
        with Image.open(path) as image:
            image.load()
        image.save(path, exif=exif, pnginfo=text)
        assert SECRET.encode() in path.read_bytes()
    return root


@pytest.fixture(scope="session")
def study_options(marked_root, tmp_path_factory) -> list[str]:
    """Options of `vitatt study design` but for the output."""
    cache = str(tmp_path_factory.mktemp("cache"))
    module = LesionDataModule(
        "pad_ufes_20", root=str(marked_root), image_size=32, cache_dir=cache, num_folds=2
    )
    path = save_model(tmp_path_factory.mktemp("model") / "best.ckpt", module)
    return [
        f"--ckpt_path={path}",
        f"--data.root={marked_root}",
        f"--data.cache_dir={cache}",
        "--cases=12",
        "--training_cases=2",
        "--readers=6",
        "--simulations=5",
        "--seed=7",
    ]


@pytest.fixture(scope="session")
def study(study_options, tmp_path_factory) -> Path:
    """The folder of a study by `vitatt study design`."""
    folder = tmp_path_factory.mktemp("designed") / "study"
    assert main(["study", "design", *study_options, f"--output={folder}"]) == 0
    return folder
