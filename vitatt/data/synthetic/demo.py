"""A small synthetic dataset in a published layout, with evidence planted at known places.

A visible sign in the image decides which half of the classes a case belongs to, and two metadata
features together decide which class of that half it is, so that a model needs all three. Nothing
else depends on the class: neither skin, lesion, other features, nor which values are missing (only
PAD's barred ``biopsed`` does, as in the real data). Because the evidence is known, explanations can
be tested for pointing at it.

Every image also has a decoy, a mark as conspicuous as the signs but unrelated to the class, so that
a map of whatever is conspicuous fails the tests. Some lesions show no sign. Otherwise a model could
recognise one of the two signs by the absence of the other, and a map that points nowhere would be
right. Neither planted feature is redundant, because a model's output has no gradient with respect
to evidence that it does not need, and an explanation by gradients could not find it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from vitatt.data.synthetic import images as synthetic_images
from vitatt.data.synthetic.tables import (
    NOISE,
    UNSEEN,
    Lesions,
    PlannedImage,
    chosen,
    group_sizes,
    write_derm7pt,
    write_isic,
    write_pad,
)
from vitatt.files import check_folder
from vitatt.ranges import Range, check_ranges
from vitatt.types import DataError, UsageError

DemoDataset = Literal["pad_ufes_20", "isic_2019", "derm7pt"]

_VERSION = 3
_CASES_PER_CLASS = 8
_MASKS = {"masks": "segmentation", "decoys": "decoy"}  # folder: suffix of its files' stems


@dataclasses.dataclass(frozen=True)
class DemoTruth:
    """The evidence that is planted in a synthetic dataset.

    Attributes:
        dataset: Dataset whose published layout is used.
        num_cases: Number of cases, each of one image or, in Derm7pt, of two.
        image_size: Side of the square images, in pixels.
        seed: Seed of all random draws.
        planted: Metadata features that distinguish the classes of one sign.
        signs: Visible sign of each class; several classes share one.
        masks: Folder of ``<image name without suffix>_segmentation.png``, 255 where the sign is;
            empty for a lesion that shows none.
        decoys: Folder of ``<image name without suffix>_decoy.png``, 255 where the decoy is.
    """

    dataset: str
    num_cases: int
    image_size: int
    seed: int
    planted: tuple[str, ...]
    signs: Mapping[str, str]
    masks: Path
    decoys: Path

    @classmethod
    def load(cls, folder: Path) -> DemoTruth:
        """Return the truth that `write_demo` stored in a folder.

        Raises:
            DataError: If the folder holds no synthetic dataset, or one by another version.
        """
        path = folder / "truth.json"
        if not path.is_file():
            raise DataError(f"{folder} holds no synthetic dataset: it has no truth.json.")
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # ValueError: neither UTF-8 nor JSON
            raise _foreign_truth(path, error) from error
        if not isinstance(plain, dict) or plain.pop("version", None) != _VERSION:
            raise _foreign_truth(path, "its version differs")
        try:
            places = {name: folder / plain[name] for name in _MASKS}
            return cls(**{**plain, "planted": tuple(plain["planted"]), **places})
        except (KeyError, TypeError) as error:  # missing or unknown keys, values of other types
            raise _foreign_truth(path, error) from error


def write_demo(
    folder: Path,
    *,
    dataset: DemoDataset = "pad_ufes_20",
    num_cases: int = 240,
    image_size: int = 96,
    seed: int = 0,
) -> DemoTruth:
    """Write a synthetic dataset, unless the folder holds it already.

    The folder appears only once everything is written, so that an interrupted call leaves no
    incomplete dataset. Equal arguments give equal bytes.

    Args:
        folder: Folder to write to; absent, empty, or holding this very dataset.
        dataset: Dataset whose published layout to use.
        num_cases: Number of cases, at least 8 per class.
        image_size: Side of the square images, in pixels, at least 32.
        seed: Seed of all random draws, at least 0.

    Raises:
        DataError: If an argument is out of range, or the folder holds anything else.
    """
    if dataset not in _PLANS:
        raise DataError(
            f"Expected `dataset` to be one of {', '.join(_PLANS)}, but got {dataset!r}."
        )
    plan = _PLANS[dataset]
    _check_numbers(plan, num_cases=num_cases, image_size=image_size, seed=seed)
    signs = {name: sign for sign, names in plan.signs.items() for name in names}
    places = [folder / name for name in _MASKS]
    truth = DemoTruth(dataset, num_cases, image_size, seed, plan.planted, signs, *places)
    if _holds(folder, truth):
        return truth
    target = folder.resolve()
    try:
        check_folder(target.parent, "the synthetic dataset")
    except UsageError as error:
        raise DataError(str(error)) from error
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        # A subfolder, because the temporary folder itself is readable by its owner only.
        written = Path(temporary) / target.name
        written.mkdir()
        _write(written, truth)
        try:
            if target.is_dir():
                target.rmdir()
            written.rename(target)
        except OSError:
            # Another process may have written the folder meanwhile, with the same bytes.
            if not _holds(folder, truth):
                raise
    return truth


def _check_numbers(plan: _Plan, **values: int) -> None:
    ranges = {
        "num_cases": Range(least=_CASES_PER_CLASS * len(plan.shares)),
        "image_size": Range(least=32),
        "seed": Range(least=0),
    }
    try:
        check_ranges(ranges, values)
    except UsageError as error:
        raise DataError(str(error)) from error


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How the classes of a dataset are distributed and planted.

    Attributes:
        shares: Share of each class.
        signs: Classes of each sign.
        planted: The two planted features.
        answers: Values of the planted features for the first class of each sign, the second, and
            so on. True is a yes in PAD-UFES-20, an old age in ISIC 2019, a raised lesion in
            Derm7pt, or an exposed site in both.
        write: Writes the tables, and returns the images to draw.
        one_image: Whether each lesion is one case.
    """

    shares: Mapping[str, float]
    signs: Mapping[str, tuple[str, ...]]
    planted: tuple[str, str]
    answers: tuple[tuple[bool, bool], ...]
    write: Callable[[Path, np.random.Generator, Lesions], list[PlannedImage]]
    one_image: bool = False


