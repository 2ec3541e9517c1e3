"""Stacking: a classifier on the probabilities of an image network and on the metadata.

Source: the second stage of Tang et al., "FusionM4Net: a multi-stage multi-modal learning algorithm
for multi-label skin lesion classification", Medical Image Analysis 2022, with multinomial logistic
regression instead of support vector machines. Stacking: Wolpert, "Stacked generalization", Neural
Networks 1992.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vitatt.models.classical.gradient_boosting import EncodedCases

_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)


class TwoStage:
    """Logistic regression on log-probabilities of the first stage, soft one-hots and missing mask.

    The probabilities to fit on must be out-of-fold predictions of the first stage. On its own
    training cases it is more accurate than on new ones, so that the second stage would give its
    probabilities too much weight.

    Args:
        seed: Seed of the folds in which the regularisation strength is chosen.
        folds: Number of these folds, which do not divide groups.
    """

    def __init__(self, *, seed: int = 0, folds: int = 5) -> None:
        self._folds = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        self._model: GridSearchCV | None = None

    def fit(
        self,
        cases: EncodedCases,
        probabilities: NDArray[np.float64],
        groups: NDArray[np.object_],
    ) -> NDArray[np.float64]:
        """Fit on out-of-fold probabilities (N, C).

        Returns:
            Out-of-fold probabilities of the second stage for these cases, (N, C), for calibration.
        """
        table, target = _table(cases, probabilities), cases.target
        folds = list(self._folds.split(table, target, groups))
        classifier = LogisticRegression(class_weight="balanced", max_iter=2000)
        self._model = GridSearchCV(
            make_pipeline(StandardScaler(), classifier),
            {"logisticregression__C": _STRENGTHS},
            # All classes are named, because a fold may lack some of them.
            scoring=make_scorer(
                log_loss,
                response_method="predict_proba",
                greater_is_better=False,
                labels=np.unique(target),
            ),
            cv=folds,
        ).fit(table, target)
        held_out: NDArray[np.float64] = cross_val_predict(
            self._model.best_estimator_, table, target, cv=folds, method="predict_proba"
        )
        return held_out

    def predict(
        self, cases: EncodedCases, probabilities: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Class probabilities (N, C) from those of the first stage, (N, C).

        Raises:
            ValueError: If the model was not fitted.
        """
        if self._model is None:
            raise ValueError("Expected a fitted model: call `fit` first.")
        result: NDArray[np.float64] = self._model.predict_proba(_table(cases, probabilities))
        return result


def _table(cases: EncodedCases, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.log(probabilities.clip(1e-6)), cases.metadata, cases.missing])
