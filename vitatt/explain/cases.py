"""One explained case: NumPy arrays and text, for figures and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_IMAGE_ENDINGS = {".png", ".jpg", ".jpeg"}
_ABSENT = 235


@dataclass(frozen=True, eq=False)
class ExplainedCase:
    """A case with its prediction and the relevance of its image and metadata.

    Attributes:
        case_id: Published name.
        image: Pixels (H, W, 3) uint8, RGB; those of several views lie one below the other.
        maps: Relevance (h, w) of the image by title, such as ``TMME: predicted BCC``.
        probabilities: Of each class by its name, in the order of the logits; they sum to 1.
        true_class: Name of the diagnosis; None where it is unknown.
        feature_labels: Names of the F metadata features; empty for a model without metadata.
        feature_values: The patient's own values with their units; None where not recorded.
        feature_relevance: Relevance (F,) by title, such as ``predicted BCC``; at most two.
        map_features: Relevance (F,) of the features for each map, by its title.
        image_share: Share of the image in all relevance, in [0, 1], for the first title; the rest
            is of the metadata. None where it is not defined.
        predicted: Name of the predicted class; by default the one of the highest probability.
        views: Names of the views, from top to bottom; empty if the case is one image.
        view_shares: Share of each view in all relevance, for the first title; they sum to
            `image_share`. Empty where it is not defined.
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
    views: Sequence[str] = ()
    view_shares: Sequence[float] = ()

    @property
    def num_views(self) -> int:
        """Number of images."""
        return max(1, len(self.views))

    @property
    def predicted_class(self) -> str:
        """Name of the predicted class."""
        return self.predicted or max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def probability(self) -> float:
        """Probability of the predicted class, in [0, 1]."""
        return self.probabilities[self.predicted_class]


def figure_names(case_ids: Sequence[str]) -> list[str]:
    """Return a name for the files of each case: its id without folder and ending of an image.

    Args:
        case_ids: Published names, all different.

    Returns:
        Names without ending, all different: where two would be alike, the later one has a number.
    """
    names: dict[str, None] = {}
    for case_id in case_ids:
        path = Path(case_id)
        plain = path.stem if path.suffix.lower() in _IMAGE_ENDINGS else path.name
        name, number = plain, 2
        while name in names:
            name, number = f"{plain}-{number}", number + 1
        names[name] = None
    return list(names)


def case_pixels(image: NDArray[np.uint8], absent: Sequence[bool]) -> NDArray[np.uint8]:
    """Return pixels (V H, W, 3) for people, in which an absent view is light grey."""
    shown = image.reshape(max(1, len(absent)), -1, *image.shape[1:]).copy()
    for view, is_absent in enumerate(absent):
        if is_absent:
            shown[view] = _ABSENT
    return shown.reshape(image.shape)
