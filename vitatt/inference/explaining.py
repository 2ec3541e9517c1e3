"""Explanation of one prediction by any method, for any class or a contrast of two."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from vitatt.data.metadata.encoding import Value
from vitatt.explain.explain_cases import shown_pixels
from vitatt.explain.methods import METHODS, check_methods, explain
from vitatt.inference.contrast import ContrastNetwork
from vitatt.inference.explanation import make_explanation
from vitatt.inference.results import Explanation, Prediction
from vitatt.models.build import TrainedNetwork
from vitatt.types import LesionBatch, UsageError, class_index
from vitatt.words import require_known


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
    require_known("method", method, list(METHODS))
    check_methods(network, [method])
    explained = prediction.predicted if target is None else target
    require_known("target", explained, classes)
    if contrast is not None:
        require_known("contrast", contrast, classes)
        _check_contrast(method, explained, contrast)
        network = ContrastNetwork(network, class_index(classes)[contrast])
    index = torch.tensor([[class_index(classes)[explained]]], device=batch.metadata.device)
    relevance = explain(network, batch, index, method=method)
    return make_explanation(
        model.task,
        prediction,
        row,
        name=batch.case_id[0],
        image=shown_pixels(batch, 0),
        missing=batch.missing[0].tolist(),
        method=method,
        title=METHODS[method].title,
        class_specific=METHODS[method].class_specific,
        target=explained,
        contrast=contrast,
        patches=relevance.patches[0, 0].cpu().numpy(),
        features=relevance.features[0, 0].cpu().numpy(),
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
