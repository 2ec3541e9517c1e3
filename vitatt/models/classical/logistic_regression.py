"""Logistic regression on the features of a frozen encoder and on the metadata.

Source: Cox, "The regression analysis of binary sequences", Journal of the Royal Statistical Society
B 1958; on the features of a frozen network a linear probe, Alain and Bengio, "Understanding
intermediate layers using linear classifier probes", ICLR 2017 workshop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import StandardScaler

from vitatt.models.classical.encoded_cases import EncodedCases
from vitatt.models.classical.tuned_regression import TunedRegression

_STRENGTHS = (0.03, 0.1, 0.3, 1.0)
_IMAGE_SCALES = (0.125, 0.25, 0.5)


class FeatureRegression:
    """Logistic regression on image features, soft one-hot metadata and the missing mask.

    Image features are standardised and then multiplied by a factor, so that some hundreds of them
    are not regularised less than a few metadata columns. A missing feature is all zeros, besides
    its mark. Strength and factor are chosen in folds of the cases to fit on.

    Args:
        cardinalities: K_f of each metadata feature; empty for none.
        num_image: Number of image features E; 0 for none.
        seed: Seed of these folds.
    """

    def __init__(self, cardinalities: tuple[int, ...], num_image: int, *, seed: int = 0) -> None:
        self._owner = np.repeat(np.arange(len(cardinalities)), cardinalities)
        parts = [("image", StandardScaler(), slice(0, num_image))] if num_image else []
        transform = ColumnTransformer(parts, remainder="passthrough")
        weights = [{"image": scale} for scale in _IMAGE_SCALES] if num_image else [None]
        self._model = TunedRegression(
            transform, strengths=_STRENGTHS, settings={"transformer_weights": weights}, seed=seed
        )

    def fit(self, cases: EncodedCases, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fit on cases and their image features (N, E).

        Returns:
            Out-of-fold probabilities of these cases, (N, C), for calibration.
        """
        return self._model.fit(self._table(cases, image), cases.target, cases.group)

    def predict(self, cases: EncodedCases, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Class probabilities (N, C).

        Raises:
            ValueError: If the model was not fitted.
        """
        return self._model.predict(self._table(cases, image))

    def _table(self, cases: EncodedCases, image: NDArray[np.float64]) -> NDArray[np.float64]:
        known = np.where(cases.missing[:, self._owner], 0.0, cases.metadata)
        return np.column_stack([image, known, cases.missing])
