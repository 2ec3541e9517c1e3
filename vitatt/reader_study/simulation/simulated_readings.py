"""Tables of readings by simulated readers, fast enough to make hundreds for a power."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import polars as pl
from scipy.special import expit
from scipy.stats import norm

from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.readings_schema import READINGS
from vitatt.reader_study.simulation.reader_model import ReaderModel
from vitatt.reader_study.simulation.study_arrays import Floats, Ints, StudyArrays, study_arrays


class SimulatedStudy:
    """A study whose readings can be simulated any number of times.

    A reader's own judgement of a case is right with log-odds of skill, less the case's difficulty;
    judgements of one case in two periods are correlated (a Gaussian copula), and within a visit of
    a sequential design they are the same. A wrong one is drawn from the classes that the AI
    confuses with the true one. Where the AI is shown and differs, the reader adopts its prediction
    with the probabilities of `ReaderModel`.

    Args:
        manifest: Of the study.
        model: Assumptions about readers.
    """

    def __init__(self, manifest: Manifest, model: ReaderModel) -> None:
        self.manifest = manifest
        self.model = model
        self.arrays = study_arrays(manifest)
        bands = [model.band(place, len(manifest.experience)) for place in self.arrays.band]
        self._skill = np.array([band.skill for band in bands])
        self._adoption = np.array(  # by reader, whether explained, whether the AI is right
            [
                [
                    [band.adopt_wrong, band.adopt_right],
                    [band.adopt_wrong_explained, band.adopt_right_explained],
                ]
                for band in bands
            ]
        )
        self._constant = _constant_columns(manifest, self.arrays)

    def readings(self, rng: np.random.Generator) -> pl.DataFrame:
        """Return a table of readings, without drawn evidence, in the order of the schedules."""
        a, ask = self.arrays, self.manifest.ask
        own, chance = self._own_diagnosis(rng)
        shown, explained = a.shows_ai[a.arm], a.explains[a.arm]
        ai = a.predicted[a.case]
        right = (ai == a.truth[a.case]).astype(int)
        adoption = self._adoption[a.reader, explained.astype(int), right]
        adopts = shown & (own != ai) & (rng.random(len(own)) < adoption)
        diagnosis = np.where(adopts, ai, own)
        confidence = self._confidence(rng, chance, shown, diagnosis == ai)
        seconds = self._seconds(rng, shown, explained)
        classes = np.array([one.name for one in self.manifest.classes])
        others = self._others(diagnosis)
        score = np.where(a.positive[diagnosis], confidence, 100 - confidence)
        columns: dict[str, Any] = self._constant | {
            "diagnosis": classes[diagnosis],
            "second": classes[others[:, 0]] if ask.top == 3 else None,
            "third": classes[others[:, -1]] if ask.top == 3 else None,
            "confidence": confidence if ask.confidence else None,
            "score": score if ask.confidence else None,
            "management": self._management(rng, diagnosis) if ask.management else None,
            "trust": self._trust(rng, shown, own == ai) if ask.trust else None,
            "seconds": seconds,
            "submitted": _times(self.manifest, a, seconds),
            "evidence_mask": None,
            "evidence_features": "",
            "drawn_shape": None,
        }
        return _frame(columns, len(own))

    def _own_diagnosis(self, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """Each reading's own diagnosis, and the probability with which it was to be right."""
        a, model = self.arrays, self.model
        shape = (len(self._skill), len(a.truth))
        skill = self._skill + model.reader_spread * rng.standard_normal(shape[0])
        case = model.difficulty * a.ease + model.case_spread * rng.standard_normal(shape[1])
        chance = expit(skill[a.reader] + case[a.case])
        lasting = rng.standard_normal(shape)[a.reader, a.case]
        passing = rng.standard_normal((*shape, int(a.period.max())))[a.reader, a.case, a.period - 1]
        share = model.repeatability
        latent = np.sqrt(share) * lasting + np.sqrt(1 - share) * passing
        right = norm.cdf(latent) < chance
        # The confused class of a reader and case is always the same one.
        draws = rng.random(shape)[a.reader, a.case]
        steps = a.confusions.cumsum(axis=1)[a.truth[a.case]]
        wrong = (draws[:, None] >= steps).sum(axis=1).clip(max=steps.shape[1] - 1)
        return np.where(right, a.truth[a.case], wrong), chance

    def _confidence(
        self, rng: np.random.Generator, chance: Floats, shown: Any, agrees: Any
    ) -> Floats:
        """Confidence, 0 to 100: the own chance with noise, higher where a shown AI agrees."""
        log_odds = np.log(chance.clip(1e-6)) - np.log((1 - chance).clip(1e-6))
        log_odds = log_odds + self.model.confidence_noise * rng.standard_normal(len(chance))
        log_odds = log_odds + np.where(shown, np.where(agrees, 0.6, -0.4), 0)
        return np.rint(100 * expit(log_odds)).astype(float)

    def _seconds(self, rng: np.random.Generator, shown: Any, explained: Any) -> Floats:
        model = self.model
        factor = np.where(shown, model.ai_seconds, 1.0)
        factor = np.where(explained, model.explained_seconds, factor)
        noise = np.exp(model.seconds_spread * rng.standard_normal(len(shown)))
        return np.round(model.seconds * factor * noise, 1)

    def _others(self, diagnosis: Ints) -> Ints:
        """The two classes that are most often confused with each diagnosis, (M, 2)."""
        order = np.argsort(-self.arrays.confusions, axis=1, kind="stable")
        return order[diagnosis][:, :2]

    def _management(self, rng: np.random.Generator, diagnosis: Ints) -> Any:
        """The last option for a positive diagnosis, else the first; one in ten at random."""
        options = np.array([one.name for one in self.manifest.management])
        usual = np.where(self.arrays.positive[diagnosis], len(options) - 1, 0)
        random = rng.integers(0, len(options), len(usual))
        return options[np.where(rng.random(len(usual)) < 0.1, random, usual)]

    def _trust(self, rng: np.random.Generator, shown: Any, agrees: Any) -> list[int | None]:
        """Trust, 1 to 5: higher where the AI's prediction is the reader's own diagnosis."""
        values = np.rint(3 + np.where(agrees, 0.8, -0.8) + rng.standard_normal(len(shown)))
        return [
            int(value) if known else None
            for value, known in zip(values.clip(1, 5), shown, strict=True)
        ]


