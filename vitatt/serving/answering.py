"""What models found, as the API answers it."""

from __future__ import annotations

from collections.abc import Sequence

from vitatt.inference.case_in_hand import CaseInHand, OpenQuestion
from vitatt.inference.results import Explanation, Prediction
from vitatt.reports.addresses import overlay_address
from vitatt.serving.questions import Question
from vitatt.serving.schemas import (
    ExplanationAnswer,
    OpenQuestionAnswer,
    OpenQuestionsAnswer,
    PredictionAnswer,
    WhatIfAnswer,
)


def prediction_answer(model: str, found: Prediction) -> PredictionAnswer:
    """Return a prediction of a model by its name."""
    return PredictionAnswer(
        model=model,
        predicted=found.predicted,
        probabilities=dict(found.probabilities),
        missing=list(found.missing),
    )


def what_if_answer(model: str, held: CaseInHand, question: Question) -> WhatIfAnswer:
    """Return the prediction of a model for a case in hand, and the evidence of its answers."""
    prediction = held.predict(question.answers)
    target = question.target or prediction.predicted
    return WhatIfAnswer(
        prediction=prediction_answer(model, prediction),
        target=target,
        contrast=question.contrast,
        evidence=held.evidence(question.answers, target=target, contrast=question.contrast),
    )


def open_questions_answer(model: str, found: Sequence[OpenQuestion]) -> OpenQuestionsAnswer:
    """Return the open questions of a model by its name."""
    return OpenQuestionsAnswer(
        model=model,
        questions=[
            OpenQuestionAnswer(
                feature=one.feature,
                answer=one.answer if isinstance(one.answer, float) else str(one.answer),
                change=one.change,
                predicted=one.prediction.predicted,
                probability=one.prediction.probability,
            )
            for one in found
        ],
    )


def explanation_answer(model: str, found: Explanation, kind: str) -> ExplanationAnswer:
    """Return an explanation of a model by its name.

    Args:
        model: Its name.
        found: The explanation.
        kind: Of the map: numbers or png.
    """
    views: Sequence[str] = found.case.views or ("image",)
    height = found.patches.shape[0] // len(views)
    parts = {
        view: found.patches[number * height : (number + 1) * height]
        for number, view in enumerate(views)
    }
    top = float(found.patches.max()) or 1.0
    numbers = {view: [[float(x) for x in row] for row in one] for view, one in parts.items()}
    return ExplanationAnswer(
        prediction=prediction_answer(model, found.prediction),
        method=found.method,
        target=found.target,
        contrast=found.contrast,
        grid=[height, found.patches.shape[1]],
        maps=numbers if kind == "numbers" else None,
        pictures={view: overlay_address(one, most=top) for view, one in parts.items()}
        if kind == "png"
        else None,
        features={name: float(value) for name, value in found.features.items()},
        image_share=found.image_share,
        view_shares=dict(zip(found.case.views, found.case.view_shares, strict=False)),
    )
