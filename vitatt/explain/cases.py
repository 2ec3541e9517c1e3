"""One explained case, as figures and reports need it: no tensors, no model, no dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_IMAGE_ENDINGS = {".png", ".jpg", ".jpeg"}


@dataclass(frozen=True, eq=False)
class ExplainedCase:
    """Everything to show of one case.

    Attributes:
        case_id: Published name.
        image: Pixels (H, W, 3) uint8, RGB.
        maps: Relevance (h, w) of the image by title, such as ``TMME: predicted BCC``.
        probabilities: Of each class by its name, in the order of the logits; they sum to 1.
        true_class: Name of the diagnosis; None where it is unknown.
        feature_labels: Names of the F metadata features; empty for a model without metadata.
        feature_values: The patient's own values with their units; None where not recorded.
        feature_relevance: Relevance (F,) by title, such as ``predicted BCC``; at most two;
            features are shown in the order of their larger share.
        map_features: Relevance (F,) of the features that goes with each map, by its title.
        predicted: Name of the predicted class; by default the one of the highest probability.
        image_share: Image part of all relevance, in [0, 1], for the first title; the metadata has
            the rest. None where it is not defined.
    """

    case_id: str
    image: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.floating[Any]]]
    probabilities: Mapping[str, float]
    true_class: str | None = None
    feature_labels: Sequence[str] = ()
    feature_values: Sequence[str | None] = ()
    feature_relevance: Mapping[str, NDArray[np.floating[Any]]] | None = None
    map_features: Mapping[str, NDArray[np.floating[Any]]] | None = None
    image_share: float | None = None
    predicted: str | None = None

    @property
    def predicted_class(self) -> str:
        """Name of the class that the maps call predicted."""
        return self.predicted or max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def figure_name(self) -> str:
        """Its published name without the ending of an image file, to name figures by."""
        path = Path(self.case_id)
        return path.stem if path.suffix.lower() in _IMAGE_ENDINGS else path.name

    @property
    def probability(self) -> float:
        """Probability of the predicted class, in [0, 1]."""
        return self.probabilities[self.predicted_class]
