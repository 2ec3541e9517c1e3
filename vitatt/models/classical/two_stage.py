"""Stacking: a classifier on the probabilities of an image network and on the metadata.

Source: the second stage of Tang et al., "FusionM4Net: a multi-stage multi-modal learning algorithm
for multi-label skin lesion classification", Medical Image Analysis 2022, with multinomial logistic
regression instead of support vector machines. Stacking: Wolpert, "Stacked generalization", Neural
Networks 1992.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from vitatt.models.classical.encoded_cases import EncodedCases
from vitatt.models.classical.tuned_regression import TunedRegression

_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)


class TwoStage:
    """Logistic regression on log-probabilities of the first stage, soft one-hots and missing mask.

    The probabilities to fit on must be out-of-fold predictions of the first stage. On its own
    training cases it is more accurate than on new ones, so that the second stage would give its
    probabilities too much weight.

    Args:
        seed: Seed of the folds in which the regularisation strength is chosen.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._model = TunedRegression(StandardScaler(), strengths=_STRENGTHS, seed=seed)

    def fit(self, cases: EncodedCases, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fit on out-of-fold probabilities (N, C).

        Returns:
            Out-of-fold probabilities of the second stage for these cases, (N, C), for calibration.
        """
        return self._model.fit(_table(cases, probabilities), cases.target, cases.group)

    def predict(
        self, cases: EncodedCases, probabilities: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Class probabilities (N, C) from those of the first stage, (N, C).

        Raises:
            ValueError: If the model was not fitted.
        """
        return self._model.predict(_table(cases, probabilities))


def _table(cases: EncodedCases, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.log(probabilities.clip(1e-6)), cases.metadata, cases.missing])
