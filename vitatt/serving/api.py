"""The HTTP API of trained models."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response

import vitatt
from vitatt.inference.case_in_hand import CaseInHand
from vitatt.inference.predictor import Predictor
from vitatt.inference.results import Explanation, Prediction
from vitatt.reports.addresses import overlay_address
from vitatt.serving.bounds import Bounds
from vitatt.serving.cards import model_card
from vitatt.serving.case_store import CaseStore
from vitatt.serving.error_answers import add_error_answers, unexpected_error
from vitatt.serving.guards import Guard, TooMuch
from vitatt.serving.monitoring import CONTENT_TYPE, Monitoring
from vitatt.serving.page import add_page
from vitatt.serving.refusals import Refusal
from vitatt.serving.requests import Asked, checked_image, read_asked
from vitatt.serving.schemas import (
    Error,
    ExplanationAnswer,
    HeldAnswer,
    ModelsAnswer,
    OpenQuestionAnswer,
    OpenQuestionsAnswer,
    PredictionAnswer,
    WhatIfAnswer,
    WhatIfAnswers,
)
from vitatt.serving.served import ServedModel
from vitatt.words import did_you_mean

_FORMATS = ("numbers", "png")


def create_app(
    models: Mapping[str, Predictor],
    *,
    bounds: Bounds = Bounds(),  # noqa: B008 (frozen)
    hosts: Iterable[str] | None = ("127.0.0.1", "localhost", "::1"),
    token: str | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        models: Models by name, of one dataset; the first is used where a request names none.
        bounds: Limits of requests.
        hosts: Names by which the server may be called; None for any.
        token: What requests must carry; None for nothing.
    """
    server = Server(models, bounds)
    app = FastAPI(
        title="vitatt",
        version=vitatt.__version__,
        description="Skin lesion classification from image and metadata. Not a medical device.",
        lifespan=server.lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.server = server
    app.add_middleware(Guard, bounds=bounds, hosts=hosts, token=token)
    app.middleware("http")(server.observed)
    add_error_answers(app)
    _add_routes(app, server)
    cards = [model_card(one.name, one.predictor) for one in server.models.values()]
    add_page(app, cards, server.cases, token)
    return app


class Server:
    """The models, the cases in hand, and what is counted.

    Args:
        models: Models by name.
        bounds: Limits of requests.
    """

    def __init__(self, models: Mapping[str, Predictor], bounds: Bounds) -> None:
        self.bounds = bounds
        worker = ThreadPoolExecutor(1, "models")
        self.models = {
            name: ServedModel(name, predictor, worker, bounds) for name, predictor in models.items()
        }
        self.cases = CaseStore(bounds)
        self.monitoring = Monitoring(self.waiting, lambda: len(self.cases))
        for model in self.models.values():
            model.ran = self.monitoring.batch
        self._worker = worker

    @property
    def first(self) -> ServedModel:
        """The model that is used where none is named."""
        return next(iter(self.models.values()))

    def waiting(self) -> int:
        """Return the number of requests that wait for a model."""
        return sum(model.waiting for model in self.models.values())

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Run the application, and finish what waits at its end."""
        del app
        yield
        for model in self.models.values():
            await model.close()
        self._worker.shutdown()

    async def observed(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Answer a request and count it; an unexpected error leaves no trace outside."""
        start = time.perf_counter()
        try:
            response = await call_next(request)
        except TooMuch:
            raise
        except Exception:  # noqa: BLE001 (its text is for the log alone)
            response = unexpected_error(f"{request.method} {request.url.path}")
        route = request.scope.get("route")
        path = getattr(route, "path", "other")
        self.monitoring.request(path, response.status_code, time.perf_counter() - start)
        return response

    def named(self, name: object) -> ServedModel:
        """Return a model by its name, the first one for None.

        Raises:
            Refusal: If there is none.
        """
        if name in (None, ""):
            return self.first
        if not isinstance(name, str) or name not in self.models:
            raise Refusal(
                404,
                f"Expected `model` to be among {', '.join(self.models)}, but got "
                f"{str(name)[:80]!r}.{did_you_mean(str(name)[:80], list(self.models))}",
            )
        return self.models[name]


def _add_routes(app: FastAPI, server: Server) -> None:
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": Error} for status in (400, 401, 404, 408, 413, 415, 422, 503)
    }

    @app.get("/healthz", summary="Whether the server answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", summary="Metrics for Prometheus")
    async def metrics() -> Response:
        return Response(server.monitoring.text(), media_type=CONTENT_TYPE)

    cards = [model_card(one.name, one.predictor) for one in server.models.values()]

    @app.get("/v1/model", summary="Models, their classes and features")
    async def model() -> ModelsAnswer:
        return ModelsAnswer(version=vitatt.__version__, models=cards)

    @app.post(
        "/v1/predict",
        responses=errors,
        summary="Class probabilities of a case",
        openapi_extra=_body(_IMAGE | _ANSWERS | _MODEL),
    )
    async def predict(request: Request) -> PredictionAnswer:
        asked = await read_asked(request, server.bounds)
        served = server.named(_only(asked, {"model"}).get("model"))
        image = checked_image(asked.image, served.predictor.tasks[0].views, server.bounds)
        return _prediction(served.name, await served.predict(image, asked.answers))

    @app.post(
        "/v1/explain",
        responses=errors,
        summary="Relevance of image and answers",
        openapi_extra=_body(_IMAGE | _ANSWERS | _MODEL | _WHY | _FORMAT),
    )
    async def explain(request: Request) -> ExplanationAnswer:
        asked = await read_asked(request, server.bounds)
        options = _only(asked, {"model", "method", "target", "contrast", "format"})
        served = server.named(options.get("model"))
        image = checked_image(asked.image, served.predictor.tasks[0].views, server.bounds)
        return await _explained(served, image, asked.answers, options)

    @app.post(
        "/v1/cases",
        responses=errors,
        summary="Keep the image of a case in memory, to ask about it again",
        openapi_extra=_body(_IMAGE),
    )
    async def hold(request: Request) -> HeldAnswer:
        asked = await read_asked(request, server.bounds)
        _only(asked, set())
        image = checked_image(asked.image, server.first.predictor.tasks[0].views, server.bounds)
        held = [
            await served.call(partial(CaseInHand, served.predictor, image))
            for served in server.models.values()
        ]
        name = server.cases.put(held)
        return HeldAnswer(case=name, seconds=server.bounds.case_seconds)

    @app.post(
        "/v1/cases/{case}/what_if",
        responses=errors,
        summary="Probabilities and evidence with other answers",
        openapi_extra=_body(_ANSWERS | _WHY, only_json=True),
    )
    async def what_if(case: str, request: Request) -> WhatIfAnswers:
        asked = await read_asked(request, server.bounds)
        options = _only(asked, {"target", "contrast"})
        answers = []
        for held, served in zip(server.cases.get(case), server.models.values(), strict=True):
            run = partial(_what_if, served.name, held, asked.answers, options)
            answers.append(await served.call(run))
        return WhatIfAnswers(models=answers)

    @app.post(
        "/v1/cases/{case}/explain",
        responses=errors,
        summary="Relevance of image and answers of a kept case",
        openapi_extra=_body(_ANSWERS | _MODEL | _WHY | _FORMAT, only_json=True),
    )
    async def explain_case(case: str, request: Request) -> ExplanationAnswer:
        asked = await read_asked(request, server.bounds)
        options = _only(asked, {"model", "method", "target", "contrast", "format"})
        served = server.named(options.get("model"))
        (image, *_) = (one.image for one in server.cases.get(case))
        return await _explained(served, image, asked.answers, options)

    @app.post(
        "/v1/cases/{case}/open_questions",
        responses=errors,
        summary="Which answers, if known, would change the result most",
        openapi_extra=_body(_ANSWERS | _MODEL, only_json=True),
    )
    async def open_questions(case: str, request: Request) -> OpenQuestionsAnswer:
        asked = await read_asked(request, server.bounds)
        served = server.named(_only(asked, {"model"}).get("model"))
        by_model = dict(zip(server.models, server.cases.get(case), strict=True))
        found = await served.call(partial(by_model[served.name].open_questions, asked.answers))
        return OpenQuestionsAnswer(
            model=served.name,
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

    @app.delete("/v1/cases/{case}", summary="Forget a kept case")
    async def forget(case: str) -> dict[str, str]:
        server.cases.drop(case)
        return {"status": "forgotten"}


def _only(asked: Asked, allowed: set[str]) -> dict[str, Any]:
    """The options of a request, if it has no others.

    Raises:
        Refusal: If it has.
    """
    known = sorted({"answers", "image", *allowed})
    for name in asked.options:
        if name not in allowed:
            shown = name[:80]
            raise Refusal(
                422,
                f"Expected no other fields than {', '.join(known)}, but got '{shown}'."
                f"{did_you_mean(shown, known)}",
            )
    return {name: value for name, value in asked.options.items() if value not in (None, "")}


def _text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is not None and not isinstance(value, str):
        raise Refusal(422, f"Expected `{name}` to be text, but got {type(value).__name__}.")
    return value


def _prediction(name: str, found: Prediction) -> PredictionAnswer:
    return PredictionAnswer(
        model=name,
        predicted=found.predicted,
        probabilities=dict(found.probabilities),
        missing=list(found.missing),
    )


def _what_if(
    name: str, held: CaseInHand, answers: Mapping[str, Any], options: Mapping[str, Any]
) -> WhatIfAnswer:
    prediction = held.predict(answers)
    target = _text(options, "target") or prediction.predicted
    contrast = _text(options, "contrast")
    evidence = held.evidence(answers, target=target, contrast=contrast)
    return WhatIfAnswer(
        prediction=_prediction(name, prediction),
        target=target,
        contrast=contrast,
        evidence=evidence,
    )


async def _explained(
    served: ServedModel, image: Any, answers: Mapping[str, Any], options: Mapping[str, Any]
) -> ExplanationAnswer:
    kind = _text(options, "format") or "numbers"
    if kind not in _FORMATS:
        raise Refusal(422, f"Expected `format` to be numbers or png, but got {kind[:80]!r}.")
    method = _text(options, "method") or "tmme"
    target, contrast = _text(options, "target"), _text(options, "contrast")

    def run() -> ExplanationAnswer:
        found = served.predictor.explain(
            image, answers, method=method, target=target, contrast=contrast
        )
        return _explanation(served, found, kind)

    return await served.call(run)


def _explanation(served: ServedModel, found: Explanation, kind: str) -> ExplanationAnswer:
    views: Sequence[str] = found.case.views or ("image",)
    height = found.patches.shape[0] // len(views)
    parts = {
        view: found.patches[number * height : (number + 1) * height]
        for number, view in enumerate(views)
    }
    top = float(found.patches.max()) or 1.0
    numbers = {view: [[float(x) for x in row] for row in one] for view, one in parts.items()}
    return ExplanationAnswer(
        prediction=_prediction(served.name, found.prediction),
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


_IMAGE = {"image": {"type": "string", "description": "The image; `image.VIEW` for each view."}}
_ANSWERS = {
    "answers": {
        "type": "object",
        "description": "Answers by column, see /v1/model; JSON text in a form.",
        "example": {"age": 55, "itch": "yes"},
    }
}
_MODEL = {"model": {"type": "string", "description": "Name of a model; by default the first."}}
_WHY = {
    "target": {"type": "string", "description": "Class to explain; by default the predicted one."},
    "contrast": {"type": "string", "description": "A second class: why the first and not it."},
}
_FORMAT = {
    "method": {"type": "string", "description": "Method of explanation.", "default": "tmme"},
    "format": {"type": "string", "enum": list(_FORMATS), "default": "numbers"},
}


def _body(fields: dict[str, Any], *, only_json: bool = False) -> dict[str, Any]:
    """The body of a request, for OpenAPI."""
    in_form = {
        name: {**one, "format": "binary"} if name == "image" else one
        for name, one in fields.items()
    }
    in_json = {
        name: {**one, "description": f"{one['description']} In base64."} if name == "image" else one
        for name, one in fields.items()
    }
    needed = [name for name in fields if name == "image"]
    content = {"application/json": {"schema": _object(in_json, needed)}}
    if not only_json:
        content = {"multipart/form-data": {"schema": _object(in_form, needed)}} | content
    return {"requestBody": {"required": True, "content": content}}


def _object(fields: dict[str, Any], needed: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": needed}
