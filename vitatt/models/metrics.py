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

from vitatt.types import CALIBRATION_BINS, LesionTask, UsageError

SELECTION = "val/selection"
"""Metric of early stopping and of the best checkpoint, see `LesionMetrics`."""

Direction = Literal["min", "max"]

_BY_CLASS = ("auroc", "sensitivity", "specificity")
_OVERALL = ("balanced_accuracy", "auroc", "selection", "f1", "calibration_error")
_SPECIFICITIES = (80, 90, 95)
_OF_POSITIVE = (
    *("average_precision", "partial_auroc"),
    *(f"sensitivity_at_{percent}_specificity" for percent in _SPECIFICITIES),
)
_MOST_MISSED = 0.2
_LOWER_IS_BETTER = ("loss", "calibration_error")


def direction(metric: str) -> Direction:
    """Whether a better model has a lower or a higher value of a logged metric."""
    return "min" if metric.partition("/")[2] in _LOWER_IS_BETTER else "max"


def logged_name(split: str, metric: str) -> str:
    """Name under which a metric of a split is logged, with one slash.

    W&B makes a section of all that stands before the last slash, TensorBoard of all before the
    first: so the few overall metrics are apart from the many of single classes in both.

    Args:
        split: ``train``, ``val`` or ``test``.
        metric: Name in `LesionMetrics`, such as ``auroc`` or ``auroc/MEL``.

    Returns:
        Such as ``val/auroc`` or ``val_by_class/auroc_MEL``.
    """
    name, slash, label = metric.partition("/")
    return f"{split}_by_class/{name}_{label}" if slash else f"{split}/{name}"


def validation_metrics(task: LesionTask) -> list[str]:
    """Names of all metrics that a validation run logs."""
    names = ("loss", *_names(task.classes, task.positive))
    return [logged_name("val", name) for name in names]


def check_monitor(metric: str, task: LesionTask, setting: str) -> None:
    """Check that a validation run logs a metric.

    Args:
        metric: Such as ``val/loss``.
        task: Its classes.
        setting: Name of the setting, for the message.

    Raises:
        UsageError: If not; the message lists the metrics.
    """
    known = validation_metrics(task)
    if metric not in known:
        close = difflib.get_close_matches(metric, known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UsageError(
            f"Expected `{setting}` to be a metric of a validation run, but got '{metric}'.{hint} "
            f"It logs: {', '.join(known)}."
        )


class LesionMetrics(Metric):
    """Metrics of predictions on unbalanced data.

    `update` only stores predictions, so that training steps are fast; `compute` gives all metrics:

    - ``balanced_accuracy``: mean sensitivity over the classes that occur, the official ISIC score;
    - ``auroc``, ``auroc/CLASS``: one against the rest, and the mean over classes that occur;
    - ``sensitivity/CLASS``, ``specificity/CLASS``;
    - ``f1``: mean over the classes that occur or were predicted;
    - ``calibration_error``: expected calibration error of the top class, 15 bins (Guo et al., ICML
      2017, eq. 3);
    - ``selection``: mean of balanced accuracy and AUROC; the first alone is noisy on rare classes.

    Of two classes, for the positive one:

    - ``average_precision``;
    - ``partial_auroc``: area between the ROC curve and the line of 80 % sensitivity, 0 to 0.2, the
      score of the ISIC 2024 challenge;
    - ``sensitivity_at_80_specificity``, also at 90 and 95 %: the highest one at such a threshold.

    Metrics that are undefined because a class does not occur are NaN.

    Args:
        classes: Class names.
        positive: The positive one of two classes; empty if there is none.
    """

    full_state_update = False
    probabilities: list[Tensor]
    targets: list[Tensor]

    def __init__(self, classes: Sequence[str], positive: str = "") -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.positive = positive
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
            names = _names(self.classes, self.positive)
            return {name: probabilities.new_tensor(torch.nan) for name in names}
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
        if self.positive:
            label = self.classes.index(self.positive)
            metrics |= _of_positive(probabilities[:, label].double(), (targets == label).long())
        return {name: value.float() for name, value in metrics.items()}

    def labelled(self) -> tuple[Tensor, Tensor]:
        """Probabilities (N, C) and classes (N,) of the cases whose class is known."""
        probabilities, targets = dim_zero_cat(self.probabilities), dim_zero_cat(self.targets)
        known = targets >= 0
        return probabilities[known], targets[known]


def _names(classes: Sequence[str], positive: str) -> list[str]:
    by_class = [f"{name}/{label}" for name in _BY_CLASS for label in classes]
    return [*_OVERALL, *by_class, *(_OF_POSITIVE if positive else ())]


def _of_positive(scores: Tensor, positive: Tensor) -> dict[str, Tensor]:
    """The metrics `_OF_POSITIVE` of float64 scores (N,) and labels 0 or 1, (N,)."""
    if len(positive.unique()) < 2:
        return {name: scores.new_tensor(torch.nan) for name in _OF_POSITIVE}
    # Labels and scores reversed, the area lies where few positives are missed. torchmetrics
    # stretches it so that chance is 0.5 (McClish 1989, "Analyzing a portion of the ROC curve"):
    # undone here.
    stretched = tm.binary_auroc(1 - scores, 1 - positive, max_fpr=_MOST_MISSED)
    chance = _MOST_MISSED**2 / 2
    values = [
        tm.binary_average_precision(scores, positive),
        chance + (2 * stretched - 1) * (_MOST_MISSED - chance),
        *(
            # With a tolerance, since shares are rounded: 9 of 10 are 90 %.
            tm.binary_sensitivity_at_specificity(scores, positive, percent / 100 - 1e-6)[0]
            for percent in _SPECIFICITIES
        ),
    ]
    return dict(zip(_OF_POSITIVE, values, strict=True))
