"""Robustness of models: every perturbation of metadata and images at every level."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import polars as pl
import torch

from vitatt.data.datamodule import LesionDataModule
from vitatt.data.images.corruptions import CORRUPTIONS
from vitatt.data.metadata.noise import NOISE, add_noise
from vitatt.evaluation.bootstrap import Floats
from vitatt.explain.checks.agreement import feature_importance
from vitatt.studies.models import Images, NamedModel
from vitatt.studies.perturbed_metadata import AT_RANDOM, LEAST, MOST, SHARES, perturb_metadata
from vitatt.studies.robustness_scores import probabilities_of, score_level
from vitatt.types import LesionBatch

Kind = Literal["missing", "noise", "image", "both", "view"]

PERTURBATIONS: dict[str, list[str]] = {
    "missing": [AT_RANDOM, MOST, LEAST],
    "noise": list(NOISE),
    "image": list(CORRUPTIONS),
    "both": list(CORRUPTIONS),
    "view": [],
}
"""Perturbations of each kind: one curve for each. Those of views are named as the dataset's."""

ABSENT = (0.25, 0.5, 0.75, 1.0)
"""Shares of cases that lack a view."""

STRENGTHS = range(1, 6)

Versions = list[LesionBatch] | None
"""Random versions of the input; None for the image with its own metadata."""


@dataclasses.dataclass
class RobustnessStudy:
    """Metrics of models on perturbed cases.

    Attributes:
        datamodule: Has the images.
        cases: Test cases.
        validation: Validation cases, on which the importance of features is measured.
        models: The models; the first is the reference if `has_reference`.
        has_reference: Whether the curves have differences to the first model.
        kinds: Kinds of perturbations.
        repeats: Random draws averaged at each level.
        seed: Seed of the draws.
        importance: Permutation importance of features by model, see `measure_importance`.
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
        """Number of points of all curves."""
        images = len(CORRUPTIONS) * len(STRENGTHS)
        count = 0
        for named in self.models:
            features = len(named.network.cardinalities)
            more = {
                "missing": (len(SHARES) + 2 * features) * (features > 0),
                "noise": len(NOISE) * len(STRENGTHS) * (features > 0),
                "image": images,
                "both": images,
                "view": len(ABSENT) * len(self.views),
            }
            count += sum(len(self.perturbations(kind)) + more[kind] for kind in self.kinds)
        return count

    @property
    def views(self) -> tuple[str, ...]:
        """Views of a case; empty if it is one image."""
        return self.datamodule.spec.views

    def perturbations(self, kind: Kind) -> list[str]:
        """Perturbations of a kind: one curve for each."""
        return list(self.views) if kind == "view" else PERTURBATIONS[kind]

    def ranked(self) -> list[NamedModel]:
        """The models whose features are perturbed by their importance."""
        if "missing" not in self.kinds:
            return []
        return [named for named in self.models if named.network.cardinalities]

    def measure_importance(self, named: NamedModel) -> None:
        """Measure the permutation importance of a model's features on the validation cases.

        Args:
            named: One of `ranked`.
        """
        image = self._images.of(named, "val", self.validation)
        batch = named.batch(self.validation, image)
        importance = feature_importance(named.network, batch, seed=self.seed)
        self.importance[named.name] = importance.permutation

    def measure(self) -> Iterator[list[dict[str, Any]]]:
        """Yield each point of a curve as it is measured, with one row for each metric.

        A model that sees no metadata has only the first point of the curves over metadata. The
        importance of the features of each model in `ranked` must have been measured.
        """
        yield from self._with_images(None)
        if {"image", "both"} & set(self.kinds):
            for corruption in CORRUPTIONS:
                for strength in STRENGTHS:
                    yield from self._with_images((corruption, strength))

    def _with_images(self, corruption: tuple[str, int] | None) -> Iterator[list[dict[str, Any]]]:
        """Points with these images, corrupted or not."""
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
            for perturbation in self.perturbations(kind):
                yield kind, perturbation, 0, None
        if "missing" in self.kinds and sees_metadata:
            importance = self.importance[named.name]
            perturbed = perturb_metadata(
                named.network, own, importance, repeats=self.repeats, seed=self.seed
            )
            for perturbation, level, versions in perturbed:
                yield "missing", perturbation, level, versions
        if "noise" in self.kinds and sees_metadata:
            for noise, levels in NOISE.items():
                for strength, level in zip(STRENGTHS, levels, strict=True):
                    yield "noise", noise, level, self._noisy(named, own, noise, strength)

        if "view" in self.kinds:
            for number, view in enumerate(self.views):
                for share in ABSENT:
                    yield "view", view, share, self._without(own, number, share)

    def _without(self, own: LesionBatch, view: int, share: float) -> list[LesionBatch]:
        """Versions in which a share of the cases lacks a view; no case loses its last one."""
        absent = own.image.absent
        if absent is None:  # the network sees no image
            return [own]
        others = torch.arange(len(self.views), device=absent.device) != view
        has_another = (~absent & others).any(1)
        versions = []
        for draw in range(self.repeats if share < 1 else 1):
            drawn = np.random.default_rng((self.seed, draw)).random(len(absent)) < share
            hidden = has_another & torch.from_numpy(drawn).to(absent.device)
            changed = absent.clone()
            changed[:, view] |= hidden
            versions.append(own._replace(image=own.image._replace(absent=changed)))
        return versions

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
