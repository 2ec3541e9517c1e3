"""Relevance of a batch as explained cases: predicted class first, then the true one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitatt.explain.attention.differentiation import differentiable
from vitatt.explain.cases import ExplainedCase
from vitatt.explain.methods import CLASSLESS, TITLES, Method, explain_by
from vitatt.explain.methods.relevance import Relevance
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch, LesionTask


def explain_cases(
    network: LesionNetwork,
    batch: LesionBatch,
    predicted: Tensor,
    task: LesionTask,
    values: Sequence[Sequence[str | None]],
    *,
    methods: Sequence[Method] = ("attention", "tmme"),
) -> list[ExplainedCase]:
    """Explain each case for its predicted class and, where that is wrong, for the true one too.

    The true class costs a pass back in the wrong cases only.

    Args:
        network: Any network the methods apply to.
        batch: Cases, as pixels; targets of -1 are unknown.
        predicted: Predicted class, (B,).
        task: Names of classes and features.
        values: Of each case, the features' values in words; None where missing.
        methods: Maps in this order; the bars are those of the last that tells classes apart.
    """
    wrong = (batch.target >= 0) & (batch.target != predicted)
    cases: list[ExplainedCase | None] = [None] * len(predicted)
    for rows in (wrong, ~wrong):
        numbers = rows.nonzero().flatten().tolist()
        if not numbers:
            continue
        part = batch.cases(numbers)
        classes = [predicted[numbers], part.target][: 2 if rows is wrong else 1]
        by_method = explain_by(network, part, torch.stack(classes, dim=1), methods=methods)
        found = {method: by_method[method] for method in methods}
        logits = _logits(network, part, found)
        for place, number in enumerate(numbers):
            cases[number] = _case(part, found, logits, place, classes, task, values[number])
    return [case for case in cases if case is not None]


def _logits(
    network: LesionNetwork, batch: LesionBatch, found: Mapping[Method, Relevance]
) -> Tensor:
    """Of a method that ran the network, (B, C), or of a pass of its own."""
    for relevance in found.values():
        if not relevance.logits.isnan().all():  # random relevance has none
            return relevance.logits
    with differentiable(network) as function, torch.no_grad():
        return function(batch).logits


def _case(
    batch: LesionBatch,
    found: Mapping[Method, Relevance],
    logits: Tensor,
    place: int,
    explained: Sequence[Tensor],
    task: LesionTask,
    values: Sequence[str | None],
) -> ExplainedCase:
    names = [task.classes[int(of_class[place])] for of_class in explained]
    verdicts = [f"predicted {names[0]}", *(f"true {name}" for name in names[1:])]
    maps: dict[str, NDArray[np.float32]] = {}
    map_features: dict[str, NDArray[np.float32]] = {}
    for method, relevance in found.items():
        for number, verdict in enumerate(verdicts[:1] if method in CLASSLESS else verdicts):
            title = TITLES[method] + ("" if method in CLASSLESS else f": {verdict}")
            maps[title] = relevance.patches[place, number].cpu().numpy()
            map_features[title] = relevance.features[place, number].cpu().numpy()
    telling = [method for method in found if method not in CLASSLESS] or list(found)
    main = found[telling[-1]]
    features = main.features[place].cpu().numpy()
    count = features.shape[1]
    labels: list[str] = [feature.label for feature in task.features]
    missing = batch.missing[place].tolist()
    words = [None if absent else value for value, absent in zip(values, missing, strict=True)]
    if count != len(labels):  # all features share one token, or the network sees none
        together: str | None = f"{len(labels)} features in one token"
        labels, words = ["all metadata"] * count, [together] * count
    share = float(main.image_share[place, 0])
    target = int(batch.target[place])
    return ExplainedCase(
        case_id=batch.case_id[place],
        image=batch.pixels[place].permute(1, 2, 0).cpu().numpy(),
        maps=maps,
        probabilities=dict(
            zip(task.classes, logits[place].float().softmax(-1).tolist(), strict=True)
        ),
        predicted=names[0],
        true_class=task.classes[target] if target >= 0 else None,
        feature_labels=labels,
        feature_values=words,
        feature_relevance=dict(zip(verdicts, features, strict=True)) if count else None,
        map_features=map_features,
        image_share=share if count and not math.isnan(share) else None,
    )
