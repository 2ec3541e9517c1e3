"""A case of a reader study: its images and maps, its answers, and the output of the AI."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vitatt.reader_study.frozen_model import Digest, FrozenModel, Name, Share

MapMethod = Literal["tmme", "attention", "grad_cam"]
"""Explanation methods whose maps a study keeps, so that drawn evidence is compared with each."""

MAP_METHODS: tuple[MapMethod, ...] = ("tmme", "attention", "grad_cam")
"""The same, in the order of reports."""


class Stratum(FrozenModel):
    """The stratum that a case was chosen for, beside its diagnosis.

    Attributes:
        difficulty: Tercile of the AI's probability of the true class; ``hard`` is the lowest.
        skin_type: As published; None where the dataset has none or it is not recorded.
        ai_correct: Whether the AI predicts the true class.
    """

    difficulty: Literal["easy", "medium", "hard"]
    skin_type: str | None
    ai_correct: bool


class AIOutput(FrozenModel):
    """Calibrated probability of each class, and the class of the highest one."""

    predicted: str
    probabilities: dict[str, Share]


class ImageFile(FrozenModel):
    """An image of a case, encoded again without metadata; `view` is empty if there is one."""

    view: str
    file: str
    sha256: Digest


class MapFile(FrozenModel):
    """A map over an image: an RGBA overlay, and the relevance on the grid of patches (NumPy)."""

    view: str
    file: str
    sha256: Digest
    grid: str
    grid_sha256: Digest


class StudyCase(FrozenModel):
    """A case of the study.

    Attributes:
        case_id: Name in the study, which says nothing about the case.
        source_id: Name in the dataset; never sent to a reader.
        group: Patient or lesion; never sent to a reader.
        truth: Diagnosis; never sent to a reader.
        answers: Recorded answers of the patient, as shown, by feature.
        maps: By method.
        evidence: Change of the log-odds of the AI's prediction by each answer that it knows.
        relevance: TMME relevance of each feature, not negative.
    """

    case_id: Name
    source_id: str
    group: str
    truth: str
    stratum: Stratum
    answers: dict[str, str]
    ai: AIOutput
    images: Annotated[tuple[ImageFile, ...], Field(min_length=1)]
    maps: dict[MapMethod, tuple[MapFile, ...]]
    evidence: dict[str, float]
    relevance: dict[str, float]
