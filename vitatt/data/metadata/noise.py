"""Noise on metadata: jittered numbers, flipped categories, records swapped between patients.

The random draws depend on the seed alone, not on the strength. A stronger noise therefore changes
the same values as a weaker one, further or with others added.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.types import DataError, FeatureEncoding

NOISE: dict[str, tuple[float, ...]] = {
    "jitter": (0.25, 0.5, 1.0, 1.5, 2.0),
    "flip": (0.1, 0.2, 0.3, 0.4, 0.5),
    "swap": (0.1, 0.2, 0.4, 0.7, 1.0),
}
"""Five strengths of each: noise in standard deviations, probability of a flip, and of a swap."""


def jitter(
    cases: pl.DataFrame,
    features: Sequence[FeatureEncoding],
    deviations: Mapping[str, float],
    *,
    share: float,
    seed: int,
) -> pl.DataFrame:
    """Return the cases with normal noise on every observed number.

    Args:
        cases: Rows with a column for each feature.
        features: Features to change; categorical ones are left as they are.
        deviations: Standard deviation of each numeric feature in the training rows, in its unit.
        share: Standard deviation of the noise, relative to that of the feature.
        seed: Seed of the random draws.
    """
    changed = []
    for feature in features:
        if feature.kind == "numeric":
            draws = _generator(seed, feature.name).standard_normal(cases.height)
            changed.append(cases[feature.name] + share * deviations[feature.name] * draws)
    return cases.with_columns(changed)


def flip(
    cases: pl.DataFrame, features: Sequence[FeatureEncoding], *, probability: float, seed: int
) -> pl.DataFrame:
    """Return the cases with some observed categories replaced, by any other one equally likely.

    Args:
        cases: Rows with a column for each feature.
        features: Features to change. Numeric features, features of a single category, and values
            that are not in the training rows, which count as missing, are left as they are.
        probability: Probability of each value to be replaced.
        seed: Seed of the random draws.
    """
    changed = []
    for feature in features:
        count = feature.cardinality
        if feature.kind == "numeric" or count < 2:
            continue
        rng = _generator(seed, feature.name)
        chosen, steps = rng.random(cases.height), rng.integers(1, count, cases.height)
        codes = {name: code for code, name in enumerate(feature.categories)}
        column = cases[feature.name]
        known = column.replace_strict(codes, default=-1, return_dtype=pl.Int64)
        code = known.fill_null(-1).to_numpy()
        other = pl.Series(feature.name, [feature.categories[n] for n in (code + steps) % count])
        flipped = pl.Series((chosen < probability) & (code >= 0))
        changed.append(other.zip_with(flipped, column))
    return cases.with_columns(changed)


def swap(
    cases: pl.DataFrame, features: Sequence[FeatureEncoding], *, probability: float, seed: int
) -> pl.DataFrame:
    """Return the cases with some records replaced by that of a case of another group.

    A record is replaced as a whole, missing values included.

    Args:
        cases: Rows with ``group`` and a column for each feature.
        features: Features of the record.
        probability: Probability of each case to get another record.
        seed: Seed of the random draws.

    Raises:
        DataError: If there is only one group.
    """
    rng = _generator(seed, "record")
    chosen = rng.random(cases.height) < probability
    names = [feature.name for feature in features]
    donors = cases[_case_of_another_group(cases["group"].to_numpy(), rng)].select(names)
    return cases.with_columns(
        donors[name].zip_with(pl.Series(chosen), cases[name]) for name in names
    )


def add_noise(
    cases: pl.DataFrame,
    features: Sequence[FeatureEncoding],
    deviations: Mapping[str, float],
    noise: str,
    strength: int,
    *,
    seed: int,
) -> pl.DataFrame:
    """Return the cases with one noise of `NOISE`, or ``all`` in turn, at a strength of 1 to 5."""
    level = {name: levels[strength - 1] for name, levels in NOISE.items()}
    if noise in ("swap", "all"):
        cases = swap(cases, features, probability=level["swap"], seed=seed)
    if noise in ("flip", "all"):
        cases = flip(cases, features, probability=level["flip"], seed=seed)
    if noise in ("jitter", "all"):
        cases = jitter(cases, features, deviations, share=level["jitter"], seed=seed)
    return cases


def _case_of_another_group(
    groups: NDArray[np.object_], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return for each row a row of another group, all of them equally likely, (N,)."""
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise DataError("Expected cases of at least 2 groups to swap records among, but got 1.")
    order = np.argsort(member, kind="stable")
    start, size = (np.cumsum(sizes) - sizes)[member], sizes[member]
    place = rng.integers(0, len(groups) - size)
    donors: NDArray[np.int64] = order[np.where(place < start, place, place + size)]
    return donors


def _generator(seed: int, name: str) -> np.random.Generator:
    """Return the generator of a feature, whose draws do not depend on the other features."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
