"""Small hand-written datasets in the published layouts."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vitatt.data.datamodule import LesionDataModule
from vitatt.data.synthetic.demo import write_demo

PAD_ROW = {
    **{"patient_id": "PAT_1", "lesion_id": "11", "smoke": "False", "drink": "False"},
    **{"background_father": "POMERANIA", "background_mother": "GERMANY", "age": "55"},
    **{"pesticide": "False", "gender": "FEMALE", "skin_cancer_history": "True"},
    **{"cancer_history": "True", "has_piped_water": "True", "has_sewage_system": "True"},
    **{"fitspatrick": "3.0", "region": "NECK", "diameter_1": "6.0", "diameter_2": "5.0"},
    **{"diagnostic": "BCC", "itch": "True", "grew": "True", "hurt": "False", "changed": "True"},
    **{"bleed": "True", "elevation": "True", "img_id": "PAT_1_11_111.png", "biopsed": "True"},
}
ISIC_ROW = {
    **{"image": "ISIC_0000001", "age_approx": "55.0", "anatom_site_general": "anterior torso"},
    **{"lesion_id": "HAM_0000001", "sex": "female"},
}
ISIC_CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")


def write_csv(
    path: Path,
    rows: Sequence[Mapping[str, str]],
    columns: Iterable[str],
    *,
    newline: str = "\n",
    bom: bool = False,
) -> None:
    with path.open("w", newline="", encoding="utf-8-sig" if bom else "utf-8") as file:
        writer = csv.DictWriter(file, list(columns), extrasaction="ignore", lineterminator=newline)
        writer.writeheader()
        writer.writerows(rows)


def random_pixels(seed: int, size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


@pytest.fixture
def save_image() -> Callable[..., Path]:
    """Write an image of random pixels that the seed decides."""

    def save(path: Path, seed: int = 0, size: int = 8) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random_pixels(seed, size)).save(path)
        return path

    return save


@pytest.fixture
def write_pad(tmp_path: Path) -> Callable[..., Path]:
    """Write ``metadata.csv``; rows are changes to one plain row, ``lacking`` leaves columns out."""

    def write(
        *rows: Mapping[str, str],
        lacking: Sequence[str] = (),
        newline: str = "\n",
        bom: bool = False,
    ) -> Path:
        full = [{**PAD_ROW, "img_id": f"PAT_1_11_{n}.png", **row} for n, row in enumerate(rows)]
        columns = [k for k in dict.fromkeys(k for row in full for k in row) if k not in lacking]
        root = tmp_path / "pad"
        root.mkdir(exist_ok=True)
        write_csv(root / "metadata.csv", full, columns or PAD_ROW, newline=newline, bom=bom)
        return root

    return write


@pytest.fixture
def write_isic(tmp_path: Path) -> Callable[..., Path]:
    """Write both ISIC 2019 tables; a row's ``diagnosis`` goes to the ground truth as one-hot."""

    def write(
        *rows: Mapping[str, str],
        truth: Sequence[Mapping[str, str]] | None = None,
        lacking: Sequence[str] = (),
        newline: str = "\n",
        bom: bool = False,
        prefix: str = "ISIC_2019_Training",
    ) -> Path:
        full = [
            {**ISIC_ROW, "image": f"ISIC_{n:07d}", "diagnosis": "NV", **r}
            for n, r in enumerate(rows)
        ]
        if truth is None:
            truth = [
                {"image": row["image"]}
                | {name: "1.0" if name == row["diagnosis"] else "0.0" for name in ISIC_CLASSES}
                for row in full
            ]
        columns = dict.fromkeys(k for row in [ISIC_ROW, *full] for k in row)
        columns = [name for name in columns if name not in ("diagnosis", *lacking)]
        root = tmp_path / "isic"
        root.mkdir(exist_ok=True)
        write_csv(root / f"{prefix}_Metadata.csv", full, columns, newline=newline, bom=bom)
        if prefix == "ISIC_2019_Training":
            columns = [name for name in ("image", *ISIC_CLASSES) if name not in lacking]
            path = root / "ISIC_2019_Training_GroundTruth.csv"
            write_csv(path, truth, columns, newline=newline, bom=bom)
        return root

    return write


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def pad_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic dataset that tests must not change."""
    folder = tmp_path_factory.mktemp("demo") / "pad"
    write_demo(folder, dataset="pad_ufes_20", image_size=32)
    return folder


@pytest.fixture(scope="session")
def isic_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic dataset that tests must not change."""
    folder = tmp_path_factory.mktemp("demo") / "isic"
    write_demo(folder, dataset="isic_2019", image_size=32)
    return folder


@pytest.fixture
def pad_copy(pad_demo: Path, tmp_path: Path) -> Path:
    """A synthetic dataset that a test may change."""
    return Path(shutil.copytree(pad_demo, tmp_path / "pad_copy"))


@pytest.fixture
def make_module(pad_demo: Path, demo_cache: Path) -> Callable[..., LesionDataModule]:
    """A data module of the synthetic PAD data, unless told otherwise."""

    def make(**changes: object) -> LesionDataModule:
        settings: dict[str, object] = {"dataset": "pad_ufes_20", "root": str(pad_demo)}
        settings |= {"image_size": 32, "batch_size": 16, "cache_dir": str(demo_cache)}
        return LesionDataModule(**{**settings, "num_workers": 0, **changes})  # type: ignore[arg-type]

    return make
