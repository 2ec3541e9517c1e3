"""Explanation of one prediction by any method, for any class or a contrast of two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from vitatt.data.metadata.encoding import Value, describe_values
from vitatt.explain.cases import ExplainedCase
from vitatt.explain.explain_cases import shown_pixels
from vitatt.explain.methods import METHODS, check_methods, explain
from vitatt.inference.contrast import ContrastNetwork
from vitatt.inference.results import Explanation, Prediction
from vitatt.models.build import TrainedNetwork
from vitatt.types import LesionBatch, UsageError, class_index
from vitatt.words import did_you_mean


def explain_case(
    model: TrainedNetwork,
    batch: LesionBatch,
    row: Mapping[str, Value],
    prediction: Prediction,
    *,
    method: str,
    target: str | None,
    contrast: str | None,
) -> Explanation:
    """Return the explanation of a prediction, see `Predictor.explain`.

    Args:
        model: The model, on the device of the batch.
        batch: The case alone, as pixels.
        row: Values of its features by column.
        prediction: Of the case.
        method: Name of the method.
        target: Class to explain; by default the predicted one.
        contrast: Class to contrast it with.

    Raises:
        UsageError: If method or class is unknown, the method does not apply to the network, or
            there is no contrast of the two classes by it.
    """
    classes, network = model.task.classes, model.network
    _require_known("method", method, list(METHODS))
    check_methods(network, [method])
    explained = prediction.predicted if target is None else target
    _require_known("target", explained, classes)
    if contrast is not None:
        _require_known("contrast", contrast, classes)
        _check_contrast(method, explained, contrast)
        network = ContrastNetwork(network, class_index(classes)[contrast])
    index = torch.tensor([[class_index(classes)[explained]]], device=batch.metadata.device)
    relevance = explain(network, batch, index, method=method)
    patches = relevance.patches[0, 0].cpu().numpy()
    features = relevance.features[0, 0].cpu().numpy()
    columns = [feature.name for feature in model.task.features]
    labels = [feature.label for feature in model.task.features]
    missing = batch.missing[0].tolist()
    texts = describe_values(dict(row), model.task.features)
    values = [None if absent else text for text, absent in zip(texts, missing, strict=True)]
    if len(features) != len(columns):  # the features share a token, or the network has none
        together: list[str | None] = [f"{len(columns)} features in one token"]
        columns = labels = ["all metadata"][: len(features)]
        values = together[: len(features)]
    share: float | None = float(relevance.image_share[0, 0])
    if math.isnan(relevance.image_share[0, 0]) or not len(features):
        share = None
    words = f"predicted {explained}" if explained == prediction.predicted else explained
    words += f", not {contrast}" if contrast is not None else ""
    title = METHODS[method].title + (f": {words}" if METHODS[method].class_specific else "")
    return Explanation(
        prediction,
        method,
        explained,
        contrast,
        patches,
        dict(zip(columns, features.tolist(), strict=True)),
        share,
        ExplainedCase(
            case_id=batch.case_id[0],
            image=shown_pixels(batch, 0),
            maps={title: patches},
            probabilities=prediction.probabilities,
            predicted=prediction.predicted,
            feature_labels=labels,
            feature_values=values,
            feature_relevance={words: features} if len(features) else None,
            map_features={title: features},
            image_share=share,
            views=model.task.views,
            view_shares=()
            if share is None
            else relevance.view_shares(len(model.task.views))[0, 0].tolist(),
        ),
    )


def _require_known(argument: str, given: object, known: Sequence[str]) -> None:
    if given not in known:
        raise UsageError(
            f"Expected argument `{argument}` to be among {', '.join(known)}, but got {given!r}."
            f"{did_you_mean(str(given), known)}"
        )


def _check_contrast(method: str, target: str, contrast: str) -> None:
    if not METHODS[method].class_specific:
        others = [name for name, other in METHODS.items() if other.class_specific]
        raise UsageError(
            f"{METHODS[method].title} is the same for every class, so that it cannot contrast two. "
            f"Methods that can: {', '.join(others)}."
        )
    if contrast == target:
        raise UsageError(
            f"Expected argument `contrast` to be another class than the one explained, but both "
            f"are {target}."
        )
