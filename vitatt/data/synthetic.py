"""A small synthetic dataset in a published layout, with evidence planted at known places.

One visible sign in the image tells which pair of classes a case belongs to, and two metadata
features tell the first class of a pair from the second, so a model needs both. Nothing else
carries the class: neither skin, lesion, any other feature, nor which values are missing (only PAD's
barred ``biopsed`` does, as in the real data). What was planted is known, hence explanations can be
tested for pointing at it.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from vitatt.data import isic_2019, pad_ufes_20, synthetic_images
from vitatt.data.schema import DataError

DemoDataset = Literal["pad_ufes_20", "isic_2019"]

_VERSION = 1
_CASES_PER_CLASS = 8
_NOISE = 0.04
"""Share of lesions whose sign, or either planted feature, belongs to another class."""


@dataclasses.dataclass(frozen=True)
class DemoTruth:
    """What was planted in a synthetic dataset.

    Attributes:
        dataset: Whose published layout it has.
        num_cases: Number of images.
        image_size: Side of the square images, in pixels.
        seed: What all else follows from.
        planted: Metadata features that tell the first class of a pair from the second.
        signs: The visible sign of each class; a sign is shared by the two classes of a pair.
        masks: Folder of ``<image name without suffix>_segmentation.png``, 255 where the sign is.
    """

    dataset: str
    num_cases: int
    image_size: int
    seed: int
    planted: tuple[str, ...]
    signs: Mapping[str, str]
    masks: Path

    @classmethod
    def load(cls, folder: Path) -> DemoTruth:
        """Read what `write_demo` planted in a folder.

        Raises:
            DataError: If the folder holds no synthetic dataset, or one by another version.
        """
        path = folder / "truth.json"
        if not path.is_file():
            raise DataError(f"{folder} holds no synthetic dataset: it has no truth.json.")
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            if plain.pop("version") != _VERSION:
                raise ValueError("its version differs")
            return cls(
                **{**plain, "planted": tuple(plain["planted"]), "masks": folder / plain["masks"]}
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path} was not written by this version of vitatt ({error}). "
                "Delete the folder or choose another one."
            ) from error


def write_demo(
    folder: Path,
    *,
    dataset: DemoDataset = "pad_ufes_20",
    num_cases: int = 240,
    image_size: int = 96,
    seed: int = 0,
) -> DemoTruth:
    """Write a synthetic dataset, unless the folder holds it already.

    The folder appears at once when all is written, so an interrupted call leaves nothing behind
    that could be taken for a dataset. Equal arguments give equal bytes.

    Args:
        folder: Where to write; absent, empty, or holding this very dataset.
        dataset: Whose published layout to follow.
        num_cases: Number of images, at least 8 per class.
        image_size: Side of the square images, in pixels, at least 32.
        seed: What all else follows from, at least 0.

    Raises:
        DataError: If an argument is out of range, or the folder holds anything else.
    """
    if dataset not in _PLANS:
        raise DataError(
            f"Expected `dataset` to be one of {', '.join(_PLANS)}, but got {dataset!r}."
        )
    plan = _PLANS[dataset]
    least = {"num_cases": _CASES_PER_CLASS * len(plan.shares), "image_size": 32, "seed": 0}
    for name, value in (("num_cases", num_cases), ("image_size", image_size), ("seed", seed)):
        if value < least[name]:
            raise DataError(f"Expected `{name}` to be at least {least[name]}, but got {value}.")
    signs = {name: sign for sign, pair in plan.signs.items() for name in pair}
    truth = DemoTruth(dataset, num_cases, image_size, seed, plan.planted, signs, folder / "masks")
    if _holds(folder, truth):
        return truth
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        # A folder of its own in there: the temporary one is readable by its owner only.
        written = Path(temporary) / target.name
        written.mkdir()
        _write(written, truth)
        try:
            if target.is_dir():
                target.rmdir()
            written.rename(target)
        except OSError:
            # Another process may have been faster; its bytes are the same.
            if not _holds(folder, truth):
                raise
    return truth


@dataclasses.dataclass(frozen=True)
class _Plan:
    """Shares of the classes, the two classes of each sign, and the features between those two."""

    shares: Mapping[str, float]
    signs: Mapping[str, tuple[str, str]]
    planted: tuple[str, ...]


_PLANS = {
    "pad_ufes_20": _Plan(
        {"ACK": 0.22, "BCC": 0.26, "MEL": 0.09, "NEV": 0.16, "SCC": 0.11, "SEK": 0.16},
        {"yellow_scale": ("SCC", "ACK"), "blue_ring": ("BCC", "SEK"), "dark_dots": ("MEL", "NEV")},
        ("grew", "bleed"),
    ),
    "isic_2019": _Plan(
        {"MEL": 0.17, "NV": 0.21, "BCC": 0.14, "BKL": 0.12}
        | {"AK": 0.09, "DF": 0.09, "VASC": 0.09, "SCC": 0.09},
        {
            "dark_dots": ("MEL", "NV"),
            "blue_ring": ("BCC", "BKL"),
            "yellow_scale": ("SCC", "AK"),
            "red_streaks": ("VASC", "DF"),
        },
        ("age_approx", "anatom_site_general"),
    ),
}

_PAD_FEATURES = [feature.name for feature in pad_ufes_20.SPEC.features]
_PAD_COLUMNS = ["patient_id", "lesion_id", *_PAD_FEATURES[:15], "diagnostic", *_PAD_FEATURES[15:]]
_PAD_COLUMNS += ["img_id", "biopsed"]
_PAD_ANAMNESIS = [name for name in _PAD_FEATURES[:15] if name not in ("age", "region")]
_ORIGINS = {"POMERANIA": 0.4, "GERMANY": 0.2, "BRAZIL": 0.12, "BRASIL": 0.04, "ITALY": 0.12}
_ORIGINS |= {"PORTUGAL": 0.03, "NETHERLANDS": 0.03, "POLAND": 0.02, "UNK": 0.04}
_REGIONS = {"FACE": 0.25, "FOREARM": 0.18, "CHEST": 0.12, "BACK": 0.11, "ARM": 0.08, "NOSE": 0.07}
_REGIONS |= {"HAND": 0.06, "NECK": 0.04, "THIGH": 0.03, "EAR": 0.03, "ABDOMEN": 0.02, "LIP": 0.01}
_SITES = (  # of the first class of a pair, and of the second
    {"head/neck": 0.45, "upper extremity": 0.25, "lower extremity": 0.25, "palms/soles": 0.05},
    {"anterior torso": 0.5, "posterior torso": 0.35, "lateral torso": 0.1, "oral/genital": 0.05},
)

_Picture = tuple[str, str, float]
"""Path below the folder, sign, and skin tone."""


@dataclasses.dataclass(frozen=True)
class _Lesions:
    """Lesions in random order: class, number of images, whether first of its pair, and sign."""

    diagnosis: NDArray[Any]
    images: NDArray[np.int64]
    first: NDArray[np.bool_]
    sign: NDArray[Any]


def _holds(folder: Path, truth: DemoTruth) -> bool:
    """Whether a folder holds this very dataset; False if it is absent or empty."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file. Choose another folder.")
    if not folder.exists() or not any(folder.iterdir()):
        return False
    if not (folder / "truth.json").is_file():
        raise DataError(
            f"{folder} is not empty and holds no synthetic dataset. Choose another folder."
        )
    if (found := DemoTruth.load(folder)) != truth:
        names = ("dataset", "num_cases", "image_size", "seed")
        differing = [name for name in names if getattr(found, name) != getattr(truth, name)]
        raise DataError(
            f"{folder} holds another synthetic dataset ("
            + ", ".join(f"{name} {getattr(found, name)}" for name in differing)
            + "). Choose another folder or delete it."
        )
    return True