_PLANS = {
    "pad_ufes_20": _Plan(
        {"ACK": 0.22, "BCC": 0.26, "MEL": 0.09, "NEV": 0.16, "SCC": 0.11, "SEK": 0.16},
        {"blue_ring": ("BCC", "ACK", "SEK"), "dark_dots": ("SCC", "MEL", "NEV")},
        ("bleed", "grew"),
        ((True, False), (False, True), (True, True)),
        write_pad,
    ),
    "isic_2019": _Plan(
        {"MEL": 0.17, "NV": 0.21, "BCC": 0.14, "BKL": 0.12}
        | {"AK": 0.09, "DF": 0.09, "VASC": 0.09, "SCC": 0.09},
        {"dark_dots": ("AK", "MEL", "DF", "NV"), "blue_ring": ("SCC", "BKL", "BCC", "VASC")},
        ("age_approx", "anatom_site_general"),
        ((True, True), (True, False), (False, True), (False, False)),
        write_isic,
    ),
    "derm7pt": _Plan(
        {"BCC": 0.2, "MEL": 0.2, "MISC": 0.2, "NEV": 0.2, "SK": 0.2},
        {"blue_ring": ("BCC", "MISC", "SK"), "dark_dots": ("MEL", "NEV")},
        ("elevation", "location"),
        ((True, False), (False, True), (True, True)),
        write_derm7pt,
        one_image=True,
    ),
}


def _holds(folder: Path, truth: DemoTruth) -> bool:
    """Whether a folder holds this very dataset; False if it is absent or empty.

    Raises:
        DataError: If the folder holds anything else, is a file, or cannot be read.
    """
    if os.path.lexists(folder) and not os.path.isdir(folder):  # noqa: PTH112 (never fails)
        raise DataError(f"{folder} is a file. Choose another folder.")
    try:
        if not os.path.lexists(folder) or not any(folder.iterdir()):
            return False
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from error
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


def _foreign_truth(path: Path, reason: object) -> DataError:
    return DataError(
        f"{path} was not written by this version of vitatt ({reason}). "
        "Delete the folder or choose another one."
    )


def _write(folder: Path, truth: DemoTruth) -> None:
    rng = np.random.default_rng((truth.seed, 0))
    lesions = _draw_lesions(rng, truth)
    images = _PLANS[truth.dataset].write(folder, rng, lesions)
    for name in _MASKS:
        (folder / name).mkdir()
    for number, (name, sign, tone) in enumerate(images):
        # One generator per image, so that the draws of one image do not change the others.
        own = np.random.default_rng((truth.seed, 1 + number))
        image, *masks = synthetic_images.draw(own, truth.image_size, sign, tone)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # JPEG without chroma subsampling, so that hardly any of the sign's colour leaves its mask.
        Image.fromarray(image).save(path, quality=95, subsampling=0)
        for (place, ending), mask in zip(_MASKS.items(), masks, strict=True):
            Image.fromarray(mask).save(folder / place / f"{path.stem}_{ending}.png")
    plain = {"version": _VERSION, **dataclasses.asdict(truth), **{name: name for name in _MASKS}}
    (folder / "truth.json").write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def _draw_lesions(rng: np.random.Generator, truth: DemoTruth) -> Lesions:
    plan = _PLANS[truth.dataset]
    diagnosis: list[str] = []
    images: list[int] = []
    for name, count in _counts(plan.shares, truth.num_cases).items():
        sizes = [1] * count if plan.one_image else group_sizes(rng, count)
        diagnosis += [name] * len(sizes)
        images += sizes
    order = rng.permutation(len(images))
    names = np.array(diagnosis)[order]
    answers = {
        name: answer
        for names_of_sign in plan.signs.values()
        for name, answer in zip(names_of_sign, plan.answers, strict=False)
    }
    kinds = list(plan.signs)
    sign = np.array([kinds.index(truth.signs[name]) for name in names])
    wrong = chosen(rng, len(sign), NOISE)
    sign[wrong] += rng.integers(1, len(kinds), wrong.sum())
    shown = np.array(kinds, dtype=object)[sign % len(kinds)]
    shown[chosen(rng, len(sign), UNSEEN)] = None
    return Lesions(
        names, np.array(images)[order], np.array([answers[name] for name in names]), shown
    )


def _counts(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Return the number of cases of each class.

    Each has `_CASES_PER_CLASS`; the others go by share, rounded by the largest remainder.
    """
    rest = total - _CASES_PER_CLASS * len(shares)
    wanted = {name: share * rest for name, share in shares.items()}
    counts = {name: int(value) for name, value in wanted.items()}
    by_remainder = sorted(wanted, key=lambda name: counts[name] - wanted[name])
    for name in by_remainder[: rest - sum(counts.values())]:
        counts[name] += 1
    return {name: _CASES_PER_CLASS + count for name, count in counts.items()}