def _constant_columns(manifest: Manifest, arrays: StudyArrays) -> dict[str, Any]:
    cases, readers = manifest.cases, manifest.readers
    bands = np.array([one.name for one in manifest.experience])
    of_case = {
        "case_id": [case.case_id for case in cases],
        "group": [case.group for case in cases],
        "truth": [case.truth for case in cases],
        "ai_predicted": [case.ai.predicted for case in cases],
        "ai_probability": [case.ai.probabilities[case.ai.predicted] for case in cases],
        "ai_correct": [case.stratum.ai_correct for case in cases],
    }
    return {
        "reader": np.array([one.code for one in readers])[arrays.reader],
        "experience": bands[arrays.band][arrays.reader],
        "arm": np.array([arm.name for arm in manifest.arms])[arrays.arm],
        "period": arrays.period,
        "position": arrays.position,
        **{name: np.array(values)[arrays.case] for name, values in of_case.items()},
    }


def _times(manifest: Manifest, arrays: StudyArrays, seconds: Floats) -> Ints:
    """Time of each submission, microseconds since 1970: periods apart by the wash-out and a day."""
    start = manifest.created + datetime.timedelta(days=1)
    first = int(start.timestamp() * 1e6)
    day = 86_400_000_000
    visits = arrays.reader * (arrays.period.max() + 1) + arrays.period
    begins = np.flatnonzero(np.diff(visits, prepend=-1))
    total = np.cumsum(np.rint(seconds * 1e6).astype(np.int64))
    before = np.repeat(
        np.concatenate([[0], total])[begins], np.diff(np.append(begins, len(visits)))
    )
    offset = (arrays.period - 1) * (manifest.washout_days + 1) * day
    return first + offset + total - before


def _frame(columns: dict[str, Any], count: int) -> pl.DataFrame:
    series = []
    for name, kind in READINGS.items():
        values = columns[name]
        if values is None or isinstance(values, str):
            series.append(pl.Series(name, [values], dtype=kind).new_from_index(0, count))
        elif name == "submitted":
            series.append(
                pl.Series(name, values).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
            )
        else:
            series.append(pl.Series(name, values, dtype=kind))
    return pl.DataFrame(series)
