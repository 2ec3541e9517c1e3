"""Multinomial logistic regression with its regularisation chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline

_FOLDS = 5


class TunedRegression:
    """Logistic regression with balanced class weights on a transformed table.

    The settings with the lowest log loss in folds that do not divide groups are chosen.

    Args:
        transform: scikit-learn transformer of the table.
        strengths: Values of `C`, the inverse of the regularisation.
        settings: Values of the transformer's parameters to choose from, by name.
        seed: Seed of the folds.
    """

    def __init__(
        self,
        transform: TransformerMixin,
        *,
        strengths: Sequence[float],
        settings: Mapping[str, Sequence[Any]] | None = None,
        seed: int = 0,
    ) -> None:
        classifier = LogisticRegression(class_weight="balanced", max_iter=2000)
        self._pipeline = Pipeline([("transform", transform), ("classify", classifier)])
        self._grid = {"classify__C": list(strengths)}
        for name, values in (settings or {}).items():
            self._grid[f"transform__{name}"] = list(values)
        self._folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
        self._model: GridSearchCV | None = None

    def fit(
        self,
        table: NDArray[np.float64],
        target: NDArray[np.int64],
        groups: NDArray[np.object_],
    ) -> NDArray[np.float64]:
        """Choose the settings and fit on all cases.

        Args:
            table: (N, columns).
            target: Class index of each case, (N,).
            groups: Group of each case, (N,).

        Returns:
            Out-of-fold probabilities of these cases with the chosen settings, (N, C), for
            calibration.
        """
        folds = list(self._folds.split(table, target, groups))
        # All classes are named, because a fold may lack some of them.
        scoring = make_scorer(
            log_loss,
            response_method="predict_proba",
            greater_is_better=False,
            labels=np.unique(target),
        )
        self._model = GridSearchCV(self._pipeline, self._grid, scoring=scoring, cv=folds)
        self._model.fit(table, target)
        held_out: NDArray[np.float64] = cross_val_predict(
            self._model.best_estimator_, table, target, cv=folds, method="predict_proba"
        )
        return held_out

    def predict(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Class probabilities (N, C) of a table (N, columns).

        Raises:
            ValueError: If the model was not fitted.
        """
        if self._model is None:
            raise ValueError("Expected a fitted model: call `fit` first.")
        probabilities: NDArray[np.float64] = self._model.predict_proba(table)
        return probabilities
