"""All metrics of all arms, with intervals, over all cases and over complete cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vitatt.evaluation.bootstrap import Floats, Statistic, resample
from vitatt.evaluation.metrics import CALIBRATION, metrics
from vitatt.evaluation.out_of_fold import arrays, average_seeds, with_tempered
from vitatt.types import PositiveClass

_BOTH = ("p_", "q_")


def score_arms(
    predictions: pl.DataFrame,
    classes: Sequence[str],
    features: Sequence[str],
    positive: PositiveClass | None,
) -> pl.DataFrame:
    """Metrics of each arm's out-of-fold predictions.

    All arms and metrics share the resamples. Metrics of calibration are given before and after
    temperature scaling (`Brier` and `Brier, tempered`).

    Args:
        predictions: As `vitatt.evaluation.out_of_fold` has them.
        classes: Class names.
        features: Metadata columns that decide whether a case is complete.
        positive: The class that is most harmful to miss, if it is known.

    Returns:
        One row for each arm, set of cases and metric. ``arm``, ``cases`` (``all``, and ``complete``
        if some but not all are), ``n`` cases, ``groups``, ``metric``; ``value``, ``low`` and
        ``high`` of the probabilities averaged over seeds, with the 95 % interval of the group
        bootstrap; ``single``, ``single_low`` and ``single_high``: mean, lowest and highest value of
        the single seeds. Null where a metric is undefined.
    """
    averaged, of_seeds = average_seeds(predictions), with_tempered(predictions)
    statistics = _statistics(classes, positive)
    rows = []
    for arm in predictions["arm"].unique(maintain_order=True):
        for cases, part in _sets(averaged.filter(arm=arm), features).items():
            resampled = resample(statistics, *arrays(part, classes, prefixes=_BOTH))
            models = of_seeds.filter(pl.col("case_id").is_in(part["case_id"].implode()), arm=arm)
            single = _of_each_seed(models, classes, statistics)
            count = {"n": part.height, "groups": part["group"].n_unique()}
            for name, metric in resampled.items():
                row = {"arm": arm, "cases": cases, **count, "metric": name}
                rows.append(row | metric.interval()._asdict() | single[name])
    return pl.DataFrame(rows, infer_schema_length=None).fill_nan(None)


def _statistics(classes: Sequence[str], positive: PositiveClass | None) -> dict[str, Statistic]:
    """Statistics by name of probabilities and tempered ones side by side, (N, 2C)."""
    count = len(classes)
    raw, tempered = slice(0, count), slice(count, 2 * count)
    return {
        **{name: _of(raw, metric) for name, metric in metrics(classes, positive).items()},
        **{f"{name}, tempered": _of(tempered, metric) for name, metric in CALIBRATION.items()},
    }


def _of(columns: slice, statistic: Statistic) -> Statistic:
    def metric(probabilities: Floats, targets: NDArray[np.int64], weights: Floats) -> Floats:
        return statistic(probabilities[:, columns], targets, weights)

    return metric


def _sets(frame: pl.DataFrame, features: Sequence[str]) -> dict[str, pl.DataFrame]:
    complete = frame.drop_nulls(list(features)) if features else frame
    partly = 0 < complete.height < frame.height
    return {"all": frame, **({"complete": complete} if partly else {})}


def _of_each_seed(
    frame: pl.DataFrame, classes: Sequence[str], statistics: dict[str, Statistic]
) -> dict[str, dict[str, float]]:
    seeds = [arrays(part, classes, prefixes=_BOTH) for part in frame.partition_by("seed")]
    scores = {
        name: [
            statistic(probabilities, targets, np.ones((1, len(targets))))[0]
            for probabilities, targets, _ in seeds
        ]
        for name, statistic in statistics.items()
    }
    return {
        name: {
            "single": float(np.mean(values)),
            "single_low": float(np.min(values)),
            "single_high": float(np.max(values)),
        }
        for name, values in scores.items()
    }
