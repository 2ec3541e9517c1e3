"""Metrics on perturbed input: curves with intervals, and where they fall below another model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats, Statistic, group_bootstrap
from vitatt.evaluation.metrics import COMPARED
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

RESAMPLES = 1000
"""Bootstrap resamples of each interval."""

CURVES: dict[str, Any] = {
    **dict.fromkeys(("model", "kind", "perturbation"), pl.String),
    "level": pl.Float64,
    "metric": pl.String,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    **dict.fromkeys(("difference", "difference_low", "difference_high"), pl.Float64),
    **dict.fromkeys(("n", "groups", "repeats"), pl.Int64),
}
"""Columns of a table of curves: one row for each model, perturbation, level and metric."""


def probabilities_of(network: LesionNetwork, batch: LesionBatch, *, batch_size: int = 64) -> Floats:
    """Class probabilities (N, C) of all cases, of a network in evaluation mode."""
    with torch.inference_mode():
        parts = [
            network(batch.cases(slice(start, start + batch_size))).logits.float().softmax(1)
            for start in range(0, len(batch.target), batch_size)
        ]
        return torch.cat(parts).double().cpu().numpy()


def score_level(
    versions: Sequence[Floats],
    targets: NDArray[np.int64],
    groups: NDArray[Any],
    reference: Floats | None = None,
) -> list[dict[str, Any]]:
    """The metrics of one point of a curve.

    The metric is computed on each random version of the input and averaged; so is it in every
    resample, so the interval is of the cases, given the draws of the perturbation.

    Args:
        versions: Probabilities (N, C) on each random version.
        targets: Class of each case, (N,).
        groups: Patient or lesion of each case, (N,).
        reference: Probabilities (N, C) of another model: the metric less its, paired in every
            resample.

    Returns:
        One row for each metric: ``metric``, ``value``, ``low``, ``high``, ``difference``,
        ``difference_low``, ``difference_high`` (None without a reference), ``n``, ``groups``,
        ``repeats``.
    """
    count = len(versions)
    shared = {"n": len(targets), "groups": len(np.unique(groups)), "repeats": count}
    columns = np.concatenate([*versions, *([] if reference is None else [reference])], axis=1)
    rows = []
    for name, statistic in COMPARED.items():
        averaged = _weighted(statistic, [1 / count] * count)
        interval = group_bootstrap(
            averaged, np.concatenate(versions, axis=1), targets, groups, num_resamples=RESAMPLES
        )
        row = {"metric": name, **interval._asdict(), **shared}
        row |= dict.fromkeys(("difference", "difference_low", "difference_high"))
        if reference is not None:
            paired = _weighted(statistic, [*[1 / count] * count, -1])
            apart = group_bootstrap(paired, columns, targets, groups, num_resamples=RESAMPLES)
            row["difference"], row["difference_low"], row["difference_high"] = apart
        rows.append(row)
    return rows


def falls_below(curves: pl.DataFrame) -> pl.DataFrame:
    """First measured level at which each curve is below the reference.

    Args:
        curves: As `CURVES`.

    Returns:
        One row for each model, kind, perturbation and metric that has differences: ``below_at``,
        the first level at which the difference is negative, and ``surely_below_at``, the first at
        which its whole interval is; null if there is none.
    """
    keys = ["model", "kind", "perturbation", "metric"]
    compared = curves.filter(pl.col("difference").is_not_null()).sort("level", maintain_order=True)
    firsts = compared.group_by(keys).agg(
        pl.col("level").filter(pl.col("difference") < 0).first().alias("below_at"),
        pl.col("level").filter(pl.col("difference_high") < 0).first().alias("surely_below_at"),
    )
    order = curves.select(keys).unique(maintain_order=True)
    return order.join(firsts, on=keys, how="inner", maintain_order="left")


def _weighted(statistic: Statistic, factors: Sequence[float]) -> Statistic:
    """A weighted sum of a statistic over blocks of C columns, (N, len(factors) C)."""

    def weighted(probabilities: Floats, targets: NDArray[np.int64], weights: Floats) -> Floats:
        blocks = np.split(probabilities, len(factors), axis=1)
        values = [
            factor * statistic(block, targets, weights)
            for factor, block in zip(factors, blocks, strict=True)
        ]
        total: Floats = np.sum(values, axis=0)
        return total

    return weighted
