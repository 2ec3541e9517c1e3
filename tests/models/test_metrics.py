from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from vitatt.models.metrics import LesionMetrics

CLASSES = ("A", "B", "C", "D", "E")


def random_predictions(absent: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    present = [c for c in range(len(CLASSES)) if c not in absent]
    target = rng.choice(present, 200, p=rng.dirichlet([2] * len(present)))
    target[: len(present)] = present
    logits = rng.normal(size=(200, len(CLASSES))) + 1.2 * np.eye(len(CLASSES))[target]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probabilities.astype(np.float32), target


def expected_metrics(probabilities: np.ndarray, target: np.ndarray) -> dict[str, float]:
    predicted = probabilities.argmax(1)
    present = sorted(set(target.tolist()))
    metrics: dict[str, float] = {}
    aurocs = []
    for c, name in enumerate(CLASSES):
        is_class, called = target == c, predicted == c
        defined = is_class.any() and not is_class.all()
        auroc = sk.roc_auc_score(is_class, probabilities[:, c]) if defined else math.nan
        aurocs.append(auroc)
        metrics[f"auroc/{name}"] = auroc
        metrics[f"sensitivity/{name}"] = called[is_class].mean() if is_class.any() else math.nan
        rest = ~is_class
        metrics[f"specificity/{name}"] = (~called[rest]).mean() if rest.any() else math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes predicted that do not occur
        metrics["balanced_accuracy"] = sk.balanced_accuracy_score(target, predicted)
        metrics["f1"] = sk.f1_score(target, predicted, average="macro")
    metrics["auroc"] = (
        float(np.mean([aurocs[c] for c in present])) if len(present) > 1 else math.nan
    )
    metrics["selection"] = (metrics["balanced_accuracy"] + metrics["auroc"]) / 2
    error, confidence = 0.0, probabilities.max(1)
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            right = (predicted == target)[inside].mean()
            error += inside.mean() * abs(right - confidence[inside].mean())
    metrics["calibration_error"] = error
    return metrics


@pytest.mark.parametrize("absent", [(), (1,), (0, 4), (0, 1, 2, 4)])
def test_metrics_are_those_of_scikit_learn(absent: tuple[int, ...]) -> None:
    probabilities, target = random_predictions(absent)
    metrics = LesionMetrics(CLASSES)
    for part in np.split(np.arange(200), [50, 51, 120]):
        metrics.update(torch.tensor(probabilities[part]), torch.tensor(target[part]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        actual = {name: value.item() for name, value in metrics.compute().items()}
    assert actual == pytest.approx(expected_metrics(probabilities, target), rel=1e-5, nan_ok=True)
    confusion = sk.confusion_matrix(target, probabilities.argmax(1), labels=range(len(CLASSES)))
    assert metrics.confusion().tolist() == confusion.tolist()
    for c in absent:
        assert math.isnan(actual[f"sensitivity/{CLASSES[c]}"])


def test_macro_auroc_is_the_one_against_rest_mean_of_scikit_learn() -> None:
    probabilities, target = random_predictions(())
    metrics = LesionMetrics(CLASSES)
    metrics.update(torch.tensor(probabilities), torch.tensor(target))
    probabilities = probabilities.astype(np.float64)
    probabilities /= probabilities.sum(1, keepdims=True)
    expected = sk.roc_auc_score(target, probabilities, multi_class="ovr", average="macro")
    assert metrics.compute()["auroc"].item() == pytest.approx(expected, rel=1e-5)


def test_unknown_targets_are_left_out() -> None:
    probabilities, target = random_predictions((2,))
    unknown = np.arange(200) % 3 == 0
    metrics = LesionMetrics(CLASSES)
    metrics.update(torch.tensor(probabilities), torch.tensor(np.where(unknown, -1, target)))
    actual = {name: value.item() for name, value in metrics.compute().items()}
    expected = expected_metrics(probabilities[~unknown], target[~unknown])
    assert actual == pytest.approx(expected, rel=1e-5, nan_ok=True)
    assert metrics.confusion().sum() == (~unknown).sum()


def test_nothing_but_unknown_targets_is_undefined() -> None:
    probabilities, _ = random_predictions(())
    metrics = LesionMetrics(CLASSES)
    metrics.update(torch.tensor(probabilities), torch.full((200,), -1))
    metrics = metrics.compute()
    assert set(metrics) == set(expected_metrics(*random_predictions(())))
    assert all(math.isnan(value) for value in metrics.values())


def test_reset_forgets() -> None:
    metrics = LesionMetrics(CLASSES)
    for absent in ((), (1,)):
        probabilities, target = random_predictions(absent, seed=len(absent))
        metrics.reset()
        metrics.update(torch.tensor(probabilities), torch.tensor(target))
    expected = expected_metrics(probabilities, target)
    actual = {name: value.item() for name, value in metrics.compute().items()}
    assert actual == pytest.approx(expected, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("digits", [7, 1])
@pytest.mark.parametrize("positives", [1, 40, 199])
def test_metrics_of_the_positive_one_of_two_classes(positives: int, digits: int) -> None:
    rng = np.random.default_rng(positives)
    target = np.repeat([0, 1], [positives, 200 - positives])
    scores = 1 / (1 + np.exp(-rng.normal(size=200) - 1.2 * (target == 0)))
    scores = np.round(scores, digits).astype(np.float32)
    metrics = LesionMetrics(("malignant", "benign"), "malignant")
    metrics.update(torch.tensor(np.stack([scores, 1 - scores], axis=1)), torch.tensor(target))
    found = {name: value.item() for name, value in metrics.compute().items()}
    positive = target == 0
    false, true, _ = sk.roc_curve(positive, scores, drop_intermediate=False)
    stretched = sk.roc_auc_score(~positive, -scores, max_fpr=0.2)
    expected = {
        "average_precision": sk.average_precision_score(positive, scores),
        "partial_auroc": 0.02 + 0.18 * (stretched - 0.5) / 0.5,
        **{
            f"sensitivity_at_{percent}_specificity": true[1 - false >= percent / 100 - 1e-9].max()
            for percent in (80, 90, 95)
        },
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_one_of_two_classes_alone_is_undefined(label: int) -> None:
    metrics = LesionMetrics(("benign", "malignant"), "malignant")
    metrics.update(torch.tensor([[0.2, 0.8], [0.7, 0.3]]), torch.full((2,), label))
    found = metrics.compute()
    for name in ("average_precision", "partial_auroc", "sensitivity_at_90_specificity"):
        assert found[name].isnan()
