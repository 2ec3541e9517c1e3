"""Gradient-boosted trees on the metadata.

Source: Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics
2001; the histogram form of Ke et al., "LightGBM", NeurIPS 2017, as in scikit-learn.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss


class EncodedCases(NamedTuple):
    """Input of a classical model for N cases.

    Attributes:
        metadata: Soft one-hot vectors of all features, concatenated, (N, sum of K_f).
        missing: True where a feature was not observed, (N, F).
        target: Class index of each case, (N,).
    """

    metadata: NDArray[np.float64]
    missing: NDArray[np.bool_]
    target: NDArray[np.int64]


class GradientBoosting:
    """Trees on soft one-hot metadata, with missing features as NaN, which trees split on.

    The number of rounds is the one with the lowest log loss on the validation cases.

    Args:
        cardinalities: K_f of each feature.
        learning_rate: Learning rate of each round.
        max_rounds: Largest number of rounds.
        max_leaf_nodes: Largest number of leaves of a tree.
        seed: Seed that decides ties.
    """

    def __init__(
        self,
        cardinalities: tuple[int, ...],
        *,
        learning_rate: float = 0.05,
        max_rounds: int = 200,
        max_leaf_nodes: int = 8,
        seed: int = 0,
    ) -> None:
        self._owner = np.repeat(np.arange(len(cardinalities)), cardinalities)
        self._settings: dict[str, Any] = {
            "learning_rate": learning_rate,
            "max_leaf_nodes": max_leaf_nodes,
            "min_samples_leaf": 5,
            "l2_regularization": 1.0,
            "class_weight": "balanced",
            "early_stopping": False,
            "random_state": seed,
        }
        self._max_rounds = max_rounds
        self._model: HistGradientBoostingClassifier | None = None

    def fit(self, training: EncodedCases, validation: EncodedCases) -> GradientBoosting:
        """Fit the trees on the training cases, with the number of rounds best on validation.

        Raises:
            ValueError: If a class has no training case.
        """
        table = self._table(training)
        model = HistGradientBoostingClassifier(max_iter=self._max_rounds, **self._settings)
        model.fit(table, training.target)
        stages = model.staged_predict_proba(self._table(validation))
        losses = [log_loss(validation.target, p, labels=model.classes_) for p in stages]
        best = int(np.argmin(losses)) + 1
        model = HistGradientBoostingClassifier(max_iter=best, **self._settings)
        self._model = model.fit(table, training.target)
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
