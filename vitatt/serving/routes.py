"""The routes of the API."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import Depends, FastAPI, Response

import vitatt
from vitatt.inference.case_in_hand import CaseInHand
from vitatt.inference.images import CaseInput
from vitatt.serving.answering import (
    explanation_answer,
    open_questions_answer,
    prediction_answer,
    what_if_answer,
)
from vitatt.serving.cards import model_card
from vitatt.serving.monitoring import CONTENT_TYPE
from vitatt.serving.questions import Question, body_of, question_of
from vitatt.serving.schemas import (
    Error,
    ExplanationAnswer,
    HeldAnswer,
    ModelsAnswer,
    OpenQuestionsAnswer,
    PredictionAnswer,
    WhatIfAnswers,
)
from vitatt.serving.server import Server

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error} for status in (400, 401, 404, 408, 413, 415, 422, 503)
}
_CASE = ("image", "answers", "model")
_WHY = ("target", "contrast")
_MAP = ("method", "format")


def add_routes(app: FastAPI, server: Server) -> None:
    """Add the routes of the API to an application."""
    _add_facts(app, server)
    _add_questions(app, server)
    _add_cases(app, server)


def _add_facts(app: FastAPI, server: Server) -> None:
    cards = [model_card(one.name, one.predictor) for one in server.models.values()]

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", summary="Whether the server answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", summary="Metrics for Prometheus")
    async def metrics() -> Response:
        return Response(server.monitoring.text(), media_type=CONTENT_TYPE)

    @app.get("/v1/model", summary="Models, their classes and features")
    async def model() -> ModelsAnswer:
        return ModelsAnswer(version=vitatt.__version__, models=cards)


def _add_questions(app: FastAPI, server: Server) -> None:
    in_full = (*_CASE, *_WHY, *_MAP)

    @_post(app, "/v1/predict", "Class probabilities of a case", *_CASE)
    async def predict(
        asked: Question = Depends(question_of(server, *_CASE)),  # noqa: B008 (as FastAPI has it)
    ) -> PredictionAnswer:
        assert asked.image is not None
        found = await asked.served.predict(asked.image, asked.answers)
        return prediction_answer(asked.served.name, found)

    @_post(app, "/v1/explain", "Relevance of image and answers", *in_full)
    async def explain(
        asked: Question = Depends(question_of(server, *in_full)),  # noqa: B008
    ) -> ExplanationAnswer:
        assert asked.image is not None
        return await _explained(asked, asked.image)


def _add_cases(app: FastAPI, server: Server) -> None:
    of_what_if = ("answers", *_WHY)
    of_map = ("answers", "model", *_WHY, *_MAP)
    of_open = ("answers", "model")

    @_post(app, "/v1/cases", "Keep the image of a case in memory, to ask about it again", "image")
    async def hold(
        asked: Question = Depends(question_of(server, "image")),  # noqa: B008
    ) -> HeldAnswer:
        assert asked.image is not None
        held = [
            await served.call(partial(CaseInHand, served.predictor, asked.image))
            for served in server.models.values()
        ]
        return HeldAnswer(case=server.cases.put(held), seconds=server.bounds.case_seconds)

    @_post(
        app,
        "/v1/cases/{case}/what_if",
        "Probabilities and evidence with other answers",
        *of_what_if,
    )
    async def what_if(
        case: str,
        asked: Question = Depends(question_of(server, *of_what_if)),  # noqa: B008
    ) -> WhatIfAnswers:
        answers = []
        for held, served in zip(server.cases.get(case), server.models.values(), strict=True):
            run = partial(what_if_answer, served.name, held, asked)
            answers.append(await served.call(run, urgent=True))
        return WhatIfAnswers(models=answers)

    @_post(app, "/v1/cases/{case}/explain", "Relevance, as /v1/explain, of a kept case", *of_map)
    async def explain_case(
        case: str,
        asked: Question = Depends(question_of(server, *of_map)),  # noqa: B008
    ) -> ExplanationAnswer:
        return await _explained(asked, server.cases.get(case)[0].image)

    @_post(
        app,
        "/v1/cases/{case}/open_questions",
        "Which answers, if known, would change the result most",
        *of_open,
    )
    async def open_questions(
        case: str,
        asked: Question = Depends(question_of(server, *of_open)),  # noqa: B008
    ) -> OpenQuestionsAnswer:
        name = asked.served.name
        held = dict(zip(server.models, server.cases.get(case), strict=True))[name]
        found = await asked.served.call(partial(held.open_questions, asked.answers))
        return open_questions_answer(name, found)

    @app.delete("/v1/cases/{case}", summary="Forget a kept case")
    async def forget(case: str) -> dict[str, str]:
        server.cases.drop(case)
        return {"status": "forgotten"}


def _post(app: FastAPI, path: str, summary: str, *fields: str) -> Callable[..., Any]:
    """Add a route for requests with these fields."""
    return app.post(path, responses=_ERRORS, summary=summary, openapi_extra=body_of(*fields))


async def _explained(asked: Question, image: CaseInput) -> ExplanationAnswer:
    def run() -> ExplanationAnswer:
        found = asked.served.predictor.explain(
            image,
            asked.answers,
            method=asked.method,
            target=asked.target,
            contrast=asked.contrast,
        )
        return explanation_answer(asked.served.name, found, asked.format)

    return await asked.served.call(run)
