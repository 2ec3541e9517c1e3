"""Power of the primary contrast, by simulated readers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from vitatt.reader_study.analysis.obuchowski_rockette import analyse_variance
from vitatt.reader_study.analysis.reading_arrays import reading_arrays
from vitatt.reader_study.analysis.scores import jackknife_scores
from vitatt.reader_study.manifest import Manifest, Power
from vitatt.reader_study.simulation.reader_model import ReaderModel
from vitatt.reader_study.simulation.simulated_readings import SimulatedStudy

ContrastTest = Callable[[pl.DataFrame, Manifest], tuple[float, float]]
"""From readings and the plan of the study to the difference of the primary contrast and its p."""

METHOD = "Obuchowski-Rockette analysis of variance, random readers and cases"

_STREAM = 3  # random numbers of their own, whatever else the seed decides


def simulated_power(
    manifest: Manifest,
    model: ReaderModel,
    *,
    simulations: int,
    test: ContrastTest | None = None,
    method: str = METHOD,
) -> Power:
    """Return the share of simulated studies in which the primary contrast is significant.

    Readers and their answers are drawn anew for each study; the cases are those of the manifest.

    Args:
        manifest: Of the study; its `power` is not looked at.
        model: Assumptions about readers.
        simulations: Number of simulated studies.
        test: Of a table of readings; by default `variance_test`.
        method: Its name.

    Raises:
        UsageError: If the primary metric cannot be analysed with these readers and cases.
    """
    study = SimulatedStudy(manifest, model)
    run = test or variance_test
    results = [
        run(study.readings(np.random.default_rng([manifest.seed, _STREAM, number])), manifest)
        for number in range(simulations)
    ]
    differences, p_values = np.array(results).T
    significant = p_values < 1 - manifest.analysis.level
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


def variance_test(readings: pl.DataFrame, manifest: Manifest) -> tuple[float, float]:
    """The primary contrast and its p-value by the analysis of variance of Obuchowski and Rockette.

    It is the test of the analysis itself, for random readers and random cases.

    Args:
        readings: Of all readers, every case in every arm.
        manifest: Of the study.

    Raises:
        UsageError: If the metric cannot be analysed with these readers and cases.
    """
    plan, arms = manifest.analysis, [arm.name for arm in manifest.arms]
    arrays = reading_arrays(
        readings,
        classes=[one.name for one in manifest.classes],
        positive=sorted(manifest.positive),
        bands=[one.name for one in manifest.experience],
        arms=arms,
    )
    found = analyse_variance(jackknife_scores(arrays, plan.primary_metric), plan.level)
    one, other = (arms.index(name) for name in plan.primary_contrast)
    difference = found.differences[min(one, other), max(one, other)]
    # Without any variance between readings there is no p-value.
    p = 1.0 if np.isnan(difference.p) else difference.p
    return (difference.value if one < other else -difference.value), p
