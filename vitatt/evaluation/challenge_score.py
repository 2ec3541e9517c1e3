"""The official score of the ISIC challenges' classification tasks.

Definitions: `isic-challenge-scoring` 5.6, the organisers' scorer; Codella et al. 2019 ("Skin lesion
analysis toward melanoma detection 2018"), Combalia et al. 2022 ("Validation of artificial
intelligence prediction models for skin cancer diagnosis using dermoscopy images: the 2019 ISIC
grand challenge", The Lancet Digital Health).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score, roc_auc_score, roc_curve

Floats = NDArray[np.float64]


class ChallengeScore(NamedTuple):
    """Scores of a submission.

    Attributes:
        overall: Balanced accuracy with the weights of the score.
        validation: The same with the weights of the validation cases; NaN if none has one.
        by_class: One row for each class: ``class``, ``cases`` (weighted), ``accuracy``,
            ``sensitivity``, ``specificity``, ``dice``, ``ppv`` and ``npv`` of the rule "probability
            above 0.5", each 1 where it is undefined; ``auc``, ``auc_sens_80`` (the area where
            sensitivity is at least 0.8) and ``ap``, null where a class has no case, or no other.
    """

    overall: float
    validation: float
    by_class: pl.DataFrame


def challenge_score(
    truth: NDArray[np.bool_],
    probabilities: Floats,
    classes: Sequence[str],
    *,
    score_weight: Floats,
    validation_weight: Floats,
) -> ChallengeScore:
    """Score predictions as the challenge does.

    Args:
        truth: One class of each case, (N, C).
        probabilities: (N, C).
        classes: Class names.
        score_weight: Weight of each case in all scores but `validation`, (N,).
        validation_weight: Weight of each case in `validation`, (N,).
    """
    counted = score_weight > 0  # as in the scorer: cases without weight are no points of a curve
    rows = [
        {
            "class": name,
            "cases": float(score_weight[truth[:, n]].sum()),
            **_one_class(truth[counted, n], probabilities[counted, n], score_weight[counted]),
        }
        for n, name in enumerate(classes)
    ]
    return ChallengeScore(
        overall=balanced_accuracy(truth, probabilities, score_weight),
        validation=balanced_accuracy(truth, probabilities, validation_weight),
        by_class=pl.DataFrame(rows, infer_schema_length=None),
    )


def balanced_accuracy(truth: NDArray[np.bool_], probabilities: Floats, weights: Floats) -> float:
    """Mean over the classes with weight of the weighted share of right cases; NaN if none has.

    A case whose highest probability is that of several classes is wrong.

    Args:
        truth: One class of each case, (N, C).
        probabilities: (N, C).
        weights: Of the cases, (N,).
    """
    highest = probabilities == probabilities.max(axis=1, keepdims=True)
    right = (truth & highest).any(axis=1) & (highest.sum(axis=1) == 1)
    totals = weights @ truth
    present = totals > 0
    if not present.any():
        return float("nan")
    return float(np.mean(((weights * right) @ truth)[present] / totals[present]))


def _one_class(truth: NDArray[np.bool_], probability: Floats, weights: Floats) -> dict[str, object]:
    predicted = probability > 0.5
    tp, fp, fn, tn = (
        float(weights[of & as_].sum())
        for of, as_ in (
            (truth, predicted),
            (~truth, predicted),
            (truth, ~predicted),
            (~truth, ~predicted),
        )
    )
    curves: dict[str, float | None] = {"auc": None, "auc_sens_80": None, "ap": None}
    if truth.any() and not truth.all():
        curves = {
            "auc": float(roc_auc_score(truth, probability, sample_weight=weights)),
            "auc_sens_80": _area_above(truth, probability, weights, sensitivity=0.8),
            "ap": float(average_precision_score(truth, probability, sample_weight=weights)),
        }
    return {
        "accuracy": _share(tp + tn, fp + fn),
        "sensitivity": _share(tp, fn),
        "specificity": _share(tn, fp),
        "dice": _share(2 * tp, fp + fn),
        "ppv": _share(tp, fp),
        "npv": _share(tn, fn),
        **curves,
    }


def _share(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest else 1.0


def _area_above(
    truth: NDArray[np.bool_], probability: Floats, weights: Floats, *, sensitivity: float
) -> float:
    """Area under the ROC curve from where it reaches a sensitivity on."""
    false_positive, true_positive, _ = roc_curve(
        truth, probability, sample_weight=weights, drop_intermediate=False
    )
    first = int(np.searchsorted(true_positive, sensitivity))  # the first point at least as high
    around = slice(first - 1, first + 1)
    begin = np.interp(sensitivity, true_positive[around], false_positive[around])
    return float(
        auc(np.r_[begin, false_positive[first:]], np.r_[sensitivity, true_positive[first:]])
    )
