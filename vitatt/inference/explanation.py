"""An `Explanation` from relevance as arrays; PyTorch is not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitatt.data.metadata.encoding import Value, describe_values
from vitatt.explain.cases import ExplainedCase
from vitatt.inference.results import Explanation, Prediction
from vitatt.types import LesionTask


def make_explanation(
    task: LesionTask,
    prediction: Prediction,
    row: Mapping[str, Value],
    *,
    name: str,
    image: NDArray[np.uint8],
    missing: Sequence[bool],
    method: str,
    title: str,
    class_specific: bool,
    target: str,
    contrast: str | None,
    patches: NDArray[np.floating[Any]],
    features: NDArray[np.floating[Any]],
) -> Explanation:
    """Return the explanation of one prediction.

    Args:
        task: Of the model.
        prediction: Of the case.
        row: Values of its features by column.
        name: Of the case.
        image: Pixels for people, (V H, W, 3).
        missing: Whether each feature counts as missing.
        method: Name of the method.
        title: Its title.
        class_specific: Whether its relevance depends on the class.
        target: Class that is explained.
        contrast: Class that it is contrasted with, if any.
        patches: Relevance (h, w), not negative.
        features: Relevance (F,), not negative; (1,) if the features share a token, (0,) without
            metadata.
    """
    columns = [feature.name for feature in task.features]
    labels = [feature.label for feature in task.features]
    texts = describe_values(dict(row), task.features)
    values = [None if absent else text for text, absent in zip(texts, missing, strict=True)]
    if len(features) != len(columns):  # the features share a token, or the network has none
        together: list[str | None] = [f"{len(columns)} features in one token"]
        columns = labels = ["all metadata"][: len(features)]
        values = together[: len(features)]
    total = float(patches.sum() + features.sum())
    known = len(features) > 0 and total != 0
    of_views = patches.reshape(len(task.views) or 1, -1).sum(axis=1)
    words = f"predicted {target}" if target == prediction.predicted else target
    words += f", not {contrast}" if contrast is not None else ""
    shown = f"{title}: {words}" if class_specific else title
    share = float(patches.sum() / total) if known else None
    return Explanation(
        prediction,
        method,
        target,
        contrast,
        patches,
        dict(zip(columns, features.tolist(), strict=True)),
        share,
        ExplainedCase(
            case_id=name,
            image=image,
            maps={shown: patches},
            probabilities=prediction.probabilities,
            predicted=prediction.predicted,
            feature_labels=labels,
            feature_values=values,
            feature_relevance={words: features} if len(features) else None,
            map_features={shown: features},
            image_share=share,
            views=task.views,
            view_shares=(of_views / total).tolist() if known and task.views else (),
        ),
    )
