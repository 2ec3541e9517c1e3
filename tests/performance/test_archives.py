"""SLICE-3D in its full length: 401,059 rows, and as many encoded images in one HDF5 file."""

from __future__ import annotations

import io
import multiprocessing
import time
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.performance.conftest import Record
from tests.performance.memory import LINUX, peak_memory
from tests.published_files import jpeg
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import DATASETS

pytestmark = pytest.mark.bench
ROWS = 401_059
PATIENTS = 1_042
MALIGNANT = 393
SIZE = 32
SAMPLE = 4_000


def write_slice_3d(folder: Path) -> None:
    """Small JPEG images of some 100 pixels; their bytes differ, of their pixels there are 500."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    names = [f"ISIC_{number:07d}" for number in range(ROWS)]
    target = np.isin(np.arange(ROWS), rng.choice(ROWS, MALIGNANT, replace=False)).astype(int)
    features = DATASETS["isic_2024"].spec.features
    numbers = {one.name: rng.normal(size=ROWS) for one in features if one.kind == "numeric"}
    pl.DataFrame(
        {
            "isic_id": names,
            "target": target,
            "patient_id": [f"IP_{n:07d}" for n in rng.integers(0, PATIENTS, ROWS)],
            **numbers,
            "age_approx": rng.choice(np.arange(5, 90, 5.0), ROWS),
            "sex": rng.choice(["male", "female"], ROWS),
            "anatom_site_general": rng.choice(["head/neck", "posterior torso"], ROWS),
            "tbp_lv_location": rng.choice(["Left Leg", "Torso Back"], ROWS),
            "tbp_lv_location_simple": rng.choice(["Left Leg", "Torso Back"], ROWS),
        }
    ).write_csv(folder / "train-metadata.csv")
    pool = [jpeg(rng, size=int(rng.integers(80, 140))) for _ in range(500)]
    with h5py.File(folder / "train-image.hdf5", "w") as file:
        for number, name in enumerate(names):
            file[name] = np.void(pool[number % 500] + number.to_bytes(4, "big"))


def decode_plainly(path: Path) -> float:
    """Images per second of a loop over h5py and Pillow, in one thread."""
    with h5py.File(path) as file:
        names = list(file)[:SAMPLE]
        start = time.perf_counter()
        for name in names:
            with Image.open(io.BytesIO(file[name][()].tobytes())) as image:
                np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
        return SAMPLE / (time.perf_counter() - start)


def set_up(root: str) -> tuple[float, float]:
    """Seconds until the first training batch, and peak memory in GB, in a process of its own."""
    start = time.perf_counter()
    module = LesionDataModule(
        "isic_2024", root, image_size=SIZE, num_workers=0, cache_dir=f"{root}/cache"
    )
    module.setup("fit")
    next(iter(module.train_dataloader()))
    return time.perf_counter() - start, peak_memory()


@pytest.mark.skipif(not LINUX, reason="needs Linux")
def test_slice_3d(tmp_path: Path, record: Record) -> None:
    root = tmp_path / "data"
    write_slice_3d(root)
    plain = decode_plainly(root / "train-image.hdf5")
    title = f"{ROWS:,} images in an HDF5 file"
    record(f"{title}: PIL over h5py, one thread", plain, unit="/s")
    for cache, most in (("nothing cached", float("inf")), ("all cached", 60)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, memory = pool.apply(set_up, (str(root),))
        record(f"{title}: set-up, {cache}", seconds, unit="s", most=most)
        record(f"{title}: peak memory, {cache}", memory, unit="GB", most=4 if most == 60 else 10)
        if cache == "nothing cached":
            record(f"{title}: digests and decoding", ROWS / seconds, unit="/s")