def _write(folder: Path, truth: DemoTruth) -> None:
    rng = np.random.default_rng((truth.seed, 0))
    lesions = _draw_lesions(rng, truth)
    write_tables = _write_pad if truth.dataset == "pad_ufes_20" else _write_isic
    pictures = write_tables(folder, rng, lesions)
    (folder / "masks").mkdir()
    for number, (name, sign, tone) in enumerate(pictures):
        # A generator for each image: what one picture draws does not move the others.
        own = np.random.default_rng((truth.seed, 1 + number))
        pixels, mask = synthetic_images.draw(own, truth.image_size, sign, tone)
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        # Full-resolution colour for JPEG, so that hardly any of the sign leaves its mask.
        Image.fromarray(pixels).save(path, quality=95, subsampling=0)
        Image.fromarray(mask).save(folder / "masks" / f"{path.stem}_segmentation.png")
    plain = {"version": _VERSION, **dataclasses.asdict(truth), "masks": "masks"}
    (folder / "truth.json").write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def _draw_lesions(rng: np.random.Generator, truth: DemoTruth) -> _Lesions:
    plan = _PLANS[truth.dataset]
    diagnosis: list[str] = []
    images: list[int] = []
    for name, count in _counts(plan.shares, truth.num_cases).items():
        sizes = _sizes(rng, count)
        diagnosis += [name] * len(sizes)
        images += sizes
    order = rng.permutation(len(images))
    names = np.array(diagnosis)[order]
    firsts = [pair[0] for pair in plan.signs.values()]
    kinds = list(plan.signs)
    sign = np.array([kinds.index(truth.signs[name]) for name in names])
    wrong = _some(rng, len(sign), _NOISE)
    sign[wrong] += rng.integers(1, len(kinds), wrong.sum())
    return _Lesions(
        names, np.array(images)[order], np.isin(names, firsts), np.array(kinds)[sign % len(kinds)]
    )


