"""What the server answers: types of its JSON, with examples, from which OpenAPI is made."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

NOTICE = "Not a medical device. For research only."


class ErrorDetail(BaseModel):
    """What was found, and what is allowed."""

    message: str


class Error(BaseModel):
    """A request that was refused."""

    error: ErrorDetail


class PredictionAnswer(BaseModel):
    """Calibrated class probabilities of a case."""

    model: str = Field(description="Name of the model.")
    predicted: str = Field(description="Class of the highest probability.")
    probabilities: dict[str, float] = Field(examples=[{"BCC": 0.81, "NEV": 0.19}])
    missing: list[str] = Field(description="Features that the model would use but were not given.")
    notice: str = NOTICE


class ExplanationAnswer(BaseModel):
    """Relevance of image and answers to a class."""

    prediction: PredictionAnswer
    method: str
    target: str
    contrast: str | None
    grid: list[int] = Field(description="Rows and columns of the map of one view.")
    maps: dict[str, list[list[float]]] | None = Field(
        description="Relevance by view ('image' if there is one), with `format` numbers."
    )
    pictures: dict[str, str | None] | None = Field(
        description="The same as data addresses of transparent PNG, with `format` png; null for a "
        "map without contrast."
    )
    features: dict[str, float] = Field(description="Relevance of each feature.")
    image_share: float | None = Field(description="Share of the image in all relevance.")
    view_shares: dict[str, float] = Field(description="Share of each view.")


class FeatureCard(BaseModel):
    """A feature that may be answered."""

    name: str
    label: str
    kind: str = Field(description="categorical or numeric")
    unit: str
    categories: list[str] = Field(description="Known categories; empty for a number.")
    least: float | None
    most: float | None
    used: bool = Field(description="Whether the model uses it.")


class ClassCard(BaseModel):
    """A class."""

    name: str
    title: str
    cases: int = Field(description="Training cases.")


class ModelCard(BaseModel):
    """A model that is served."""

    name: str
    dataset: str
    classes: list[ClassCard]
    positive: str | None = Field(description="The class that is worst to miss.")
    features: list[FeatureCard]
    views: list[str] = Field(description="Images of a case; empty if it is one.")
    image_size: list[int] = Field(description="Side of the square input, of each network.")
    networks: int = Field(description="Networks whose probabilities are averaged.")
    fold: str = Field(description="The outer fold that the model has not seen.")
    methods: list[str] = Field(description="Methods of explanation that apply.")
    description: dict[str, Any] = Field(description="Of the dataset, if it is a described one.")
    notice: str = NOTICE


class ModelsAnswer(BaseModel):
    """All models that are served; the first is used where none is named."""

    version: str
    models: list[ModelCard]


class HeldAnswer(BaseModel):
    """A case whose image is kept in memory for a while."""

    case: str = Field(description="Secret name of the case.")
    seconds: float = Field(description="It is forgotten if it is not used for so long.")


class WhatIfAnswer(BaseModel):
    """What a model says with these answers."""

    prediction: PredictionAnswer
    target: str
    contrast: str | None
    evidence: dict[str, float] = Field(
        description="How much each answer speaks for the target (positive) or against it: change "
        "of log-odds if it is taken away."
    )


class WhatIfAnswers(BaseModel):
    """Of each model, in the order of `/v1/model`."""

    models: list[WhatIfAnswer]


class OpenQuestionAnswer(BaseModel):
    """A feature without an answer, and the answer that would change the probabilities most."""

    feature: str
    answer: str | float
    change: float
    predicted: str
    probability: float


class OpenQuestionsAnswer(BaseModel):
    """Of one model, those that could change most first."""

    model: str
    questions: list[OpenQuestionAnswer]
