"""Appropriate reliance: changes of diagnosis from the arm without AI to an arm with it."""

from __future__ import annotations

import numpy as np
import polars as pl

from vitatt.evaluation.bootstrap import Floats
from vitatt.reader_study.analysis.means import (
    ALL_READERS,
    BOUNDS,
    COUNTS,
    PAIR,
    bands_of,
    bounds,
    counts,
    defined,
    table,
)
from vitatt.reader_study.analysis.reading_arrays import ReadingArrays
from vitatt.reader_study.analysis.resampling import (
    difference_of_ratios,
    ratio,
    sums_of,
    two_way_jackknife,
)

RELATIVE_AI_RELIANCE = "relative AI reliance"
RELATIVE_SELF_RELIANCE = "relative self-reliance"


def switches(arrays: ReadingArrays, before: int, after: int) -> dict[str, Floats]:
    """For each measure of reliance, 1 or 0 of each reader and case, (R, N); NaN if not counted.

    Relative AI reliance is the share of the cases that become right, of those diagnosed wrong
    without AI on which the AI is right. Relative self-reliance is the share that stay right, of
    those diagnosed right without AI on which the AI is wrong. Both are 1 if reliance is appropriate
    (Schemmer et al. 2023, "Appropriate reliance on AI advice: conceptualization and the effect of
    explanations", IUI, section 3). One minus them is under-reliance and over-reliance.

    If the arms are periods of a crossover study, diagnoses also change from one reading to the
    other by themselves: the shares of changes against the AI show how often.

    Args:
        arrays: The readings.
        before: Number of the arm without AI.
        after: Number of an arm with AI.
    """
    first, last = arrays.diagnoses()[before], arrays.diagnoses()[after]
    advised = arrays.diagnoses("ai_predicted")[after]
    was, now, ai_right = first == arrays.truth, last == arrays.truth, advised == arrays.truth
    both = arrays.present[before] & arrays.present[after]
    changed = first != last
    measures = {
        RELATIVE_AI_RELIANCE: (now, ~was & ai_right),
        RELATIVE_SELF_RELIANCE: (now, was & ~ai_right),
        "wrong to right, AI right": (~was & now, ai_right),
        "right to wrong, AI right": (was & ~now, ai_right),
        "wrong to right, AI wrong": (~was & now, ~ai_right),
        "right to wrong, AI wrong": (was & ~now, ~ai_right),
        "changed to the AI's diagnosis": (last == advised, first != advised),
        "changed from the AI's diagnosis": (changed, first == advised),
        "changed": (changed, both),
    }
    return {
        name: np.where(both & member, counted, np.nan)
        for name, (counted, member) in measures.items()
    }


def reliance(arrays: ReadingArrays, *, level: float = 0.95) -> pl.DataFrame:
    """Measures of reliance in each arm with AI, of all readers and of each band of experience.

    Args:
        arrays: The readings; the first arm is the one without AI.
        level: Coverage of intervals.

    Returns:
        One row for each measure, arm and band: ``measure``, ``arm``, ``experience``, ``readers``
        and ``readings`` that count, ``value``, ``low``, ``high``; null where undefined.
    """
    rows = []
    for number, arm in enumerate(arrays.arms[1:], start=1):
        for measure, values in switches(arrays, 0, number).items():
            for experience, chosen in bands_of(arrays):
                own = values[chosen]
                if np.isnan(own).all():
                    continue
                found = two_way_jackknife(
                    sums_of(own, arrays.group), ratio, level=level, share=True
                )
                names = {"measure": measure, "arm": arm, "experience": experience}
                rows.append({**names, **counts(own), **bounds(found)})
    names_only = {"measure": pl.String, "arm": pl.String, "experience": pl.String}
    return table(rows, {**names_only, **COUNTS, **BOUNDS})


def reliance_differences(arrays: ReadingArrays, *, level: float = 0.95) -> pl.DataFrame:
    """Differences of the two relative measures between arms with AI, over all readers.

    Returns:
        One row for each measure and pair of arms with AI: ``measure``, ``arm``, ``reference``,
        ``experience``, ``value``, ``low``, ``high``, ``p``; null where undefined.
    """
    rows = []
    numbers = range(1, len(arrays.arms))
    for one in numbers:
        for other in range(one + 1, len(arrays.arms)):
            before, after = switches(arrays, 0, one), switches(arrays, 0, other)
            for measure in (RELATIVE_AI_RELIANCE, RELATIVE_SELF_RELIANCE):
                both = [sums_of(values[measure], arrays.group) for values in (before, after)]
                found = two_way_jackknife(
                    np.concatenate(both, axis=-1), difference_of_ratios, level=level
                )
                names = {"measure": measure, "arm": arrays.arms[other]}
                names |= {"reference": arrays.arms[one], "experience": ALL_READERS}
                rows.append({**names, **bounds(found), "p": defined(found.p)})
    return table(rows, {"measure": pl.String, **PAIR})