def _write_pad(folder: Path, rng: np.random.Generator, lesions: _Lesions) -> list[_Picture]:
    total = len(lesions.images)
    owned = _sizes(rng, total)
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
    for name in ("grew", "bleed"):
        columns[name] = (lesions.first ^ _some(rng, total, _NOISE)).astype(str)
    for name in ("itch", "grew", "hurt", "changed", "bleed"):
        columns[name] = np.where(_some(rng, total, 0.03), "UNK", columns[name])
    cancer = np.isin(lesions.diagnosis, ("BCC", "MEL", "SCC"))
    columns["biopsed"] = (cancer | _some(rng, total, 0.15)).astype(str)
    # Counted from a random number per patient: as published, not unique across patients.
    place = np.arange(total) - (np.cumsum(owned) - owned)[patient]
    columns["lesion_id"] = (rng.integers(1, 4 * total, people)[patient] + place).astype(str)

    unasked = _some(rng, people, 0.25)[patient]
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


def _write_isic(folder: Path, rng: np.random.Generator, lesions: _Lesions) -> list[_Picture]:
    total = len(lesions.images)
    older = lesions.first ^ _some(rng, total, _NOISE)
    age = np.where(
        older, rng.normal(70, 7, total).clip(60, 85), rng.normal(40, 8, total).clip(15, 55)
    )
    sun = lesions.first ^ _some(rng, total, _NOISE)
    site = np.where(sun, _pick(rng, _SITES[0], total), _pick(rng, _SITES[1], total))
    sex = _pick(rng, {"male": 0.53, "female": 0.47}, total)
    source = _pick(rng, {"BCN_": 0.5, "HAM_": 0.4, "MSK4_": 0.1}, total)
    number = np.char.zfill(rng.permutation(total).astype(str), 7)
    unnamed = (lesions.images == 1) & _some(rng, total, 0.1)
    columns = {
        "age_approx": np.where(_some(rng, total, 0.02), "", (5 * np.rint(age / 5)).astype(str)),
        "anatom_site_general": np.where(_some(rng, total, 0.05), "", site),
        "lesion_id": np.where(unnamed, "", np.char.add(source, number)),
        "sex": np.where(_some(rng, total, 0.02), "", sex),
    }
    lesion = rng.permutation(np.repeat(np.arange(total), lesions.images))
    cases = len(lesion)
    images = [f"ISIC_{n:07d}" for n in np.sort(rng.permutation(10 * cases)[:cases])]
    # Part of the name, in the files as in the tables.
    for place in np.flatnonzero(_some(rng, cases, 0.15)):
        images[place] += "_downsampled"
    metadata = pl.DataFrame(columns)[lesion].insert_column(0, pl.Series("image", images))
    _write_csv(metadata, folder / "ISIC_2019_Training_Metadata.csv")
    diagnosis = lesions.diagnosis[lesion]
    truth = {name: (diagnosis == name).astype(float) for name in (*isic_2019.SPEC.classes, "UNK")}
    _write_csv(
        pl.DataFrame({"image": images, **truth}), folder / "ISIC_2019_Training_GroundTruth.csv"
    )
    paths = [f"ISIC_2019_Training_Input/{name}.jpg" for name in images]
    return list(zip(paths, lesions.sign[lesion], rng.beta(1.5, 2.5, total)[lesion], strict=True))


def _write_csv(frame: pl.DataFrame, path: Path) -> None:
    empty = pl.col(pl.String).replace("", None)
    frame.with_columns(empty).write_csv(path)


def _counts(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Cases of each class: `_CASES_PER_CLASS`, and the rest by share, largest remainder first."""
    rest = total - _CASES_PER_CLASS * len(shares)
    wanted = {name: share * rest for name, share in shares.items()}
    counts = {name: int(value) for name, value in wanted.items()}
    by_remainder = sorted(wanted, key=lambda name: counts[name] - wanted[name])
    for name in by_remainder[: rest - sum(counts.values())]:
        counts[name] += 1
    return {name: _CASES_PER_CLASS + count for name, count in counts.items()}


def _sizes(rng: np.random.Generator, total: int) -> list[int]:
    """Group sizes from 1 to 3 that add up to the total."""
    sizes: list[int] = []
    while total:
        sizes.append(min(total, int(rng.choice((1, 2, 3), p=(0.75, 0.18, 0.07)))))
        total -= sizes[-1]
    return sizes


def _some(rng: np.random.Generator, count: int, share: float) -> NDArray[np.bool_]:
    """True for exactly a share of the places, so that small datasets keep to it as well."""
    return np.asarray(rng.permutation(count) < round(share * count))


def _pick(rng: np.random.Generator, shares: Mapping[str, float], count: int) -> NDArray[Any]:
    weights = np.array(list(shares.values()))
    return rng.choice(list(shares), count, p=weights / weights.sum())


def _yes(share: float) -> dict[str, float]:
    return {"True": share, "False": 1 - share}
