"""The protocol of a study: its arms, questions and analysis, by presets or from a YAML file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from vitatt.reader_study.consent import DEFAULT_CONSENT, Consent
from vitatt.reader_study.frozen_model import FrozenModel, first_problem
from vitatt.reader_study.manifest import (
    DEFAULT_IDLE_MINUTES,
    AnalysisPlan,
    Arm,
    Choice,
    IdleMinutes,
    Level,
    Metric,
    Questions,
)
from vitatt.reader_study.simulation.reader_model import DEFAULT_READERS, ReaderModel
from vitatt.reading import read_yaml
from vitatt.types import UsageError
from vitatt.words import did_you_mean, known_words

ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(
            name="no_ai",
            title="Without AI",
            shows_ai=False,
            shows_map=None,
            shows_answers=False,
        ),
        Arm(
            name="ai",
            title="With the AI's probabilities",
            shows_ai=True,
            shows_map=None,
            shows_answers=False,
        ),
        Arm(
            name="ai_reasons",
            title="With the AI's probabilities and reasons",
            shows_ai=True,
            shows_map="tmme",
            shows_answers=True,
        ),
    )
}
"""Arms by preset name, as in Chanda et al. 2024 (10.1038/s41467-023-43095-4)."""

_METRICS: tuple[Metric, ...] = ("balanced accuracy", "sensitivity", "specificity", "AUROC")
_EXPLORATORY = ("reliance", "calibration", "time", "trust", "evidence", "experience")
_EXPERIENCE = {
    "low": "Less than 3 years of dermatology",
    "medium": "3 to 10 years of dermatology",
    "high": "More than 10 years of dermatology",
}
_MANAGEMENT = {
    "no_action": "No action",
    "follow_up": "Follow-up",
    "biopsy": "Biopsy or excision",
}


class Protocol(FrozenModel):
    """Arms, questions and analysis of a study; every field has a default.

    Attributes:
        arms: At least two.
        primary_contrast: The reference arm, and the arm that is compared with it; by default the
            last two.
        experience: Bands, the lowest first.
        consent: Text that readers agree to, and what becomes of their data if they withdraw.
        idle_minutes: Without activity on the page, after which it pauses.
        level: Of intervals; a p-value below its complement is significant.
        readers: Assumptions about readers, for the power.
        question: Of the study; by default that of the primary contrast.
    """

    arms: Annotated[tuple[Arm, ...], Field(min_length=2)] = tuple(ARMS.values())
    experience: Annotated[tuple[Choice, ...], Field(min_length=1)] = tuple(
        Choice(name=name, title=title) for name, title in _EXPERIENCE.items()
    )
    management: tuple[Choice, ...] = tuple(
        Choice(name=name, title=title) for name, title in _MANAGEMENT.items()
    )
    ask: Questions = Questions(
        top=1, confidence=True, management=True, trust=True, drawing="both", features=True
    )
    consent: Consent = DEFAULT_CONSENT
    idle_minutes: IdleMinutes = DEFAULT_IDLE_MINUTES
    primary_metric: Metric = "balanced accuracy"
    primary_contrast: tuple[str, str] | None = None
    metrics: tuple[Metric, ...] = _METRICS
    level: Level = 0.95
    readers: ReaderModel = DEFAULT_READERS
    question: str | None = None

    @property
    def contrast(self) -> tuple[str, str]:
        """The primary contrast: the reference arm, and the arm that is compared with it."""
        return self.primary_contrast or (self.arms[-2].name, self.arms[-1].name)

    def analysis(self) -> AnalysisPlan:
        """The analysis that the manifest specifies."""
        return AnalysisPlan(
            primary_metric=self.primary_metric,
            primary_contrast=self.contrast,
            metrics=self.metrics,
            multiplicity="holm",
            level=self.level,
            exploratory=_EXPLORATORY,
        )

    def stated_question(self) -> str:
        """The question of the study, by default that of the primary contrast."""
        titles = {arm.name: arm.title for arm in self.arms}
        reference, arm = self.contrast
        return self.question or (
            f"Have readers another {self.primary_metric} in the arm {arm} ({titles[arm]}) than in "
            f"the arm {reference} ({titles[reference]})?"
        )


def make_protocol(arms: Sequence[str] | str, file: Path | None) -> Protocol:
    """Return the protocol of a command line.

    Args:
        arms: Names of presets; empty for those of the file, or for all presets.
        file: YAML file with the fields of `Protocol`.

    Raises:
        UsageError: If a name is unknown, the file cannot be read or used, or both name arms.
    """
    plain: dict[str, Any] = {} if file is None else read_yaml(file)
    if arms:
        if "arms" in plain:
            raise UsageError(f"Expected arms by `--arms` or in {file}, but both name them.")
        names = known_words(arms, list(ARMS), "arms")
        if len(names) < 2:
            raise UsageError(f"Expected `--arms` to name two arms at least, but got {names[0]}.")
        plain["arms"] = [ARMS[name].model_dump() for name in names]
    try:
        # YAML takes 2026-01-31, such as the version of a consent, for a date.
        protocol = Protocol.model_validate_json(json.dumps(plain, default=str))
    except ValidationError as error:
        raise UsageError(_message(error, file)) from error
    known = [arm.name for arm in protocol.arms]
    if protocol.contrast[0] == protocol.contrast[1]:
        raise UsageError(f"{file}: primary_contrast: both arms are {protocol.contrast[0]}.")
    for name in protocol.contrast:
        if name not in known:
            raise UsageError(
                f"{file}: primary_contrast: there is no arm {name}.{did_you_mean(name, known)} "
                f"There are: {', '.join(known)}."
            )
    if protocol.primary_metric not in protocol.metrics:
        raise UsageError(f"{file}: metrics: {protocol.primary_metric} is not among them.")
    return protocol


def _message(error: ValidationError, file: Path | None) -> str:
    place, found = first_problem(error)
    parts = place.split(".")
    hint = ""
    if found["type"] == "extra_forbidden":
        fields: dict[str, type[FrozenModel]] = {"arms": Arm, "ask": Questions, "consent": Consent}
        kind = fields.get(parts[0], Protocol) if len(parts) > 1 else Protocol
        hint = did_you_mean(parts[-1], list(kind.model_fields))
    return f"{file}: {place}: {found['msg']}.{hint}"
