"""Which metadata features a network sees: all, those named, or the k that say most."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl
from lightning.pytorch.utilities import rank_zero_info

from vitatt.data.datasets.schema import DatasetSpec, Feature
from vitatt.data.metadata.association import associate
from vitatt.types import DataError


class FeatureSelection:
    """What `data.features` asks for.

    Args:
        asked: ``all``; ``hc-K`` for the K features with the highest association with the diagnosis,
            ``hc-0`` being no metadata; or columns.
        spec: The dataset.

    Raises:
        DataError: If it is none of these, there are not so many features, or a column cannot be a
            feature.
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
        """The features, in the dataset's own order.

        Args:
            training: Rows that the network may learn from: a choice that saw others would have
                seen the answers it is tested on.
        """
        if self._count is None:
            return self._candidates
        ranked = associate(training, self._candidates)["feature"].head(self._count).to_list()
        rank_zero_info(
            f"Features chosen on {training.height} training rows ({self._asked}): "
            f"{', '.join(ranked) or 'none'}."
        )
        return tuple(feature for feature in self._candidates if feature.name in ranked)
