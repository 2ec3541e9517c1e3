"""Tiny files in the layouts of published datasets, with the columns that are published."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from vitatt.data.datasets import DATASETS
from vitatt.data.synthetic.demo import write_demo

CASES = 60
_SITES = ("head/neck", "lower extremity", "torso", "upper extremity")


def write_published(name: str, folder: Path) -> None:
    """Write some tens of cases of a dataset, in a folder that is not there."""
    if name in ("pad_ufes_20", "isic_2019"):
        write_demo(folder, dataset=name, num_cases=96, image_size=32)  # type: ignore[arg-type]
        return
    folder.mkdir(parents=True)
    _WRITERS[name](folder, np.random.default_rng(0))


def jpeg(rng: np.random.Generator, brightness: float = 0.5, size: int = 24) -> bytes:
    """The bytes of a JPEG image that is like no other."""
    pixels = rng.integers(0, 120, (size, size, 3)) + round(120 * brightness)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def _labels(rng: np.random.Generator, names: Sequence[str], count: int = CASES) -> NDArray[Any]:
    """Each name equally often, at random places."""
    return rng.permutation(np.resize(list(names), count))


def _people(rng: np.random.Generator, count: int = CASES) -> dict[str, NDArray[Any]]:
    age = rng.choice(["", *(str(5.0 * n) for n in range(4, 17))], count)
    return {"age_approx": age, "sex": rng.choice(["male", "female", ""], count)}


def _names(rng: np.random.Generator, count: int = CASES) -> list[str]:
    return [f"ISIC_{n:07d}" for n in np.sort(rng.choice(10_000, count, replace=False))]


def _write_images(
    folder: Path, names: Sequence[str], rng: np.random.Generator, bright: Sequence[float]
) -> None:
    for name, brightness in zip(names, bright, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(rng, brightness))


def _brightness(labels: Sequence[Any]) -> list[float]:
    known = sorted({str(label) for label in labels})
    return [known.index(str(label)) / (len(known) - 1) for label in labels]


def _write_csv(path: Path, columns: Mapping[str, Any], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame({name: list(values) for name, values in columns.items()})
    frame.with_columns(pl.col(pl.String).replace("", None)).write_csv(path, **options)


def _ham10000(folder: Path, rng: np.random.Generator) -> None:
    dx = _labels(rng, DATASETS["ham10000"].spec.classes)
    names = _names(rng)
    columns = {
        "lesion_id": [f"HAM_{n:07d}" for n in range(CASES)],
        "image_id": names,
        "dx": dx,
        "dx_type": rng.choice(["histo", "follow_up", "consensus"], CASES),
        "age": rng.choice(["45.0", "70.0", ""], CASES),
        "sex": rng.choice(["male", "female", "unknown"], CASES),
        "localization": rng.choice(["back", "face", "unknown"], CASES),
        "dataset": ["vidir_modern"] * CASES,
    }
    _write_csv(folder / "HAM10000_metadata.csv", columns)
    parts = [f"HAM10000_images_part_{1 + n % 2}/{name}.jpg" for n, name in enumerate(names)]
    _write_images(folder, parts, rng, _brightness(dx))


def _isic_2020(folder: Path, rng: np.random.Generator) -> None:
    target = _labels(rng, ("0", "1"))
    names = _names(rng)
    columns = {
        "image_name": names,
        "patient_id": [f"IP_{n // 2:07d}" for n in range(CASES)],
        "lesion_id": [f"IL_{n:07d}" for n in range(CASES)],
        **_people(rng),
        "anatom_site_general_challenge": rng.choice([*_SITES, ""], CASES),
        "diagnosis": ["melanoma" if one == "1" else "nevus" for one in target],
        "benign_malignant": ["malignant" if one == "1" else "benign" for one in target],
        "target": target,
    }
    _write_csv(folder / "ISIC_2020_Training_GroundTruth_v2.csv", columns)
    _write_images(folder, [f"train/{name}.jpg" for name in names], rng, _brightness(target))


def _isic_2024(folder: Path, rng: np.random.Generator) -> None:
    """As in the competition: HDF5 files of encoded images."""
    target = _labels(rng, ("0", "0", "0", "1"))
    names = _names(rng)
    numbers = [
        feature.name
        for feature in DATASETS["isic_2024"].spec.features
        if feature.name.startswith("tbp_lv_") and feature.kind == "numeric"
    ]
    known = {
        "isic_id": names,
        "patient_id": [f"IP_{n // 3:07d}" for n in range(CASES)],
        **_people(rng),
        "anatom_site_general": rng.choice(["posterior torso", "head/neck", ""], CASES),
        "clin_size_long_diam_mm": rng.uniform(1, 9, CASES).round(2),
        "image_type": ["TBP tile: close-up"] * CASES,
        "tbp_tile_type": ["3D: white"] * CASES,
        "tbp_lv_location": ["Left Leg - Upper", "Torso Back Top Third"] * (CASES // 2),
        "tbp_lv_location_simple": ["Left Leg", "Torso Back"] * (CASES // 2),
        **{name: rng.normal(size=CASES).round(4) for name in numbers},
        "attribution": ["A hospital"] * CASES,
        "copyright_license": ["CC-BY"] * CASES,
    }
    later = {
        "target": target,
        "lesion_id": ["IL_1" if one == "1" else "" for one in target],
        "iddx_full": ["Malignant" if one == "1" else "Benign" for one in target],
        "mel_thick_mm": ["0.4" if one == "1" else "" for one in target],
        "tbp_lv_dnn_lesion_confidence": rng.uniform(90, 100, CASES).round(3),
    }
    _write_csv(folder / "train-metadata.csv", {**known, **later})
    _write_csv(folder / "test-metadata.csv", {name: values[:3] for name, values in known.items()})
    for part, ids in (("train", names), ("test", names[:3])):
        with h5py.File(folder / f"{part}-image.hdf5", "w") as file:
            for name, brightness in zip(ids, _brightness(target), strict=False):
                file[name] = np.void(jpeg(np.random.default_rng(int(name[5:])), brightness))


def _isic_2024_jpeg(folder: Path, rng: np.random.Generator) -> None:
    """As in the archive of the challenge: a zip archive of JPEG files, and a table of labels."""
    _isic_2024(folder, rng)
    frame = pl.read_csv(folder / "train-metadata.csv", infer_schema=False)
    later = ["target", "lesion_id", "iddx_full", "mel_thick_mm", "tbp_lv_dnn_lesion_confidence"]
    (folder / "ISIC_2024_Training_Input").mkdir()
    frame.drop(later).write_csv(folder / "ISIC_2024_Training_Input" / "metadata.csv")
    truth = frame.select("isic_id", pl.col("target").cast(pl.Float64).alias("malignant"))
    truth.write_csv(folder / "ISIC_2024_Training_GroundTruth.csv")
    with (
        h5py.File(folder / "train-image.hdf5") as file,
        zipfile.ZipFile(folder / "ISIC_2024_Training_Input.zip", "w") as archive,
    ):
        for name in file:
            archive.writestr(f"ISIC_2024_Training_Input/{name}.jpg", file[name][()].tobytes())
    for part in ("train", "test"):
        (folder / f"{part}-metadata.csv").unlink()
        (folder / f"{part}-image.hdf5").unlink()


def _milk10k(folder: Path, rng: np.random.Generator) -> None:
    spec = DATASETS["milk10k"].spec
    lesions = [f"IL_{n:07d}" for n in range(CASES)]  # some of each class
    count = 2 * CASES
    label = rng.permutation(np.resize(spec.classes, len(lesions)))
    names = _names(rng, count)
    lesion = np.repeat(lesions, 2)
    monet = [one.column for one in spec.features if one.view == "dermoscopic"]
    of_lesion = {
        **_people(rng, CASES),
        "skin_tone_class": rng.choice(["1", "3", "5"], CASES),
        "site": rng.choice(["head_neck_face", "trunk", ""], CASES),
    }
    columns = {
        "lesion_id": lesion,
        "image_type": ["clinical: close-up", "dermoscopic"] * len(lesions),
        "isic_id": names,
        "attribution": ["A hospital"] * count,
        "copyright_license": ["CC-BY-NC"] * count,
        "image_manipulation": ["altered"] * count,
        **{name: np.repeat(np.asarray(values), 2) for name, values in of_lesion.items()},
        **{name: rng.uniform(0, 1, count).round(3) for name in monet},
    }
    _write_csv(folder / "MILK10k_Training_Metadata.csv", columns)
    truth = {name: (label == name).astype(float) for name in spec.classes}
    order = rng.permutation(len(lesions))
    shuffled = {name: np.asarray(values)[order] for name, values in truth.items()}
    _write_csv(
        folder / "MILK10k_Training_GroundTruth.csv",
        {"lesion_id": np.asarray(lesions)[order], **shuffled},
    )
    paths = [
        f"MILK10k_Training_Input/{owner}/{name}.jpg"
        for owner, name in zip(lesion, names, strict=True)
    ]
    _write_images(folder, paths, rng, _brightness(np.repeat(label, 2)))


def _derm7pt(folder: Path, rng: np.random.Generator) -> None:
    published = (
        *("basal cell carcinoma", "clark nevus", "melanoma (in situ)", "melanoma metastasis"),
        *("reed or spitz nevus", "seborrheic keratosis", "vascular lesion", "dermatofibroma"),
    )
    diagnosis = _labels(rng, published)
    derm = [f"NEL/NEL{n:03d}.JPG" if n % 2 else f"fcl/Fcl{n:03d}.jpg" for n in range(CASES)]
    clinic = [name.replace("NEL0", "Nel0").replace("Fcl0", "Fal0") for name in derm]
    columns = {
        "case_num": range(1, CASES + 1),
        "diagnosis": diagnosis,
        "seven_point_score": rng.integers(0, 7, CASES),
        "pigment_network": ["absent"] * CASES,
        "level_of_diagnostic_difficulty": ["medium"] * CASES,
        "elevation": rng.choice(["flat", "palpable", "nodular"], CASES),
        "location": rng.choice(["back", "head neck", "lower limbs"], CASES),
        "sex": rng.choice(["female", "male"], CASES),
        "clinical_history": [""] * CASES,
        "management": rng.choice(["excision", "no further examination"], CASES),
        "clinic": clinic,
        "derm": derm,
        "case_id": [""] * CASES,
        "notes": [""] * CASES,
    }
    _write_csv(folder / "meta" / "meta.csv", columns)
    for part, step in (("train", 0), ("valid", 1), ("test", 2)):
        _write_csv(folder / "meta" / f"{part}_indexes.csv", {"indexes": [*range(step, CASES, 3)]})
    bright = _brightness(diagnosis)
    for names in (derm, clinic):
        _write_images(folder / "images", names, rng, bright)


def _isic_archive(folder: Path, rng: np.random.Generator) -> None:
    first = _labels(rng, ("Benign", "Malignant", "Benign", "Indeterminate"))
    names = _names(rng)
    columns = {
        "isic_id": names,
        "attribution": ["A hospital"] * CASES,
        "copyright_license": ["CC-BY"] * CASES,
        **_people(rng),
        "anatom_site_1": rng.choice(["Head and neck", "Trunk"], CASES),
        "concomitant_biopsy": ["True"] * CASES,
        "diagnosis_1": first,
        "diagnosis_3": ["Nevus" if one == "Benign" else "Melanoma, NOS" for one in first],
        "diagnosis_confirm_type": ["histopathology"] * CASES,
        "fitzpatrick_skin_type": rng.choice(["I", "II", "IV", ""], CASES),
        "image_type": ["dermoscopic"] * CASES,
        "lesion_id": [f"IL_{n:07d}" for n in range(CASES)],
        "melanocytic": ["True"] * CASES,
        "patient_id": [f"IP_{n // 2:07d}" for n in range(CASES)],
    }
    _write_csv(folder / "metadata.csv", columns)
    (folder / "attribution.txt").write_text("A hospital\n")
    (folder / "licenses").mkdir()
    (folder / "licenses" / "CC-BY.txt").write_text("CC BY 4.0\n")
    _write_images(folder, [f"{name}.jpg" for name in names], rng, _brightness(first))


_WRITERS: dict[str, Callable[[Path, np.random.Generator], None]] = {
    "ham10000": _ham10000,
    "isic_2020": _isic_2020,
    "isic_2024": _isic_2024,
    "isic_2024_jpeg": _isic_2024_jpeg,
    "milk10k": _milk10k,
    "derm7pt": _derm7pt,
    "isic_archive": _isic_archive,
}
PUBLISHED = ("pad_ufes_20", "isic_2019", *_WRITERS)
"""Layouts; of ISIC 2024 there are two."""
