"""Selection of metadata features: all, named ones, or the k most associated with the diagnosis."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl
from lightning.pytorch.utilities import rank_zero_info

from vitatt.data.datasets.schema import DatasetSpec, Feature
from vitatt.data.metadata.association import associate
from vitatt.types import DataError


class FeatureSelection:
    """The metadata features that the setting `data.features` selects.

    Args:
        asked: ``all``; ``hc-K`` (HC-k) for the K features with the strongest association with the
            diagnosis, where ``hc-0`` is no metadata; or a list of columns.
        spec: The dataset.

    Raises:
        DataError: If it is none of these, K is larger than the number of features, or a column
            cannot be a feature.
    """

    def __init__(self, asked: str | Sequence[str], spec: DatasetSpec) -> None:
        self._asked = asked
        self._count: int | None = None
        self._candidates = spec.features
        if not isinstance(asked, str):
            self._candidates = spec.select(asked)
        elif found := re.fullmatch(r"hc-([0-9]+)", asked):
            self._count = int(found[1])
        elif asked != "all":
            raise DataError(
                "Expected `data.features` to be all, hc-K (such as hc-5: the 5 features most "
                f"associated with the diagnosis), or a list of columns, but got '{asked}'."
            )
        if self._count is not None and self._count > len(spec.features):
            raise DataError(
                f"Expected `data.features` to be hc-0 to hc-{len(spec.features)}, since "
                f"{spec.title} has {len(spec.features)} features, but got {asked}."
            )

    def of(self, training: pl.DataFrame) -> tuple[Feature, ...]:
        """Return the selected features, in the order of the dataset.

        An optional feature that has no value is not selected, unless it is named.

        Args:
            training: Rows of the training split. A selection on other rows would leak their labels.
        """
        candidates = self._candidates
        if isinstance(self._asked, str):
            absent = [
                feature.name
                for feature in candidates
                if feature.optional and training[feature.name].null_count() == training.height
            ]
            candidates = tuple(one for one in candidates if one.name not in absent)
            if absent:
                rank_zero_info(f"Features without any value are left out: {', '.join(absent)}.")
        if self._count is None:
            return candidates
        ranked = associate(training, candidates)["feature"].head(self._count).to_list()
        rank_zero_info(
            f"Features chosen on {training.height} training rows ({self._asked}): "
            f"{', '.join(ranked) or 'none'}."
        )
        return tuple(feature for feature in candidates if feature.name in ranked)
