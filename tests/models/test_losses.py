from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from vitatt.models.losses import ClassWeights, WeightedLoss, class_weights

COUNTS = (52, 845, 192, 1)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    labels = np.repeat(range(len(COUNTS)), COUNTS)
    expected = compute_class_weight("balanced", classes=np.arange(len(COUNTS)), y=labels)
    assert class_weights(COUNTS, "balanced").tolist() == pytest.approx(expected.tolist())
    roots = class_weights(COUNTS, "sqrt").tolist()
    assert roots == pytest.approx(np.sqrt(expected).tolist())


@pytest.mark.parametrize("beta", [0.9, 0.999])
def test_weights_by_effective_number(beta: float) -> None:
    # E_n = 1 + beta + ... + beta^(n-1)
    raw = [1 / sum(beta**i for i in range(n)) for n in COUNTS]
    expected = [weight * len(COUNTS) / sum(raw) for weight in raw]
    assert class_weights(COUNTS, "effective", beta=beta).tolist() == pytest.approx(expected)


def test_no_weights() -> None:
    weights = class_weights(COUNTS, "none")
    assert weights.dtype == torch.float32
    assert weights.tolist() == [1.0] * 4


@pytest.mark.parametrize("kind", ["balanced", "sqrt", "effective", "none"])
def test_a_class_without_cases(kind: ClassWeights) -> None:
    with pytest.raises(ValueError, match=r"`counts` to be positive, but got \[3, 0\]"):
        class_weights((3, 0), kind)


@pytest.fixture
def predictions() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(12, 4) * 2, torch.randint(0, 4, (12,)), torch.rand(4) + 0.1


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_without_focus_it_is_cross_entropy(predictions, smoothing: float) -> None:
    logits, target, weight = predictions
    theirs = nn.CrossEntropyLoss(weight, label_smoothing=smoothing)(logits, target)
    expected = theirs * weight[target].mean()
    actual = WeightedLoss(weight, label_smoothing=smoothing)(logits, target)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_equal_batches_average_to_the_whole(predictions, gamma: float) -> None:
    logits, target, weight = predictions
    loss = WeightedLoss(weight, gamma=gamma)
    parts = [loss(*part) for part in zip(logits.split(3), target.split(3), strict=True)]
    torch.testing.assert_close(torch.stack(parts).mean(), loss(logits, target))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_is_the_naive_loop(predictions, gamma: float) -> None:
    logits, target, weight = predictions
    total = 0.0
    for row, c in zip(logits.tolist(), target.tolist(), strict=True):
        p = math.exp(row[c]) / sum(math.exp(x) for x in row)
        total += weight[c].item() * (1 - p) ** gamma * -math.log(p)
    actual = WeightedLoss(weight, gamma=gamma)(logits, target).item()
    assert actual == pytest.approx(total / len(target), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradient_is_finite_where_the_model_is_certain(gamma: float) -> None:
    logits = torch.tensor([[60.0, 0.0], [0.0, 200.0]], requires_grad=True)
    loss = WeightedLoss(torch.ones(2), gamma=gamma)
    loss(logits, torch.tensor([0, 0])).backward()
    assert torch.isfinite(logits.grad).all()


def test_arguments_out_of_range() -> None:
    with pytest.raises(ValueError, match="`gamma` to be at least 0, but got -1"):
        WeightedLoss(torch.ones(2), gamma=-1)
    with pytest.raises(ValueError, match="one of `gamma` and `label_smoothing` to be 0"):
        WeightedLoss(torch.ones(2), gamma=2, label_smoothing=0.1)
