"""Explained cases from a batch: relevance for the predicted class and for the true class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitatt.explain.attention.differentiation import differentiable
from vitatt.explain.cases import ExplainedCase, case_pixels
from vitatt.explain.methods import METHODS, explain_by
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
    methods: Sequence[str] = ("attention", "tmme"),
) -> list[ExplainedCase]:
    """Explain each case for its predicted class and, if that is wrong, for the true class too.

    Args:
        network: Any network the methods apply to.
        batch: Cases, as pixels; targets of -1 are unknown.
        predicted: Predicted class, (B,).
        task: Names of classes and features.
        values: For each case, the values of its features as text; None where missing.
        methods: Order of the maps. The feature relevance is that of the last class-specific method.
    """
    wrong = (batch.target >= 0) & (batch.target != predicted)
    cases: list[ExplainedCase | None] = [None] * len(predicted)
    # Wrong cases apart from the others, which need no backward pass for the true class.
    for rows in (wrong, ~wrong):
        numbers = rows.nonzero().flatten().tolist()
        if not numbers:
            continue
        part = batch.cases(numbers)
        classes = [predicted[numbers], part.target][: 2 if rows is wrong else 1]
        explained = _explain(network, part, torch.stack(classes, dim=1), methods)
        for place, number in enumerate(numbers):
            cases[number] = _case(explained, place, task, values[number])
    return [case for case in cases if case is not None]


class _Explained(NamedTuple):
    """Relevance of a batch for the same number of classes in each case.

    Attributes:
        batch: The cases.
        classes: Explained classes, (B, K): the predicted class and, if K is 2, the true one.
        relevance: By method, in the order of the maps.
        probabilities: (B, C).
    """

    batch: LesionBatch
    classes: Tensor
    relevance: Mapping[str, Relevance]
    probabilities: Tensor


def _explain(
    network: LesionNetwork, batch: LesionBatch, classes: Tensor, methods: Sequence[str]
) -> _Explained:
    by_method = explain_by(network, batch, classes, methods=methods)
    relevance = {method: by_method[method] for method in methods}
    probabilities = _logits(network, batch, relevance).float().softmax(-1)
    return _Explained(batch, classes, relevance, probabilities)


def _logits(
    network: LesionNetwork, batch: LesionBatch, relevance: Mapping[str, Relevance]
) -> Tensor:
    """Logits (B, C) of a method that ran the network, else of a forward pass."""
    for one in relevance.values():
        if not one.logits.isnan().all():  # random relevance has none
            return one.logits
    with differentiable(network) as function, torch.no_grad():
        return function(batch).logits


def _case(
    explained: _Explained, place: int, task: LesionTask, values: Sequence[str | None]
) -> ExplainedCase:
    """The case at one place of the batch."""
    batch = explained.batch
    verdicts = _verdicts(explained.classes[place], task)
    main = explained.relevance[_main_method(explained.relevance)]
    features = main.features[place].cpu().numpy()
    count = features.shape[1]
    labels, words = _labelled(task, values, batch.missing[place].tolist(), count)
    share = float(main.image_share[place, 0])
    target = int(batch.target[place])
    probabilities = explained.probabilities[place].tolist()
    maps = _maps(explained.relevance, place, verdicts)
    return ExplainedCase(
        case_id=batch.case_id[place],
        image=shown_pixels(batch, place),
        maps={title: patches for title, (patches, _) in maps.items()},
        probabilities=dict(zip(task.classes, probabilities, strict=True)),
        predicted=task.classes[int(explained.classes[place, 0])],
        true_class=task.classes[target] if target >= 0 else None,
        feature_labels=labels,
        feature_values=words,
        feature_relevance=dict(zip(verdicts, features, strict=True)) if count else None,
        map_features={title: of_features for title, (_, of_features) in maps.items()},
        image_share=share if count and not math.isnan(share) else None,
        views=task.views,
        view_shares=main.view_shares(len(task.views))[place, 0].tolist() if count else (),
    )


def shown_pixels(batch: LesionBatch, place: int) -> NDArray[np.uint8]:
    """Pixels of a case of a batch for people, see `case_pixels`."""
    absent = [] if batch.image.absent is None else batch.image.absent[place].tolist()
    return case_pixels(batch.pixels[place].permute(1, 2, 0).cpu().numpy(), absent)


def _verdicts(classes: Tensor, task: LesionTask) -> list[str]:
    """Titles of the explained classes of a case, such as ``predicted BCC``."""
    names = [task.classes[label] for label in classes.tolist()]
    return [f"predicted {names[0]}", *(f"true {name}" for name in names[1:])]


def _main_method(methods: Mapping[str, Relevance]) -> str:
    """The last class-specific method, else the last one."""
    class_specific = [method for method in methods if METHODS[method].class_specific]
    return (class_specific or list(methods))[-1]


def _maps(
    relevance: Mapping[str, Relevance], place: int, verdicts: Sequence[str]
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Relevance of patches (h, w) and of features (F,) by title, such as ``TMME: true MEL``."""
    maps = {}
    for method, one in relevance.items():
        specific = METHODS[method].class_specific
        for number, verdict in enumerate(verdicts if specific else verdicts[:1]):
            title = METHODS[method].title + (f": {verdict}" if specific else "")
            patches, features = one.patches[place, number], one.features[place, number]
            maps[title] = (patches.cpu().numpy(), features.cpu().numpy())
    return maps


def _labelled(
    task: LesionTask, values: Sequence[str | None], missing: Sequence[bool], tokens: int
) -> tuple[list[str], list[str | None]]:
    """Label and value of each metadata token; a token that holds all features has one of each."""
    labels: list[str] = [feature.label for feature in task.features]
    words = [None if absent else value for value, absent in zip(values, missing, strict=True)]
    if tokens == len(labels):
        return labels, words
    together: str | None = f"{len(labels)} features in one token"
    return ["all metadata"] * tokens, [together] * tokens
