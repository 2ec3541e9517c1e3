"""The cases of one outer fold by split, and the task fitted on its training split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from lightning.pytorch.utilities import rank_zero_info

from vitatt.data.cases import UsableCases, load_cases
from vitatt.data.datasets import Dataset
from vitatt.data.datasets.schema import DatasetSpec, Feature
from vitatt.data.datasets.table import layout_help
from vitatt.data.metadata.encoding import fit_features
from vitatt.data.metadata.feature_selection import FeatureSelection
from vitatt.data.splits import DEALT, SplitRows, split_rows
from vitatt.paths import user_path
from vitatt.types import DataError, FoldSpec, LesionTask

SplitName = Literal["train", "val", "test", "predict"]


class FoldData:
    """Training, validation and test cases of a fold, and the task fitted on the training cases.

    Args:
        dataset: The dataset.
        root: Folder of the labelled data.
        predict_root: Folder of the data to predict.
        fold_spec: Which fold of how many.
        features: Selection of metadata features.
        image_size: Side of the square input image, in pixels.
        smoothing: Probability mass that a soft one-hot vector gives to the other categories.
        num_bins: Bins of a numeric feature.
        cache_dir: Folder for decoded images.
        allow_ungrouped: Whether more labelled images than as published may lack a group.
        fitted: A task to use as it is instead of fitting one.
    """

    def __init__(
        self,
        dataset: Dataset,
        root: str | None,
        predict_root: str | None,
        fold_spec: FoldSpec,
        features: FeatureSelection,
        *,
        image_size: int,
        smoothing: float,
        num_bins: int,
        cache_dir: Path,
        fitted: LesionTask | None,
        allow_ungrouped: bool = False,
    ) -> None:
        self.dataset = dataset
        self.spec: DatasetSpec = dataset.spec
        self.root = root
        self.predict_root = predict_root
        self.fold_spec = fold_spec
        self.features = features
        self.image_size = image_size
        self.smoothing = smoothing
        self.num_bins = num_bins
        self.cache_dir = cache_dir
        self.fitted = fitted
        self.allow_ungrouped = allow_ungrouped

    @cached_property
    def task(self) -> LesionTask:
        """Classes, fitted encodings and fold, for the model and its checkpoint.

        Raises:
            DataError: If the given task is of another dataset, other classes or other views, or
                no training case has a view.
        """
        if self.fitted is not None:
            self._check_fitted(self.fitted)
            return self.fitted
        training = self.cases("train")
        for number, view in enumerate(self.spec.views):
            if training["image"].list.get(number).is_null().all():
                raise DataError(
                    f"The view '{view}' is absent in all {training.height} training cases, so that "
                    "nothing can be learnt of it. Remove it from `views` of the description."
                )
        counts = dict(training["diagnosis"].value_counts().iter_rows())
        return LesionTask(
            dataset=self.spec.name,
            classes=self.spec.classes,
            class_counts=tuple(counts[name] for name in self.spec.classes),
            features=fit_features(training, self.chosen, num_bins=self.num_bins),
            smoothing=self.smoothing,
            image_size=self.image_size,
            fold_spec=self.fold_spec,
            seen=self._seen(self.rows),
            description=self.dataset.description,
            positive=(self.spec.positive or "") if len(self.spec.classes) == 2 else "",
            views=self.spec.views,
        )

    @cached_property
    def chosen(self) -> tuple[Feature, ...]:
        """Metadata features of the given task, or else those selected on the training rows."""
        if self.fitted is not None:
            return self.spec.select(self._fitted_features(self.fitted))
        return self.features.of(self.cases("train"))

    @cached_property
    def labelled(self) -> UsableCases:
        """All labelled cases of `root` whose image can be read."""
        return self._load("data.root", self.root, labelled=True)

    @cached_property
    def unlabelled(self) -> UsableCases:
        """All cases of `predict_root` whose image can be read, labelled or not."""
        return self._load("data.predict_root", self.predict_root, labelled=False)

    @cached_property
    def rows(self) -> SplitRows:
        """Rows of `labelled` in the training, validation and test split.

        Raises:
            DataError: If the given task was fitted on another fold, or on other cases.
        """
        if self.fitted is not None and self.fitted.fold_spec != self.fold_spec:
            raise DataError(
                f"The checkpoint was trained with {_words(self.fitted.fold_spec)}, but the data "
                f"are to be split with {_words(self.fold_spec)}: cases it was trained on would be "
                "scored as unseen. Set `data.fold`, `data.num_folds`, `data.inner_fold`, "
                "`data.inner_folds` and `data.seed` to the checkpoint's."
            )
        rows = split_rows(self.labelled.frame, self.spec, self.fold_spec)
        if self.fitted is not None and self.fitted.seen not in ("", self._seen(rows)):
            raise DataError(
                "The checkpoint was trained on other cases than these data give its fold: images "
                "or rows were added, removed or became unreadable, so that some test cases may "
                "have been trained on. Use the data it was trained on."
            )
        shared = f"{self.spec.group} is in two splits"
        if alone := self.labelled.table.ungrouped:
            shared = f"known {shared} ({alone} images have no {self.spec.group_column})"
        rank_zero_info(
            f"Fold {self.fold_spec.fold} of {self.fold_spec.num_folds}: "
            f"{len(rows.train)} cases to train, {len(rows.val)} to validate, {len(rows.test)} to "
            f"test; no {shared}."
        )
        return rows

    def cases(self, name: SplitName) -> pl.DataFrame:
        """Return the rows of one split."""
        if name == "predict":
            return self.unlabelled.frame
        return self.labelled.frame[getattr(self.rows, name)]

    def _seen(self, rows: SplitRows) -> str:
        """Return a digest of the cases and groups of the training and validation split."""
        frame = self.labelled.frame[np.sort(np.concatenate([rows.train, rows.val]))]
        text = "\n".join(sorted(frame["case_id"] + " " + frame[DEALT]))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _load(self, key: str, root: str | None, *, labelled: bool) -> UsableCases:
        if not root:
            raise DataError(f"`{key}` is not set. {layout_help(self.spec)}")
        return load_cases(
            self.dataset,
            user_path(root, key),
            labelled=labelled,
            image_size=self.image_size,
            cache_dir=self.cache_dir,
            allow_ungrouped=self.allow_ungrouped,
            needed=None if labelled or self.fitted is None else self._fitted_features(self.fitted),
        )

    @staticmethod
    def _fitted_features(task: LesionTask) -> list[str]:
        return [feature.name for feature in task.features]

    def _check_fitted(self, task: LesionTask) -> None:
        if task.dataset != self.spec.name or task.classes != self.spec.classes:
            raise DataError(
                f"The checkpoint was trained on {task.dataset} with the classes "
                f"{', '.join(task.classes)}, but the data are {self.spec.name} with the classes "
                f"{', '.join(self.spec.classes)}. Use the checkpoint's own dataset."
            )
        if task.views != self.spec.views:
            raise DataError(
                f"The checkpoint was trained on cases of {_images(task.views)}, but the data have "
                f"cases of {_images(self.spec.views)}. Images differ by their order: use "
                "the description that the checkpoint was trained with."
            )


def _words(fold_spec: FoldSpec) -> str:
    inner = f"inner fold {fold_spec.inner_fold} of {fold_spec.inner_folds}, seed {fold_spec.seed}"
    return f"fold {fold_spec.fold} of {fold_spec.num_folds} ({inner})"


def _images(views: Sequence[str]) -> str:
    return f"the views {', '.join(views)}" if views else "one image"
