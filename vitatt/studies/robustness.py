"""The measuring part of `robustness`: every perturbation at every level, for every model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import polars as pl
from tqdm import tqdm

from vitatt.data.datamodule import LesionDataModule
from vitatt.data.images.corruptions import CORRUPTIONS
from vitatt.data.metadata.noise import NOISE, add_noise
from vitatt.evaluation.bootstrap import Floats
from vitatt.explain.checks.agreement import feature_importance
from vitatt.studies.hidden_metadata import AT_RANDOM, LEAST, MOST, SHARES, perturb_metadata
from vitatt.studies.models import Images, NamedModel
from vitatt.studies.robustness_scores import probabilities_of, score_level
from vitatt.types import LesionBatch

Kind = Literal["missing", "noise", "image", "both"]

PERTURBATIONS: dict[str, list[str]] = {
    "missing": [AT_RANDOM, MOST, LEAST],
    "noise": list(NOISE),
    "image": list(CORRUPTIONS),
    "both": list(CORRUPTIONS),
}
"""Curves of each kind."""

STRENGTHS = range(1, 6)

Versions = list[LesionBatch] | None
"""Random versions of the input; None where it is the image with its own metadata."""


@dataclasses.dataclass
class Study:
    """What is measured.

    Attributes:
        datamodule: Has the images.
        cases: Test cases.
        validation: Validation cases, which the importance of features is measured on.
        models: The models; the first is the reference if `has_reference`.
        has_reference: Whether differences to the first model are wanted.
        kinds: Of perturbations.
        repeats: Random draws averaged at each level.
        seed: Decides them.
        importance: Permutation importance by model, found on the way.
    """

    datamodule: LesionDataModule
    cases: pl.DataFrame
    validation: pl.DataFrame
    models: list[NamedModel]
    has_reference: bool
    kinds: list[Kind]
    repeats: int
    seed: int
    importance: dict[str, Floats] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        training = self.datamodule.cases("train")
        self._deviations = {
            feature.name: float(training[feature.name].drop_nulls().to_numpy().std())
            for named in self.models
            for feature in named.model.task.features
            if feature.kind == "numeric"
        }
        self._images = Images(self.datamodule)
        self._groups = self.cases["group"].to_numpy()

    def points(self) -> int:
        """How many points all curves have together."""
        images = len(CORRUPTIONS) * len(STRENGTHS)
        count = 0
        for named in self.models:
            features = len(named.network.cardinalities)
            more = {
                "missing": (len(SHARES) + 2 * features) * (features > 0),
                "noise": len(NOISE) * len(STRENGTHS) * (features > 0),
                "image": images,
                "both": images,
            }
            count += sum(len(PERTURBATIONS[kind]) + more[kind] for kind in self.kinds)
        return count

    def measure(self) -> Iterator[list[dict[str, Any]]]:
        """Points of curves, as they are measured: a row a metric.

        A model that sees no metadata has the first point of the curves over metadata and no more.
        """
        yield from self._with_images(None)
        if {"image", "both"} & set(self.kinds):
            for corruption in CORRUPTIONS:
                for strength in STRENGTHS:
                    yield from self._with_images((corruption, strength))

    def _with_images(self, corruption: tuple[str, int] | None) -> Iterator[list[dict[str, Any]]]:
        """All points that show the models these images."""
        reference: Floats | None = None
        for number, named in enumerate(self.models):
            image = self._images.of(named, "test", self.cases, corruption)
            own = named.batch(self.cases, image)
            targets = own.target.cpu().numpy()
            probabilities = probabilities_of(named.network, own)
            undisturbed = score_level([probabilities], targets, self._groups, reference)
            for kind, perturbation, level, versions in self._inputs(named, own, corruption):
                rows = undisturbed
                if versions is not None:
                    found = [probabilities_of(named.network, batch) for batch in versions]
                    rows = score_level(found, targets, self._groups, reference)
                place = {"kind": kind, "perturbation": perturbation, "level": float(level)}
                yield [{"model": named.name, **place, **row} for row in rows]
            if number == 0 and self.has_reference:
                reference = probabilities

    def _inputs(
        self, named: NamedModel, own: LesionBatch, corruption: tuple[str, int] | None
    ) -> Iterator[tuple[Kind, str, float, Versions]]:
        sees_metadata = bool(named.network.cardinalities)
        if corruption is not None:
            name, strength = corruption
            if "image" in self.kinds:
                yield "image", name, strength, None
            if "both" in self.kinds:
                noisy = self._noisy(named, own, "all", strength) if sees_metadata else None
                yield "both", name, strength, noisy
            return
        for kind in self.kinds:
            for perturbation in PERTURBATIONS[kind]:
                yield kind, perturbation, 0, None
        if "missing" in self.kinds and sees_metadata:
            importance = self._importance(named)
            hidden = perturb_metadata(
                named.network, own, importance, repeats=self.repeats, seed=self.seed
            )
            for perturbation, level, versions in hidden:
                yield "missing", perturbation, level, versions
        if "noise" in self.kinds and sees_metadata:
            for noise, levels in NOISE.items():
                for strength, level in zip(STRENGTHS, levels, strict=True):
                    yield "noise", noise, level, self._noisy(named, own, noise, strength)

    def _importance(self, named: NamedModel) -> Floats:
        tqdm.write(f"Importance of features to `{named.name}`: {self.validation.height} cases.")
        image = self._images.of(named, "val", self.validation)
        batch = named.batch(self.validation, image)
        found = feature_importance(named.network, batch, seed=self.seed).permutation
        self.importance[named.name] = found
        return found

    def _noisy(
        self, named: NamedModel, own: LesionBatch, noise: str, strength: int
    ) -> list[LesionBatch]:
        features = named.model.task.features
        return [
            named.batch(
                add_noise(
                    self.cases, features, self._deviations, noise, strength, seed=self.seed + draw
                ),
                own.image,
            )
            for draw in range(self.repeats)
        ]
