"""Tables of a synthetic dataset in the published formats, with planted features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.data.datasets import DATASETS

NOISE = 0.04
"""Share of lesions whose sign belongs to another class; also for each planted feature."""

UNSEEN = 0.3
"""Share of lesions that show no sign."""

NOT_RECORDED = 0.05
"""Share of missing values in a planted feature."""

_PAD_FEATURES = [feature.name for feature in DATASETS["pad_ufes_20"].spec.features]
_PAD_COLUMNS = ["patient_id", "lesion_id", *_PAD_FEATURES[:15], "diagnostic", *_PAD_FEATURES[15:]]
_PAD_COLUMNS += ["img_id", "biopsed"]
_PAD_ANAMNESIS = [name for name in _PAD_FEATURES[:15] if name not in ("age", "region")]
_ORIGINS = {"POMERANIA": 0.4, "GERMANY": 0.2, "BRAZIL": 0.12, "BRASIL": 0.04, "ITALY": 0.12}
_ORIGINS |= {"PORTUGAL": 0.03, "NETHERLANDS": 0.03, "POLAND": 0.02, "UNK": 0.04}
_REGIONS = {"FACE": 0.25, "FOREARM": 0.18, "CHEST": 0.12, "BACK": 0.11, "ARM": 0.08, "NOSE": 0.07}
_REGIONS |= {"HAND": 0.06, "NECK": 0.04, "THIGH": 0.03, "EAR": 0.03, "ABDOMEN": 0.02, "LIP": 0.01}
_SITES = (  # if the planted feature is true, and if it is false
    {"head/neck": 0.45, "upper extremity": 0.25, "lower extremity": 0.25, "palms/soles": 0.05},
    {"anterior torso": 0.5, "posterior torso": 0.35, "lateral torso": 0.1, "oral/genital": 0.05},
)

_DERM7PT_NAMES = {
    **{"BCC": "basal cell carcinoma", "MEL": "melanoma (in situ)", "MISC": "dermatofibroma"},
    **{"NEV": "clark nevus", "SK": "seborrheic keratosis"},
}

PlannedImage = tuple[str, str | None, float]
"""Path of an image below the folder, its sign or None, and its skin tone."""


@dataclasses.dataclass(frozen=True)
class Lesions:
    """Lesions in random order.

    Attributes:
        diagnosis: Class of each lesion, (N,).
        images: Number of images of each lesion, (N,).
        answers: Values of the two planted features before noise, (N, 2).
        sign: Name of the sign of each lesion, None if it shows none, (N,).
    """

    diagnosis: NDArray[Any]
    images: NDArray[np.int64]
    answers: NDArray[np.bool_]
    sign: NDArray[Any]


def write_pad(folder: Path, rng: np.random.Generator, lesions: Lesions) -> list[PlannedImage]:
    """Write ``metadata.csv`` as in PAD-UFES-20; return the image to draw for each row."""
    total = len(lesions.images)
    owned = group_sizes(rng, total)
    people = len(owned)
    patient = np.repeat(np.arange(people), owned)
    tone = rng.beta(1.5, 2.5, people)

    habits = {"smoke": 0.1, "drink": 0.25, "pesticide": 0.4, "skin_cancer_history": 0.45}
    habits |= {"cancer_history": 0.4, "has_piped_water": 0.75, "has_sewage_system": 0.6}
    of_patient = {name: _pick(rng, _yes(share), people) for name, share in habits.items()}
    of_patient["background_father"] = _pick(rng, _ORIGINS, people)
    of_patient["background_mother"] = _pick(rng, _ORIGINS, people)
    of_patient["gender"] = _pick(rng, {"FEMALE": 0.5, "MALE": 0.5}, people)
    of_patient["fitspatrick"] = np.floor(1 + 6 * tone).astype(str)
    of_patient["age"] = np.clip(rng.normal(60, 16, people), 6, 94).astype(int).astype(str)
    of_patient["patient_id"] = np.char.add(
        "PAT_", (1 + rng.permutation(2 * people)[:people]).astype(str)
    )

    columns = {name: values[patient] for name, values in of_patient.items()}
    width = np.rint(np.clip(rng.lognormal(2.3, 0.5, total), 2, 60))
    columns["diameter_1"] = width.astype(str)
    columns["diameter_2"] = np.rint(np.maximum(width * rng.uniform(0.6, 1, total), 1)).astype(str)
    columns["region"] = _pick(rng, _REGIONS, total)
    columns["diagnostic"] = lesions.diagnosis
    symptoms = {"itch": 0.6, "hurt": 0.2, "changed": 0.15, "elevation": 0.6}
    columns |= {name: _pick(rng, _yes(share), total) for name, share in symptoms.items()}
    for name, answer in zip(("bleed", "grew"), lesions.answers.T, strict=True):
        columns[name] = (answer ^ chosen(rng, total, NOISE)).astype(str)
    for name in ("itch", "grew", "hurt", "changed", "bleed"):
        columns[name] = np.where(chosen(rng, total, NOT_RECORDED), "UNK", columns[name])
    cancer = np.isin(lesions.diagnosis, ("BCC", "MEL", "SCC"))
    columns["biopsed"] = (cancer | chosen(rng, total, 0.15)).astype(str)
    # Counted from a random number per patient, since published ids repeat across patients.
    place = np.arange(total) - (np.cumsum(owned) - owned)[patient]
    columns["lesion_id"] = (rng.integers(1, 4 * total, people)[patient] + place).astype(str)

    unasked = chosen(rng, people, 0.25)[patient]
    frame = pl.DataFrame(
        {
            name: np.where(unasked, "", values) if name in _PAD_ANAMNESIS else values
            for name, values in columns.items()
        }
    )
    lesion = rng.permutation(np.repeat(np.arange(total), lesions.images))
    number = pl.Series(rng.permutation(len(lesion)) + 1).cast(pl.String)
    image = pl.concat_str("patient_id", "lesion_id", number, separator="_") + ".png"
    frame = frame[lesion].with_columns(image.alias("img_id")).select(_PAD_COLUMNS)
    _write_csv(frame, folder / "metadata.csv")
    paths = [f"images/{name}" for name in frame["img_id"]]
    return list(zip(paths, lesions.sign[lesion], tone[patient][lesion], strict=True))


def write_isic(folder: Path, rng: np.random.Generator, lesions: Lesions) -> list[PlannedImage]:
    """Write both tables as in ISIC 2019; return the image to draw for each row."""
    total = len(lesions.images)
    older = lesions.answers[:, 0] ^ chosen(rng, total, NOISE)
    age = np.where(
        older, rng.normal(70, 7, total).clip(60, 85), rng.normal(40, 8, total).clip(15, 55)
    )
    sun = lesions.answers[:, 1] ^ chosen(rng, total, NOISE)
    site = np.where(sun, _pick(rng, _SITES[0], total), _pick(rng, _SITES[1], total))
    sex = _pick(rng, {"male": 0.53, "female": 0.47}, total)
    source = _pick(rng, {"BCN_": 0.5, "HAM_": 0.4, "MSK4_": 0.1}, total)
    number = np.char.zfill(rng.permutation(total).astype(str), 7)
    unnamed = (lesions.images == 1) & chosen(rng, total, 0.1)
    columns = {
        "age_approx": np.where(
            chosen(rng, total, NOT_RECORDED), "", (5 * np.rint(age / 5)).astype(str)
        ),
        "anatom_site_general": np.where(chosen(rng, total, NOT_RECORDED), "", site),
        "lesion_id": np.where(unnamed, "", np.char.add(source, number)),
        "sex": np.where(chosen(rng, total, 0.02), "", sex),
    }
    lesion = rng.permutation(np.repeat(np.arange(total), lesions.images))
    cases = len(lesion)
    images = [f"ISIC_{n:07d}" for n in np.sort(rng.permutation(10 * cases)[:cases])]
    # Part of the image's name, in the names of the files and in the tables.
    for place in np.flatnonzero(chosen(rng, cases, 0.15)):
        images[place] += "_downsampled"
    metadata = pl.DataFrame(columns)[lesion].insert_column(0, pl.Series("image", images))
    _write_csv(metadata, folder / "ISIC_2019_Training_Metadata.csv")
    diagnosis = lesions.diagnosis[lesion]
    truth = {
        name: (diagnosis == name).astype(float)
        for name in (*DATASETS["isic_2019"].spec.classes, "UNK")
    }
    _write_csv(
        pl.DataFrame({"image": images, **truth}), folder / "ISIC_2019_Training_GroundTruth.csv"
    )
    paths = [f"ISIC_2019_Training_Input/{name}.jpg" for name in images]
    return list(zip(paths, lesions.sign[lesion], rng.beta(1.5, 2.5, total)[lesion], strict=True))


def write_derm7pt(folder: Path, rng: np.random.Generator, lesions: Lesions) -> list[PlannedImage]:
    """Write ``meta/meta.csv`` as in Derm7pt; return the two images to draw for each row.

    A sign shows in one of the two views, drawn at random.
    """
    total = len(lesions.diagnosis)
    raised = lesions.answers[:, 0] ^ chosen(rng, total, NOISE)
    sun = lesions.answers[:, 1] ^ chosen(rng, total, NOISE)
    sites = (
        {"head neck": 0.4, "upper limbs": 0.3, "lower limbs": 0.25, "acral": 0.05},
        {"back": 0.4, "abdomen": 0.25, "chest": 0.2, "buttocks": 0.1, "genital areas": 0.05},
    )
    number = np.char.zfill((1 + np.arange(total)).astype(str), 4)
    views = [np.char.add(np.char.add(f"demo/{kind}", number), ".jpg") for kind in ("c", "d")]
    names = np.array([_DERM7PT_NAMES[name] for name in lesions.diagnosis])
    columns = {
        "case_num": (1 + np.arange(total)).astype(str),
        "diagnosis": names,
        "seven_point_score": rng.integers(0, 8, total).astype(str),
        "level_of_diagnostic_difficulty": _pick(
            rng, {"low": 0.4, "medium": 0.4, "high": 0.2}, total
        ),
        "elevation": np.where(raised, _pick(rng, {"palpable": 0.7, "nodular": 0.3}, total), "flat"),
        "location": np.where(sun, _pick(rng, sites[0], total), _pick(rng, sites[1], total)),
        "sex": _pick(rng, {"female": 0.5, "male": 0.5}, total),
        "management": _pick(rng, {"excision": 0.6, "clinical follow up": 0.4}, total),
        "clinic": views[0],
        "derm": views[1],
    }
    for name in ("elevation", "location"):
        columns[name] = np.where(chosen(rng, total, NOT_RECORDED), "", columns[name])
    (folder / "meta").mkdir()
    _write_csv(pl.DataFrame(columns), folder / "meta" / "meta.csv")
    tones, shows_in = rng.beta(1.5, 2.5, total), rng.integers(0, 2, total)
    return [
        (f"images/{views[view][case]}", sign if shows_in[case] == view else None, tones[case])
        for case, sign in enumerate(lesions.sign)
        for view in range(2)
    ]


def _write_csv(frame: pl.DataFrame, path: Path) -> None:
    empty = pl.col(pl.String).replace("", None)
    frame.with_columns(empty).write_csv(path)


def chosen(rng: np.random.Generator, count: int, share: float) -> NDArray[np.bool_]:
    """Return True for a random, but exact share of places, also in small datasets, (count,)."""
    return np.asarray(rng.permutation(count) < round(share * count))


def _pick(rng: np.random.Generator, shares: Mapping[str, float], count: int) -> NDArray[Any]:
    weights = np.array(list(shares.values()))
    return rng.choice(list(shares), count, p=weights / weights.sum())


def _yes(share: float) -> dict[str, float]:
    return {"True": share, "False": 1 - share}


def group_sizes(rng: np.random.Generator, total: int) -> list[int]:
    """Return random group sizes of 1 to 3 that add up to the total."""
    sizes: list[int] = []
    while total:
        sizes.append(min(total, int(rng.choice((1, 2, 3), p=(0.75, 0.18, 0.07)))))
        total -= sizes[-1]
    return sizes
