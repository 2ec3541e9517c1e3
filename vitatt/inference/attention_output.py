"""Explanation by the attention that an exported model has among its outputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vitatt.data.metadata.encoding import Value
from vitatt.explain.cases import case_pixels
from vitatt.inference.arrays import CaseArrays
from vitatt.inference.explanation import make_explanation
from vitatt.inference.onnx_models import OnnxModel
from vitatt.inference.results import Explanation, Prediction
from vitatt.types import UsageError
from vitatt.words import require_known


def explain_by_attention(
    model: OnnxModel,
    case: CaseArrays,
    row: Mapping[str, Value],
    prediction: Prediction,
    *,
    method: str,
    target: str | None,
    contrast: str | None,
) -> Explanation:
    """Return the attention of the class token in the last layer, mean over the heads.

    Args:
        model: An exported model.
        case: The case alone.
        row: Values of its features by column.
        prediction: Of the case.
        method: Must be ``attention``: an exported model has no gradients.
        target: Class that the explanation names; by default the predicted one.
        contrast: Must be None: attention is the same for every class.

    Raises:
        UsageError: If another method or a contrast is asked for, the model has no attention, or
            there is no such class.
    """
    if method != "attention" or contrast is not None:
        asked = f"method '{method}'" + (" and a contrast" if contrast is not None else "")
        raise UsageError(
            f"{model.path} holds an exported model, which is explained by method='attention' "
            f"alone, but got {asked}: it has no gradients. Load the checkpoint that it was made "
            "from, such as Predictor.load('best.ckpt'), or its export of the format safetensors."
        )
    if model.grid_size is None:
        raise UsageError(
            f"The network in {model.path} has no attention layer, and its export no gradients: "
            "load the checkpoint that it was made from to explain it."
        )
    classes = model.task.classes
    explained = prediction.predicted if target is None else target
    require_known("target", explained, classes)
    found = model.outputs(case)
    absent = [] if case.absent is None else case.absent[0].tolist()
    return make_explanation(
        model.task,
        prediction,
        row,
        name=case.names[0],
        image=case_pixels(case.pixels[0].transpose(1, 2, 0), absent),
        missing=case.missing[0].tolist(),
        method=method,
        title="attention",
        class_specific=False,
        target=explained,
        contrast=None,
        patches=found["attention_patches"][0].reshape(model.grid_size),
        features=found.get("attention_metadata", np.zeros((1, 0), np.float32))[0],
    )
