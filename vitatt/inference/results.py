"""Predictions and explanations of one case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:  # beside modules that import PyTorch
    from vitatt.explain.cases import ExplainedCase


@dataclass(frozen=True)
class Prediction:
    """Class probabilities of a case.

    Attributes:
        probabilities: Of each class by its name, in the order of the logits; they sum to 1.
        missing: Features that a model would use but that count as missing: no answer was given, or
            one that its training did not see.
    """

    probabilities: Mapping[str, float]
    missing: tuple[str, ...] = ()

    @property
    def predicted(self) -> str:
        """Name of the class with the highest probability."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def probability(self) -> float:
        """Probability of the predicted class, in [0, 1]."""
        return self.probabilities[self.predicted]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Relevance of image patches and features to a class, or to one class rather than another.

    Attributes:
        prediction: Of the same case.
        method: Name of the explanation method.
        target: Class that is explained.
        contrast: Class that it is contrasted with, if any.
        patches: Relevance (h, w) of the image on the grid of the patches, not negative.
        features: Relevance of each feature by its column, not negative; 0 where it is missing. One
            entry, ``all metadata``, if the features share a token; empty without metadata.
        image_share: Share of the image in all relevance, in [0, 1]; None where it is not defined.
        case: The case as figures and reports show it.
    """

    prediction: Prediction
    method: str
    target: str
    contrast: str | None
    patches: NDArray[np.floating[Any]]
    features: Mapping[str, float]
    image_share: float | None
    case: ExplainedCase

    def figure(self) -> Image.Image:
        """Return the case in one figure: image, relevance on it, and a bar for each feature."""
        from vitatt.plotting.case import case_figure  # imports Matplotlib

        return Image.fromarray(case_figure(self.case))
