"""Results of a robustness study: tables and figures."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.plotting.robustness import Axis, curves_figure
from vitatt.studies.perturbed_metadata import AT_RANDOM, LEAST, MOST
from vitatt.studies.robustness import RobustnessStudy
from vitatt.studies.robustness_scores import falls_below

IMAGE_ONLY = "image only"
"""Name of the model without metadata that others are compared with."""

TITLES: dict[str, str] = {
    "missing": "Metadata missing (importance: permutation, on the validation split)",
    "noise": "Metadata wrong",
    "image": "Images corrupted",
    "both": "Images corrupted and metadata wrong (all three noises)",
    "view": "Views absent",
}
"""Titles of the kinds of perturbations."""

AXES: dict[str, Axis] = {
    AT_RANDOM: Axis("values at random", "values hidden", percent=True),
    MOST: Axis("most important first", "features hidden"),
    LEAST: Axis("least important first", "features hidden"),
    "jitter": Axis("numbers jittered", "noise, standard deviations in training"),
    "flip": Axis("categories flipped", "probability of a flip", percent=True),
    "swap": Axis("another patient's record", "probability of a swap", percent=True),
    "blur": Axis("blur", "strength, 1 to 5"),
    "jpeg": Axis("JPEG", "strength, 1 to 5"),
    "brightness": Axis("brightness", "strength, 1 to 5"),
    "colour": Axis("colour", "strength, 1 to 5"),
    "hair": Axis("hair-like lines", "strength, 1 to 5"),
    "downscale": Axis("downscale", "strength, 1 to 5"),
}
"""Titles of the perturbations and of their levels, but those of views; see `axis_of`."""


def axis_of(perturbation: str) -> Axis:
    """Return the titles of a perturbation and its levels; any other name is that of a view."""
    absent = Axis(f"without {perturbation}", "cases without it", percent=True)
    return AXES.get(perturbation, absent)


def curves_summary(curves: pl.DataFrame) -> pl.DataFrame:
    """First and last point of each curve, and where it falls below the reference.

    Args:
        curves: As `vitatt.studies.robustness_scores.CURVES`.

    Returns:
        One row for each curve: ``model``, ``kind``, ``perturbation``, ``metric``, ``undisturbed``,
        the value at the first level, ``level``, the last one, with its ``value``, ``low`` and
        ``high``, and ``below_at`` and ``surely_below_at``, see `falls_below`.
    """
    keys = ["model", "kind", "perturbation", "metric"]
    ends = (
        curves.sort("level", maintain_order=True)
        .group_by(keys, maintain_order=True)
        .agg(
            pl.col("value").first().alias("undisturbed"),
            pl.col("level", "value", "low", "high").last(),
        )
    )
    order = curves.select(keys).unique(maintain_order=True)
    summary = order.join(ends, on=keys, how="left", maintain_order="left")
    return summary.join(falls_below(curves), on=keys, how="left", maintain_order="left")


def importance_table(study: RobustnessStudy) -> pl.DataFrame:
    """Permutation importance of features on the validation split, by model, highest first."""
    schema = {"model": pl.String, "feature": pl.String, "importance": pl.Float64}
    of_models = {one.name: one.model.task.features for one in study.models}
    rows = [
        (name, feature.name, float(value))
        for name, values in study.importance.items()
        for feature, value in zip(of_models[name], values, strict=True)
    ]
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.sort("model", "importance", descending=[False, True], maintain_order=True)


def robustness_figures(
    curves: pl.DataFrame, study: RobustnessStudy, note: str
) -> dict[str, NDArray[np.uint8]]:
    """One figure of curves for each kind of perturbation.

    Args:
        curves: As `vitatt.studies.robustness_scores.CURVES`.
        study: Has the models.
        note: The cases and the bands in words, for the note below.
    """
    blind = [one.name for one in study.models if not one.network.cardinalities]
    return {
        str(kind): curves_figure(
            part,
            {str(name): axis_of(str(name)) for name in part["perturbation"].unique()},
            title=TITLES[str(kind)],
            note=note,
            reference=IMAGE_ONLY if study.has_reference else None,
            unaffected=blind if kind in ("missing", "noise") else (),
        )
        for (kind,), part in curves.group_by("kind", maintain_order=True)
    }
