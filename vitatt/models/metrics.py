"""Metrics of the predictions of a split."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from typing import Literal

import torch
import torchmetrics.functional.classification as tm
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vitatt.types import CALIBRATION_BINS, UsageError

SELECTION = "val/selection"
"""Metric of early stopping and of the best checkpoint, see `LesionMetrics`."""

Direction = Literal["min", "max"]

_BY_CLASS = ("auroc", "sensitivity", "specificity")
_OVERALL = ("balanced_accuracy", "auroc", "selection", "f1", "calibration_error")
_LOWER_IS_BETTER = ("loss", "calibration_error")


def direction(metric: str) -> Direction:
    """Whether a better model has a lower or a higher value of a logged metric."""
    return "min" if metric.partition("/")[2] in _LOWER_IS_BETTER else "max"


def check_monitor(metric: str, classes: Sequence[str], setting: str) -> None:
    """Check that a validation run logs a metric.

    Args:
        metric: Such as ``val/loss``.
        classes: Class names.
        setting: Name of the setting, for the message.

    Raises:
        UsageError: If not; the message lists the metrics.
    """
    known = [f"val/{name}" for name in ("loss", *_names(classes))]
    if metric not in known:
        close = difflib.get_close_matches(metric, known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UsageError(
            f"Expected `{setting}` to be a metric of a validation run, but got '{metric}'.{hint} "
            f"It logs: {', '.join(known)}."
        )


class LesionMetrics(Metric):
    """Metrics of multi-class predictions on unbalanced data.

    `update` only stores predictions, so that training steps are fast; `compute` gives all metrics:

    - ``balanced_accuracy``: mean sensitivity over the classes that occur, the official ISIC score;
    - ``auroc``, ``auroc/CLASS``: one against the rest, and the mean over classes that occur;
    - ``sensitivity/CLASS``, ``specificity/CLASS``;
    - ``f1``: mean over the classes that occur or were predicted;
    - ``calibration_error``: expected calibration error of the top class, 15 bins (Guo et al., ICML
      2017, eq. 3);
    - ``selection``: mean of balanced accuracy and AUROC; the first alone is noisy on rare classes.

    Metrics that are undefined because a class does not occur are NaN.

    Args:
        classes: Class names.
    """

    full_state_update = False
    probabilities: list[Tensor]
    targets: list[Tensor]

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.add_state("probabilities", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, probabilities: Tensor, targets: Tensor) -> None:
        """Add predictions.

        Args:
            probabilities: (B, C), rows summing to 1.
            targets: True class (B,); cases with -1 (unknown) are left out of the metrics.
        """
        self.probabilities.append(probabilities.detach().float())
        self.targets.append(targets.detach())

    def confusion(self) -> Tensor:
        """Cases by true class (rows) and predicted class (columns), (C, C) int64."""
        probabilities, targets = self.labelled()
        return tm.multiclass_confusion_matrix(probabilities, targets, len(self.classes))

    def compute(self) -> dict[str, Tensor]:
        """All metrics, each a scalar."""
        probabilities, targets = self.labelled()
        count = len(self.classes)
        if len(targets) == 0:
            return {name: probabilities.new_tensor(torch.nan) for name in _names(self.classes)}
        confusion = self.confusion().double()
        positive = confusion.sum(1)
        total = confusion.sum()
        true_positive = confusion.diagonal()
        false_positive = confusion.sum(0) - true_positive
        sensitivity = true_positive / positive  # NaN where the class does not occur
        specificity = 1 - false_positive / (total - positive)
        with warnings.catch_warnings():
            # It warns of classes that do not occur, and calls their AUROC 0: NaN below.
            warnings.simplefilter("ignore", UserWarning)
            auroc = tm.multiclass_auroc(probabilities, targets, count, average=None).double()
        undefined = (positive == 0) | (positive == total)
        auroc = auroc.masked_fill(undefined, torch.nan)
        balanced_accuracy, macro_auroc = sensitivity.nanmean(), auroc.nanmean()
        metrics = {
            "balanced_accuracy": balanced_accuracy,
            "auroc": macro_auroc,
            "selection": (balanced_accuracy + macro_auroc) / 2,
            "f1": tm.multiclass_f1_score(probabilities, targets, count, average="macro"),
            "calibration_error": tm.multiclass_calibration_error(
                probabilities, targets, count, n_bins=CALIBRATION_BINS
            ),
        }
        for name, values in zip(_BY_CLASS, (auroc, sensitivity, specificity), strict=True):
            labels = [f"{name}/{label}" for label in self.classes]
            metrics |= dict(zip(labels, values, strict=True))
        return {name: value.float() for name, value in metrics.items()}

    def labelled(self) -> tuple[Tensor, Tensor]:
        """Probabilities (N, C) and classes (N,) of the cases whose class is known."""
        probabilities, targets = dim_zero_cat(self.probabilities), dim_zero_cat(self.targets)
        known = targets >= 0
        return probabilities[known], targets[known]


def _names(classes: Sequence[str]) -> list[str]:
    return [*_OVERALL, *(f"{name}/{label}" for name in _BY_CLASS for label in classes)]
