"""Gradient-boosted trees on the metadata.

Source: Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics
2001; the histogram form of Ke et al., "LightGBM", NeurIPS 2017, as in scikit-learn.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss

from vitatt.models.classical.encoded_cases import EncodedCases

_LEARNING_RATES = (0.03, 0.1)
_LEAF_NODES = (4, 8, 16)


class GradientBoosting:
    """Trees on soft one-hot metadata, with missing features as NaN, which trees split on.

    Learning rate, number of leaves and number of rounds are those with the lowest log loss on the
    validation cases.

    Args:
        cardinalities: K_f of each feature.
        max_rounds: Largest number of rounds.
        seed: Seed that decides ties.
    """

    def __init__(
        self,
        cardinalities: tuple[int, ...],
        *,
        max_rounds: int = 300,
        seed: int = 0,
    ) -> None:
        self._owner = np.repeat(np.arange(len(cardinalities)), cardinalities)
        self._settings: dict[str, Any] = {
            "min_samples_leaf": 5,
            "l2_regularization": 1.0,
            "class_weight": "balanced",
            "early_stopping": False,
            "random_state": seed,
        }
        self._max_rounds = max_rounds
        self._model: HistGradientBoostingClassifier | None = None

    def fit(self, training: EncodedCases, validation: EncodedCases) -> GradientBoosting:
        """Fit the trees on the training cases, with the settings that are best on validation.

        Raises:
            ValueError: If a class has no training case.
        """
        table, unseen = self._table(training), self._table(validation)
        tried = []
        for rate, leaves in product(_LEARNING_RATES, _LEAF_NODES):
            settings = {"learning_rate": rate, "max_leaf_nodes": leaves, **self._settings}
            model = HistGradientBoostingClassifier(max_iter=self._max_rounds, **settings)
            model.fit(table, training.target)
            losses = [
                log_loss(validation.target, probabilities, labels=model.classes_)
                for probabilities in model.staged_predict_proba(unseen)
            ]
            tried.append((min(losses), {"max_iter": int(np.argmin(losses)) + 1, **settings}))
        best = min(tried, key=lambda one: one[0])[1]
        self._model = HistGradientBoostingClassifier(**best).fit(table, training.target)
        return self

    def predict(self, cases: EncodedCases) -> NDArray[np.float64]:
        """Class probabilities (N, C).

        Raises:
            ValueError: If the model was not fitted.
        """
        if self._model is None:
            raise ValueError("Expected a fitted model: call `fit` first.")
        probabilities: NDArray[np.float64] = self._model.predict_proba(self._table(cases))
        return probabilities

    def _table(self, cases: EncodedCases) -> NDArray[np.float64]:
        return np.where(cases.missing[:, self._owner], np.nan, cases.metadata)
