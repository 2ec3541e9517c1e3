"""Speed and memory of the data path: images from a warm cache, and tables of any length."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.performance.conftest import Record
from tests.performance.memory import LINUX, peak_memory, private_memory
from tests.performance.timing import ratio
from vitatt.data import cases as cases_module
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.dataset import PixelSource
from vitatt.data.datasets import DATASETS, described
from vitatt.data.images.cache import ImageCache
from vitatt.data.images.files import ImageFiles
from vitatt.data.images.near_duplicates import NearDuplicates
from vitatt.data.images.transforms import TrainingAugmentation
from vitatt.data.synthetic.demo import write_demo

ISIC_2019 = DATASETS["isic_2019"]

pytestmark = pytest.mark.bench
IMAGES = 32
ROWS = (25_000, 250_000, 2_500_000)


@pytest.mark.parametrize(("kind", "side"), [("jpg", 1024), ("png", 240)])
def test_warm_cache_over_decoding(tmp_path: Path, record: Record, kind: str, side: int) -> None:
    rng = np.random.default_rng(0)
    paths = []
    for number in range(IMAGES):
        small = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        path = tmp_path / f"{number}.{kind}"
        small.resize((side, side), Image.Resampling.BICUBIC).save(path)
        paths.append(str(path))
    cache = ImageCache(paths, size=224, folder=tmp_path / "cache")
    plain = PixelSource(cache, cache.rows(paths))
    augmented = PixelSource(cache, cache.rows(paths), TrainingAugmentation(224))
    rows = np.arange(IMAGES)

    def decode() -> None:
        for path in paths:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB").resize((224, 224)), np.float32)
            (pixels / 255 - 0.5) / 0.5

    title = f"PIL decode, resize, normalise of {side} px {kind.upper()} over a warm cache read"
    record(title, ratio(decode, lambda: plain.fetch(rows, [0] * IMAGES)), least=20)
    title += ", with the training augmentations"
    record(title, ratio(decode, lambda: augmented.fetch(rows, list(range(IMAGES)))), least=3)


@pytest.mark.skipif(not LINUX, reason="needs Linux")
def test_loader_memory_over_epochs(tmp_path: Path, record: Record) -> None:
    write_demo(tmp_path / "data", num_cases=2000, image_size=64)
    module = LesionDataModule(
        "pad_ufes_20",
        str(tmp_path / "data"),
        image_size=64,
        num_workers=1,
        cache_dir=str(tmp_path / "cache"),
    )
    loader = module.train_dataloader()
    used = []
    for epoch in range(4):
        loader.epoch_sampler.set_epoch(epoch)
        for _ in loader:
            pass
        children = [process.pid for process in multiprocessing.active_children()]
        used.append(private_memory(*children))
    growth = used[-1] / used[0]  # the first epoch is the warm-up
    record("Memory of loader and worker after 3 more epochs over after one", growth, most=1.02)


@pytest.mark.skipif(not LINUX, reason="needs Linux")
def test_setting_up_long_tables(tmp_path: Path, record: Record) -> None:
    seconds = {}
    for count in ROWS:
        write_table(tmp_path / str(count), count)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds[count], memory = pool.apply(set_up, (str(tmp_path / str(count)), count))
        title = f"Setting up a table of {count:,} rows"
        record(title, seconds[count], unit="s", most=60)
        record(f"{title}, peak memory", memory, unit="GB", most=8)
    growth = seconds[ROWS[2]] / seconds[ROWS[1]]
    record("Set-up of ten times the rows, over 250,000", growth, most=15)


def write_table(folder: Path, count: int) -> None:
    """ISIC 2019's two files with `count` rows of half as many lesions, as realistic in classes."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    names = pl.Series("image", [f"ISIC_{number:07d}" for number in range(count)])
    lesion = rng.integers(0, count // 2, count)
    shares = np.array([4522, 12875, 3323, 867, 2624, 239, 253, 628]) / 25331
    kind = rng.choice(8, count // 2, p=shares)[lesion]
    truth = {name: (kind == code).astype(float) for code, name in enumerate(ISIC_2019.spec.classes)}
    pl.DataFrame([names]).with_columns(
        **{name: pl.Series(v) for name, v in truth.items()}
    ).write_csv(folder / "ISIC_2019_Training_GroundTruth.csv")
    pl.DataFrame(
        {
            "image": names,
            "age_approx": rng.choice(np.arange(0, 90, 5.0), count),
            "anatom_site_general": rng.choice(["anterior torso", "lower extremity", ""], count),
            "lesion_id": [f"HAM_{number:07d}" for number in lesion],
            "sex": rng.choice(["male", "female", ""], count),
        }
    ).write_csv(folder / "ISIC_2019_Training_Metadata.csv")


class SharedImages:
    """In the place of an `ImageCache`: a thousand images serve all rows, nothing is read."""

    def __init__(self, paths: list[str], *, size: int, folder: Path) -> None:
        del folder
        self.digests = {path: path for path in paths}
        self.unreadable: dict[str, str] = {}
        self.pixels = np.zeros((1000, size, size, 3), np.uint8)
        self._row = {path: number % 1000 for number, path in enumerate(paths)}

    def rows(self, paths: list[str]) -> NDArray[np.int64]:
        return np.array([self._row[path] for path in paths], dtype=np.int64)


def set_up(root: str, count: int) -> tuple[float, float]:
    """Seconds until the first training batch, and peak memory in GB, in a process of its own."""
    cases_module.ImageCache = SharedImages  # type: ignore[assignment, misc]
    cases_module.find_near_duplicates = lambda *_: NearDuplicates.none()  # they are stored
    files = {f"ISIC_{number:07d}": f"{root}/ISIC_{number:07d}.jpg" for number in range(count)}
    described.index_images = lambda *_, **__: ImageFiles(files, {}, {})
    start = time.perf_counter()
    module = LesionDataModule("isic_2019", root, image_size=64, num_workers=0, cache_dir=root)
    module.setup("fit")
    next(iter(module.train_dataloader()))
    seconds = time.perf_counter() - start
    return seconds, peak_memory()
