"""Measures of explanations: faithfulness, sanity and localisation, with intervals.

The table has one row for each case, method and measure, so that every metric can be computed again;
the summary resamples patients or lesions, and compares each method with TMME case by case.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
import torch
from torch import Tensor

from vitatt.evaluation.bootstrap import Interval, group_bootstrap, mean
from vitatt.explain.checks.faithfulness import faithfulness
from vitatt.explain.checks.localization import centre_gaussian, localize, upsample
from vitatt.explain.checks.sanity import randomisation, stability
from vitatt.explain.methods import explain_by, predict
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

MEASURES = {
    "most_relevant_first": ("area, most relevant hidden first", "lower"),
    "least_relevant_first": ("area, least relevant hidden first", "higher"),
    "deletion": ("deletion area (image)", "lower"),
    "insertion": ("insertion area (image)", "higher"),
    "seconds": ("seconds a case, on this machine", "lower"),
    "stability": ("rank correlation under slight noise", "higher"),
    "randomised_1": ("rank correlation, upper third of the layers randomised", "nearer to 0"),
    "randomised_2": ("rank correlation, upper two thirds randomised", "nearer to 0"),
    "randomised_3": ("rank correlation, all layers randomised", "nearer to 0"),
    "pointing": ("pointing game", "higher"),
    "mass": ("share of relevance on the lesion", "higher"),
    "iou": ("best-threshold IoU", "higher"),
}
"""Title and better direction of each measure."""

CENTRE = "centre"
"""The baseline of localisation: a Gaussian in the middle of the image."""

_SUMMARY = {
    **dict.fromkeys(("measure", "better", "method"), pl.String),
    **dict.fromkeys(("cases", "groups"), pl.Int64),
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    **dict.fromkeys(("difference", "difference_low", "difference_high"), pl.Float64),
}


def measure_faithfulness(
    network: LesionNetwork,
    batches: Iterable[LesionBatch],
    groups: Mapping[str, str],
    methods: Sequence[str],
) -> pl.DataFrame:
    """Areas of perturbation curves, and seconds for an explanation, for the predicted class.

    Args:
        network: The network explained; left as it was.
        batches: Cases, as pixels.
        groups: Patient or lesion of each case id.
        methods: To compare.

    Returns:
        Columns ``case_id``, ``group``, ``method``, ``measure`` and ``value``.
    """
    frames = []
    for batch in batches:
        target = predict(network, batch).unsqueeze(1)
        for method, relevance in explain_by(network, batch, target, methods=methods).items():
            areas = faithfulness(network, batch, target[:, 0], relevance).areas()
            measured = {str(test): area for test, area in areas.items()}
            taken = relevance.cost.seconds / len(batch.target)
            measured["seconds"] = torch.full_like(areas["deletion"], taken)
            frames.append(_rows(batch, groups, method, measured))
    return pl.concat(frames)


def measure_sanity(
    network: LesionNetwork,
    batches: Iterable[LesionBatch],
    groups: Mapping[str, str],
    methods: Sequence[str],
) -> pl.DataFrame:
    """Stability under slight noise and randomisation of weights, for the predicted class.

    Args:
        network: The network explained; left as it was.
        batches: Cases, as pixels; every method explains each of them five times.
        groups: Patient or lesion of each case id.
        methods: To compare.

    Returns:
        As `measure_faithfulness`.
    """
    frames = []
    for batch in batches:
        target = predict(network, batch).unsqueeze(1)
        for method, relevance in explain_by(network, batch, target, methods=methods).items():
            measured = {"stability": stability(network, batch, target, relevance, method=method)}
            cascade = randomisation(network, batch, target, relevance, method=method, points=3)
            for number, correlations in enumerate(cascade.values(), start=1):
                measured[f"randomised_{number}"] = correlations
            frames.append(_rows(batch, groups, method, measured))
    return pl.concat(frames)


def measure_localization(
    network: LesionNetwork,
    batches: Iterable[tuple[LesionBatch, Tensor]],
    groups: Mapping[str, str],
    methods: Sequence[str],
) -> pl.DataFrame:
    """Agreement of maps of the predicted class with lesion masks, and of a centred Gaussian.

    Args:
        network: The network explained; left as it was.
        batches: Cases, as pixels, each with its masks (B, H, W) bool.
        groups: Patient or lesion of each case id.
        methods: To compare.

    Returns:
        As `measure_faithfulness`.
    """
    frames = []
    for batch, masks in batches:
        found = explain_by(network, batch, methods=methods)
        maps: dict[str, Tensor] = {
            name: relevance.patches[:, 0].cpu() for name, relevance in found.items()
        }
        (count, *grid), (_, *size) = next(iter(maps.values())).shape, masks.shape
        maps[CENTRE] = centre_gaussian((grid[0], grid[1])).expand(count, -1, -1)
        for name, relevance in maps.items():
            agreement = localize(upsample(relevance, (size[0], size[1])), masks)
            frames.append(_rows(batch, groups, name, agreement._asdict()))
    return pl.concat(frames)


def summarise_measures(measured: pl.DataFrame, *, reference: str = "tmme") -> pl.DataFrame:
    """Mean of each measure by method, and its paired difference from a reference, with intervals.

    Args:
        measured: From the functions above.
        reference: The method that others are compared with.

    Returns:
        One row for each measure and method, best first: ``measure``, ``better``, ``method``,
        ``cases`` and ``groups`` that have a value, ``value``, ``low``, ``high``, ``difference``,
        ``difference_low``, ``difference_high`` (null for the reference, and without one).
    """
    rows = []
    for (measure,), part in measured.group_by("measure", maintain_order=True):
        wide = part.pivot("method", index=["case_id", "group"], values="value")
        better = MEASURES[str(measure)][1]
        of_measure = []
        for method in wide.columns[2:]:
            interval = _interval(wide[method], wide["group"])
            defined = wide.filter(pl.col(method).is_not_nan())
            row = {
                "measure": measure,
                "better": better,
                "method": method,
                "cases": defined.height,
                "groups": defined["group"].n_unique(),
                **interval._asdict(),
                **dict.fromkeys(("difference", "difference_low", "difference_high")),
            }
            if method != reference and reference in wide.columns:
                apart = _interval(wide[method] - wide[reference], wide["group"])
                row["difference"], row["difference_low"], row["difference_high"] = apart
            of_measure.append(row)
        sign = -1 if better == "higher" else 1
        places = [(math.isnan(row["value"]), sign * abs(row["value"])) for row in of_measure]
        rows += [of_measure[n] for n in sorted(range(len(places)), key=places.__getitem__)]
    return pl.DataFrame(rows, schema=_SUMMARY)


def _interval(values: pl.Series, groups: pl.Series) -> Interval:
    column = values.cast(pl.Float64).to_numpy()[:, None]
    return group_bootstrap(mean, column, np.zeros(len(column)), groups.to_numpy())


def _rows(
    batch: LesionBatch, groups: Mapping[str, str], method: str, measured: Mapping[str, Tensor]
) -> pl.DataFrame:
    names = list(batch.case_id)
    return pl.concat(
        pl.DataFrame(
            {
                "case_id": names,
                "group": [groups[name] for name in names],
                "method": method,
                "measure": measure,
                "value": values.double().cpu().numpy(),
            }
        )
        for measure, values in measured.items()
    )
