"""The frozen plan of a reader study: everything that is decided before the first reading.

It is the file ``study.json`` of the study's folder. Values of another type and unknown fields are
refused, and so are plans that contradict themselves (`vitatt.reader_study.manifest_checks`).
Paths of files are relative to the study's folder.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vitatt.reader_study.consent import DEFAULT_CONSENT, Consent
from vitatt.reader_study.frozen_model import Digest, FrozenModel, Name, Share
from vitatt.reader_study.manifest_checks import contradictions
from vitatt.reader_study.study_case import MapMethod, StudyCase

Metric = Literal["balanced accuracy", "sensitivity", "specificity", "AUROC"]
"""Metrics of readers: of diagnoses, of positive and negative classes, and of confidence."""

Count = Annotated[int, Field(ge=1)]

IdleMinutes = Annotated[float, Field(gt=0, le=60)]
Level = Annotated[float, Field(gt=0.5, lt=1)]
"""Of intervals, such as 0.95."""

DEFAULT_IDLE_MINUTES = 3.0
"""Readers look at an image for seconds, not minutes, before they touch anything."""


class Choice(FrozenModel):
    """One of several answers: an experience band or a management option."""

    name: Name
    title: str


class DiagnosisClass(FrozenModel):
    """A class of the model, which readers choose as the diagnosis.

    Attributes:
        positive: Whether a case of it is positive in sensitivity, specificity and AUROC.
    """

    name: str
    title: str
    positive: bool


class Arm(FrozenModel):
    """A condition of reading.

    Attributes:
        shows_ai: Whether the AI's probabilities are shown.
        shows_map: Whose map is shown over the image, if any.
        shows_answers: Whether the patient's answers are shown with the signed evidence of each.
    """

    name: Name
    title: str
    shows_ai: bool
    shows_map: MapMethod | None
    shows_answers: bool


class Questions(FrozenModel):
    """Questions about each case, beside the diagnosis.

    Attributes:
        top: Number of diagnoses, the likeliest first.
        confidence: In the first diagnosis, 0 to 100.
        management: One of the manifest's options.
        trust: In the AI, 1 to 5, in arms that show it.
        drawing: With which tools evidence is drawn on the image.
        features: Whether the answers that were evidence are ticked.
    """

    top: Literal[1, 3]
    confidence: bool
    management: bool
    trust: bool
    drawing: Literal["box", "brush", "both"] | None
    features: bool


class PatientFeature(FrozenModel):
    """A feature whose answer is shown to readers; `values` are those that it can have."""

    name: str
    title: str
    unit: str
    values: tuple[str, ...]


class Period(FrozenModel):
    """A period of a reader: cases in this reader's own order, each read in each of the arms.

    In the crossover design a period has one arm. In the sequential design there is one period, and
    each case is answered in one arm after the other before the next case.
    """

    arms: Annotated[tuple[Name, ...], Field(min_length=1)]
    cases: Annotated[tuple[Name, ...], Field(min_length=1)]


class Reader(FrozenModel):
    """A reader by code; `experience` is None if it is asked at the start."""

    code: Name
    token_sha256: Digest
    experience: Name | None
    schedule: Annotated[tuple[Period, ...], Field(min_length=1)]


class AnalysisPlan(FrozenModel):
    """The analysis that is specified in advance.

    Attributes:
        primary_contrast: The reference arm, and the arm that is compared with it.
        level: Of intervals; a p-value below its complement is significant.
        exploratory: Analyses that are reported as exploratory.
    """

    primary_metric: Metric
    primary_contrast: tuple[Name, Name]
    metrics: tuple[Metric, ...]
    multiplicity: Literal["holm"]
    level: Level
    exploratory: tuple[str, ...]


class StoppingRule(FrozenModel):
    """The study ends with this number of readings, or at the end of this day (UTC)."""

    readings: Count
    date: datetime.date | None


class Power(FrozenModel):
    """Power of the primary contrast, by simulation under stated assumptions."""

    method: str
    assumptions: dict[str, float | int | str]
    value: Share
    simulations: Count


class Source(FrozenModel):
    """Where AI and cases come from."""

    checkpoint_sha256: Digest
    dataset: str
    fold: str
    vitatt_version: str


class Manifest(FrozenModel):
    """The frozen plan of a reader study, see the module.

    Attributes:
        consent: What readers are told and agree to.
        idle_minutes: Without any activity on the page, after which it pauses.
    """

    version: Literal[1]
    name: str
    question: str
    created: datetime.datetime
    seed: Annotated[int, Field(ge=0)]
    design: Literal["crossover", "sequential"]
    washout_days: Annotated[int, Field(ge=0)]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    classes: Annotated[tuple[DiagnosisClass, ...], Field(min_length=2)]
    experience: Annotated[tuple[Choice, ...], Field(min_length=1)]
    management: tuple[Choice, ...]
    ask: Questions
    consent: Consent = DEFAULT_CONSENT
    idle_minutes: IdleMinutes = DEFAULT_IDLE_MINUTES
    features: tuple[PatientFeature, ...]
    cases: Annotated[tuple[StudyCase, ...], Field(min_length=1)]
    training_cases: tuple[StudyCase, ...]
    readers: Annotated[tuple[Reader, ...], Field(min_length=1)]
    analysis: AnalysisPlan
    stopping: StoppingRule
    power: Power
    source: Source

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if found := contradictions(self):
            raise ValueError(found[0])
        return self

    @property
    def case_by_id(self) -> dict[str, StudyCase]:
        """Cases, training cases among them, by their id."""
        return {case.case_id: case for case in (*self.cases, *self.training_cases)}

    @property
    def reader_by_code(self) -> dict[str, Reader]:
        """Readers by code."""
        return {reader.code: reader for reader in self.readers}

    @property
    def arm_by_name(self) -> dict[str, Arm]:
        """Arms by name."""
        return {arm.name: arm for arm in self.arms}

    @property
    def positive(self) -> frozenset[str]:
        """Names of the positive classes."""
        return frozenset(one.name for one in self.classes if one.positive)

    def files(self) -> dict[str, str]:
        """Digest of every file of the study by its path."""
        found: dict[str, str] = {}
        for case in self.case_by_id.values():
            found |= {image.file: image.sha256 for image in case.images}
            for one in (one for maps in case.maps.values() for one in maps):
                found |= {one.file: one.sha256, one.grid: one.grid_sha256}
        return found
