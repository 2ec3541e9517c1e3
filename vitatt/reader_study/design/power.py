"""Power of the primary contrast, by simulated readers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from scipy.stats import ttest_1samp
from sklearn.metrics import roc_auc_score

from vitatt.reader_study.manifest import AnalysisPlan, Manifest, Metric, Power
from vitatt.reader_study.simulation.reader_model import ReaderModel
from vitatt.reader_study.simulation.simulated_readings import SimulatedStudy

ContrastTest = Callable[[pl.DataFrame, AnalysisPlan, frozenset[str]], tuple[float, float]]
"""From readings, the plan of their analysis and the positive classes to the difference of the
primary contrast and its p-value."""

_STREAM = 3  # random numbers of their own, whatever else the seed decides


def simulated_power(
    manifest: Manifest,
    model: ReaderModel,
    *,
    simulations: int,
    test: ContrastTest | None = None,
    method: str = "paired t-test of the readers' own metrics",
) -> Power:
    """Return the share of simulated studies in which the primary contrast is significant.

    Args:
        manifest: Of the study; its `power` is not looked at.
        model: Assumptions about readers.
        simulations: Number of simulated studies.
        test: Of a table of readings; by default `paired_test`.
        method: Its name.
    """
    study = SimulatedStudy(manifest, model)
    plan, run = manifest.analysis, test or paired_test
    results = [
        run(
            study.readings(np.random.default_rng([manifest.seed, _STREAM, number])),
            plan,
            manifest.positive,
        )
        for number in range(simulations)
    ]
    differences, p_values = np.array(results).T
    significant = p_values < 1 - plan.level
    assumptions: dict[str, float | int | str] = {
        "readers": len(manifest.readers),
        "cases": len(manifest.cases),
        "mean difference": round(float(differences.mean()), 4),
        "reader spread": model.reader_spread,
        "case spread": model.case_spread,
        "repeatability": model.repeatability,
    }
    for place, choice in enumerate(manifest.experience):
        band = model.band(place, len(manifest.experience))
        assumptions |= {
            f"{choice.name}: {name.replace('_', ' ')}": value
            for name, value in band.model_dump().items()
        }
    return Power(
        method=method,
        assumptions=assumptions,
        value=round(float(significant.mean()), 4),
        simulations=simulations,
    )


def paired_test(
    readings: pl.DataFrame, plan: AnalysisPlan, positive: frozenset[str]
) -> tuple[float, float]:
    """Mean difference of each reader's metric between two arms, and the p-value of a t-test.

    Readers are random and cases fixed, so that the power for other cases is overstated a little.

    Args:
        readings: Of all readers.
        plan: Has the metric and the contrast.
        positive: Names of the positive classes.
    """
    reference, arm = plan.primary_contrast
    values = reader_metric(readings, plan.primary_metric, positive)
    wide = values.pivot("arm", index="reader", values="value").drop_nulls()
    differences = (wide[arm] - wide[reference]).to_numpy()
    if len(differences) < 2 or np.ptp(differences) == 0:
        return float(differences.mean()) if len(differences) else 0.0, 1.0
    return float(differences.mean()), float(ttest_1samp(differences, 0).pvalue)


def reader_metric(readings: pl.DataFrame, metric: Metric, positive: frozenset[str]) -> pl.DataFrame:
    """A metric of each reader in each arm: columns ``reader``, ``arm`` and ``value``."""
    by = ("reader", "arm")
    right = (pl.col("diagnosis") == pl.col("truth")).alias("value")
    if metric == "balanced accuracy":
        of_class = readings.group_by(*by, "truth").agg(right.mean())
        return of_class.group_by(by).agg(pl.col("value").mean())
    is_positive = pl.col("truth").is_in(sorted(positive))
    said = pl.col("diagnosis").is_in(sorted(positive))
    if metric in ("sensitivity", "specificity"):
        wanted = metric == "sensitivity"
        some = readings.filter(is_positive == wanted)
        return some.group_by(by).agg((said == wanted).mean().alias("value"))
    rows = [
        (*key, roc_auc_score(part["truth"].is_in(sorted(positive)), part["score"]))
        for key, part in readings.group_by(by)
    ]
    return pl.DataFrame(rows, schema=[*by, "value"], orient="row")
