"""Assumptions about readers, by which they are simulated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from vitatt.reader_study.frozen_model import FrozenModel, Share, first_problem
from vitatt.reading import read_yaml
from vitatt.types import UsageError
from vitatt.words import did_you_mean

NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class SimulatedBand(FrozenModel):
    """Readers of one experience band.

    Adoption is the probability that a reader whose own diagnosis differs from the AI's takes the
    AI's. An explanation that helps to recognise errors lowers `adopt_wrong_explained`.

    Attributes:
        skill: Log-odds of a right diagnosis of their own, of an average case.
        adopt_right: Adoption where the AI is right.
        adopt_wrong: Adoption where the AI is wrong.
        adopt_right_explained: The first, in arms with a map or with the evidence of answers.
        adopt_wrong_explained: The second, in such arms.
    """

    skill: float
    adopt_right: Share
    adopt_wrong: Share
    adopt_right_explained: Share
    adopt_wrong_explained: Share


class ReaderModel(FrozenModel):
    """Assumptions about all readers.

    Attributes:
        bands: From the lowest experience to the highest; a study may have more or fewer bands.
        difficulty: Log-odds by which one standard deviation of the AI's log-odds of the true class
            makes a case easier to readers.
        reader_spread: Standard deviation of skill among the readers of a band, log-odds.
        case_spread: Standard deviation of the difficulty of cases that the AI does not share.
        repeatability: Correlation of a reader's latent judgements of a case in two periods.
        confidence_noise: Standard deviation of stated confidence, log-odds.
        seconds: Median time of a reading without AI.
        ai_seconds: Factor of time where the AI is shown.
        explained_seconds: Factor of time where its reasons are shown.
        seconds_spread: Standard deviation of the logarithm of time.
        drawing_accuracy: Probability that evidence is drawn around the peak of the TMME map, else
            around any point.
        drawing_accuracy_explained: The same where a map is shown.
    """

    bands: Annotated[tuple[SimulatedBand, ...], Field(min_length=1)]
    difficulty: float = 0.5
    reader_spread: NotNegative = 0.4
    case_spread: NotNegative = 0.8
    repeatability: Share = 0.7
    confidence_noise: NotNegative = 0.6
    seconds: Positive = 40.0
    ai_seconds: Positive = 1.1
    explained_seconds: Positive = 1.3
    seconds_spread: NotNegative = 0.5
    drawing_accuracy: Share = 0.6
    drawing_accuracy_explained: Share = 0.8

    def band(self, place: int, bands: int) -> SimulatedBand:
        """The band for one of a study's bands, `place` counting from 0, the lowest."""
        share = place / (bands - 1) if bands > 1 else 0.5
        return self.bands[round(share * (len(self.bands) - 1))]


def _band(skill: float, *adoption: float) -> SimulatedBand:
    right, wrong, right_explained, wrong_explained = adoption
    return SimulatedBand(
        skill=skill,
        adopt_right=right,
        adopt_wrong=wrong,
        adopt_right_explained=right_explained,
        adopt_wrong_explained=wrong_explained,
    )


DEFAULT_READERS = ReaderModel(
    bands=(
        _band(0.2, 0.60, 0.55, 0.70, 0.40),
        _band(0.7, 0.50, 0.40, 0.60, 0.25),
        _band(1.2, 0.35, 0.25, 0.45, 0.15),
    )
)
"""Three bands: the least experienced gain most from the AI and are misled most by its errors, as in
Tschandl et al. 2020 (10.1038/s41591-020-0942-0); the numbers themselves are assumptions."""


def read_reader_model(path: Path) -> ReaderModel:
    """Return the assumptions in a YAML file with the fields of `ReaderModel`.

    Raises:
        UsageError: If the file cannot be read, or a field is unknown, missing or of a wrong value.
    """
    try:
        return ReaderModel.model_validate_json(json.dumps(read_yaml(path)))
    except ValidationError as error:
        place, found = first_problem(error)
        known = [*ReaderModel.model_fields, *SimulatedBand.model_fields]
        hint = did_you_mean(str(found["loc"][-1]), known) if "extra" in found["type"] else ""
        raise UsageError(f"{path}: {place}: {found['msg']}.{hint}") from error
