"""Predictions by a server of models, with the methods of `Predictor`."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import requests
from numpy.typing import NDArray
from PIL import Image

from vitatt.explain.cases import ExplainedCase, case_pixels
from vitatt.inference.images import (
    CaseInput,
    ImageInput,
    from_array,
    image_name,
    no_image,
    read_case,
)
from vitatt.inference.predictor import Predictor
from vitatt.inference.results import Explanation, Prediction
from vitatt.types import UsageError

_SECONDS = 60


class RemotePredictor(Predictor):
    """A model of `vitatt serve`; images are sent to it.

    It has no networks, and so no `ensemble`, `tasks`, `reader` and `spec`.

    Args:
        url: Address of the server, such as ``http://127.0.0.1:8000``.
        model: Name of one of its models; by default the first.
        token: Of the server; by default that of the environment variable VITATT_TOKEN.

    Raises:
        UsageError: If the server does not answer, has no such model, or wants another token.
    """

    def __init__(self, url: str, *, model: str | None = None, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        if token := token or os.environ.get("VITATT_TOKEN"):
            self._session.headers["Authorization"] = f"Bearer {token}"
        self._model = model
        if not (listed := self.card.get("models")):
            raise UsageError(f"{url} is no server of vitatt: it names no models.")
        models = {one["name"]: one for one in listed}
        if model is not None and model not in models:
            raise UsageError(f"{url} has no model '{model}'. It has: {', '.join(models)}.")
        self._own = models[model] if model is not None else next(iter(models.values()))
        self.classes = tuple(one["name"] for one in self._own["classes"])
        self.features = tuple(one["name"] for one in self._own["features"] if one["used"])

    @cached_property
    def card(self) -> dict[str, Any]:
        """What the server says of its models, see `/v1/model`."""
        return self._ask("GET", "/v1/model")

    @property
    def ensemble(self) -> NoReturn:  # type: ignore[override]
        """Networks, of which there are none here.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"The models of {self._url} are on that server alone, which predicts and explains. "
            "Name their checkpoints for everything else."
        )

    def predict(self, image: CaseInput, answers: Mapping[str, object] | None = None) -> Prediction:
        """Return the class probabilities of a lesion, see `Predictor.predict`.

        Raises:
            UsageError: If the server refuses the image or an answer, or does not answer.
        """
        return _prediction(self._ask("POST", "/v1/predict", **self._case(image, answers)))

    def predict_batch(
        self,
        images: Sequence[CaseInput],
        answers: Sequence[Mapping[str, object] | None] | None = None,
        *,
        batch_size: int = 16,
    ) -> list[Prediction]:
        """Return the class probabilities of several lesions, in their order.

        Args:
            images: An image (or images by view) for each lesion.
            answers: The answers for each lesion; by default none.
            batch_size: Requests at a time, which the server runs together.

        Raises:
            UsageError: As `predict` does, or if images and answers are not equally many.
        """
        answers = [None] * len(images) if answers is None else answers
        if len(answers) != len(images):
            raise UsageError(
                f"Expected answers for each of {len(images)} images, but got {len(answers)}."
            )
        with ThreadPoolExecutor(max(1, batch_size)) as pool:
            return list(pool.map(self.predict, images, answers))

    def explain(
        self,
        image: CaseInput,
        answers: Mapping[str, object] | None = None,
        *,
        method: str = "tmme",
        target: str | None = None,
        contrast: str | None = None,
    ) -> Explanation:
        """Return the relevance of image patches and features, see `Predictor.explain`.

        Raises:
            UsageError: As `predict` does, or if a class or method is unknown or does not apply.
        """
        options = {"method": method, "target": target, "contrast": contrast}
        given = {name: value for name, value in options.items() if value is not None}
        found = self._ask("POST", "/v1/explain", **self._case(image, answers, given))
        patches = np.concatenate([np.array(one) for one in found["maps"].values()])
        return self._explanation(found, patches, image, answers or {})

    def _explanation(
        self,
        found: dict[str, Any],
        patches: NDArray[np.float64],
        image: CaseInput,
        answers: Mapping[str, object],
    ) -> Explanation:
        """The explanation with its case, whose picture is read here."""
        views = self._own["views"]
        pixels, absent = read_case(image, views, self._own["image_size"][0])
        labels = {one["name"]: one["label"] for one in self._own["features"]}
        features: dict[str, float] = found["features"]
        given = [answers.get(name) for name in features]
        prediction = _prediction(found["prediction"])
        words = found["target"] + (f", not {found['contrast']}" if found["contrast"] else "")
        title = f"{found['method'].replace('_', ' ')}: {words}"
        relevance = np.array(list(features.values()))
        case = ExplainedCase(
            case_id=image_name(image),
            image=case_pixels(pixels, absent if views else []),
            maps={title: patches},
            probabilities=prediction.probabilities,
            predicted=prediction.predicted,
            feature_labels=[labels.get(name, name) for name in features],
            feature_values=[None if one is None else str(one) for one in given],
            feature_relevance={words: relevance} if features else None,
            map_features={title: relevance},
            image_share=found["image_share"],
            views=views,
            view_shares=list(found["view_shares"].values()),
        )
        return Explanation(
            prediction,
            found["method"],
            found["target"],
            found["contrast"],
            patches,
            features,
            found["image_share"],
            case,
        )

    def _case(
        self,
        image: CaseInput,
        answers: Mapping[str, object] | None,
        options: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The body of a request."""
        content: Any = (
            {view: _text(one) for view, one in image.items() if one is not None}
            if isinstance(image, Mapping)
            else _text(image)
        )
        model = {} if self._model is None else {"model": self._model}
        body = {"image": content, "answers": dict(answers or {}), **model, **(options or {})}
        try:
            return {"data": json.dumps(body, default=_plain)}
        except TypeError as error:
            raise UsageError(f"Expected answers to be text, numbers or None: {error}.") from error

    def _ask(self, method: str, path: str, data: str | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        try:
            response = self._session.request(
                method, self._url + path, data=data, headers=headers, timeout=_SECONDS
            )
            plain = response.json()
        except requests.exceptions.JSONDecodeError as error:
            raise UsageError(
                f"{self._url} is no server of vitatt: it answered {response.status_code} with no "
                "JSON."
            ) from error
        except requests.RequestException as error:
            raise UsageError(
                f"The server {self._url} does not answer ({type(error).__name__}). Start one with "
                "`vitatt serve --ckpt_path best.ckpt`."
            ) from error
        if not isinstance(plain, dict):
            raise UsageError(f"{self._url} is no server of vitatt: it answered other JSON.")
        if not response.ok:
            message = plain.get("error", {}).get("message", response.reason)
            raise UsageError(f"{self._url} refuses the request: {message}")
        found: dict[str, Any] = plain
        return found


def _prediction(plain: Mapping[str, Any]) -> Prediction:
    return Prediction(plain["probabilities"], tuple(plain["missing"]))


def _text(image: ImageInput) -> str:
    """An image file's content in base64; an image without a file as PNG."""
    if isinstance(image, str | Path):
        path = Path(image).expanduser()
        if not path.is_file():
            raise UsageError(f"The image file {path} does not exist.")
        content = path.read_bytes()
    elif isinstance(image, bytes):
        content = image
    else:
        file = io.BytesIO()
        pixels = from_array(image) if isinstance(image, np.ndarray) else image
        if not isinstance(pixels, Image.Image):
            raise no_image(image)
        pixels.save(file, "PNG")
        content = file.getvalue()
    return base64.b64encode(content).decode()


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"got a {type(value).__name__}")
