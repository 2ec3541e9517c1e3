"""The LightningDataModule: batches of one outer fold of a dataset."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import lightning
import polars as pl
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from vitatt.data.cases import UsableCases
from vitatt.data.dataset import ImageSource, LesionDataset, PixelSource
from vitatt.data.datasets import find_dataset, recorded_dataset
from vitatt.data.datasets.schema import DatasetSpec
from vitatt.data.fold import FoldData, SplitName
from vitatt.data.images.cache import default_folder
from vitatt.data.images.transforms import TrainingAugmentation
from vitatt.data.loader import TrainingLoader, evaluation_loader
from vitatt.data.metadata.encoding import describe_values, encode
from vitatt.data.metadata.feature_selection import FeatureSelection
from vitatt.data.splits import SplitRows
from vitatt.data.views import slots_of
from vitatt.paths import user_path
from vitatt.ranges import Range, Ranges, check_ranges
from vitatt.types import DataError, FoldSpec, LesionBatch, LesionTask, class_index

__all__ = ["LesionDataModule", "SplitName"]


class LesionDataModule(lightning.LightningDataModule):
    """Images and metadata of a dataset, with no patient or lesion in two splits.

    Args:
        dataset: Registered name of the dataset, such as pad_ufes_20, or the path of a YAML file
            that describes one.
        root: Folder of the labelled data.
        predict_root: Folder of the data to predict, in the same layout; labels are optional.
        features: Metadata columns to use, ``all``, or ``hc-K`` for the K that are most strongly
            associated with the diagnosis in the training split, see `FeatureSelection`.
        fold: Outer test fold, 0 to ``num_folds - 1``.
        num_folds: Number of outer folds.
        inner_folds: The validation split is one of this many parts of the training groups.
        inner_fold: Which of them, 0 to ``inner_folds - 1``.
        seed: Seed of folds, order and augmentation.
        image_size: Side of the square input image, in pixels.
        batch_size: Cases per step and device.
        num_workers: Loading processes; by default one for each further core, at most 8, if there
            are augmentations to compute, else none.
        smoothing: Probability mass that a soft one-hot vector gives to the other categories.
        num_bins: Bins of a numeric feature.
        cache_dir: Folder for decoded images; by default ``vitatt`` in the user's cache folder.
        allow_ungrouped: Whether to train although the patient or lesion of many images is unknown;
            each of these images is a group of its own.
        task: A fitted task, from a checkpoint, to use instead of fitting one; its features,
            smoothing and image size override the arguments.

    Attributes:
        ranges: Ranges of numeric arguments, by name.

    Raises:
        UsageError: If a number is out of its range, or the dataset is neither
            registered nor described.
        DataError: If the data, or these settings for this data, cannot be used.
    """

    ranges: Ranges = MappingProxyType(
        {
            "fold": Range(least=0),
            "num_folds": Range(least=2),
            "inner_folds": Range(least=2),
            "inner_fold": Range(least=0),
            "seed": Range(least=0, most=2**32 - 1),
            "image_size": Range(least=1),
            "batch_size": Range(least=1),
            "num_workers": Range(least=0),
            "smoothing": Range(least=0, below=1),
            "num_bins": Range(least=2),
        }
    )

    def __init__(
        self,
        dataset: str,
        root: str | None = None,
        predict_root: str | None = None,
        features: list[str] | str = "all",
        fold: int = 0,
        num_folds: int = 5,
        inner_folds: int = 5,
        inner_fold: int = 0,
        seed: int = 0,
        image_size: int = 224,
        batch_size: int = 32,
        num_workers: int | None = None,
        smoothing: float = 0.1,
        num_bins: int = 8,
        cache_dir: str | None = None,
        allow_ungrouped: bool = False,
        task: dict[str, Any] | None = None,
    ) -> None:
        check_ranges(self.ranges, locals(), "data")
        super().__init__()
        fitted = LesionTask.from_plain(task) if task else None
        if fitted is not None and dataset == fitted.dataset:
            described = recorded_dataset(dataset, fitted.description, "the task of a checkpoint")
        else:
            described = find_dataset(dataset, "`data.dataset`")
        self.spec: DatasetSpec = described.spec
        self.root = root
        self.predict_root = predict_root
        self.cache_dir = user_path(cache_dir, "data.cache_dir") if cache_dir else default_folder()
        self.fold_spec = FoldSpec(fold, num_folds, seed, inner_folds, inner_fold)
        self.image_size = fitted.image_size if fitted else image_size
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.fold_data = FoldData(
            described,
            root,
            predict_root,
            self.fold_spec,
            FeatureSelection(features, self.spec),
            image_size=self.image_size,
            smoothing=smoothing,
            num_bins=num_bins,
            cache_dir=self.cache_dir,
            fitted=fitted,
            allow_ungrouped=allow_ungrouped,
        )
        self._loader: TrainingLoader | None = None
        self._position: dict[str, int] | None = None
        self._parts: dict[SplitName, LesionDataset] = {}

    @property
    def task(self) -> LesionTask:
        """Classes, fitted encodings and fold, for the model and its checkpoint.

        Raises:
            DataError: If the given task is of another dataset, other classes or other views.
        """
        return self.fold_data.task

    @property
    def labelled(self) -> UsableCases:
        """Every labelled case of `root` whose image can be read."""
        return self.fold_data.labelled

    @property
    def unlabelled(self) -> UsableCases:
        """Every case of `predict_root` whose image can be read, labelled or not."""
        return self.fold_data.unlabelled

    @property
    def rows(self) -> SplitRows:
        """Rows of `labelled` in the training, validation and test split."""
        return self.fold_data.rows

    def cases(self, name: SplitName) -> pl.DataFrame:
        """The rows of one split, in the order of its dataset."""
        return self.fold_data.cases(name)

    def dataset_of(self, name: SplitName) -> LesionDataset:
        """The dataset of one split, created on the first call."""
        if name not in self._parts:
            augmentation = TrainingAugmentation(self.image_size) if name == "train" else None
            self._parts[name] = self.make_dataset(name, self.cases(name), augmentation)
        return self._parts[name]

    def make_dataset(
        self, name: SplitName, cases: pl.DataFrame, augmentation: TrainingAugmentation | None = None
    ) -> LesionDataset:
        """Some rows of a split as a dataset of pixels."""
        cache = (self.unlabelled if name == "predict" else self.labelled).cache
        index = class_index(self.spec.classes)
        targets = cases["diagnosis"].replace_strict(index, default=-1, return_dtype=pl.Int64)
        return LesionDataset(
            cases,
            PixelSource(cache, slots_of(cases, cache), augmentation),
            encode(cases, self.task.features, smoothing=self.task.smoothing),
            targets.fill_null(-1).to_numpy(),
            seed=self.fold_spec.seed,
        )

    def use_source(self, name: SplitName, source: ImageSource) -> None:
        """Replace the image source of a split, such as by tokens computed beforehand."""
        self.dataset_of(name).source = source

    def describe(self, row: dict[str, object]) -> list[str | None]:
        """Texts of a case's metadata values, one per feature; None where missing."""
        return describe_values(row, self.task.features)

    def panel(self, name: SplitName, size: int) -> tuple[LesionBatch, pl.DataFrame]:
        """A fixed selection of cases spread over the classes, as pixels, and their rows."""
        cases = self.cases(name)
        turns = pl.int_range(pl.len()).over("diagnosis").alias("turn")
        chosen = cases.with_columns(turns).sort("turn", "diagnosis", maintain_order=True)
        chosen = chosen.head(size).sort("diagnosis", "turn").drop("turn")
        return self.make_dataset(name, chosen).__getitems__(range(chosen.height)), chosen

    def setup(self, stage: str) -> None:
        """Read and check the data of a stage, so that errors are raised before the work."""
        splits: dict[str, tuple[SplitName, ...]] = {
            "fit": ("train", "val"),
            "validate": ("val",),
            "test": ("test",),
            "predict": ("predict",),
        }
        for name in splits[stage]:
            self.dataset_of(name)

    def train_dataloader(self) -> TrainingLoader:
        """Shuffled and augmented training cases."""
        dataset = self.dataset_of("train")
        rank, world_size = self._place()
        if len(dataset) < 2:
            raise DataError(f"Expected at least 2 training cases, but got {len(dataset)}.")
        num_workers = self._workers(dataset)
        if num_workers:
            rank_zero_info(f"Images are augmented in {num_workers} processes of their own.")
        self._loader = TrainingLoader(
            dataset,
            batch_size=self.batch_size,
            seed=self.fold_spec.seed,
            rank=rank,
            world_size=world_size,
            num_workers=num_workers,
        )
        if self._position is not None:
            self.require_same_batches(self._position, world_size)
            self._loader.load_state_dict(self._position)
            self._position = None
        return self._loader

    def state_dict(self) -> dict[str, Any]:
        """The position in the epoch, for checkpoints."""
        if self._loader is None:
            return {}
        _, processes = self._place()
        return {
            **self._loader.state_dict(),
            "batch_size": self.batch_size,
            "processes": processes,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Make the next training loader continue from this position.

        Lightning itself does not restore the loader if the number of steps was needed before, as by
        a learning rate schedule, because the loader exists by then.
        """
        self._position = state_dict or None

    def require_same_batches(self, position: Mapping[str, int], processes: int) -> None:
        """Check that a resumed training has the batch size and processes that it began with.

        Args:
            position: Position of the training, from a checkpoint.
            processes: Number of processes of the resumed training.

        Raises:
            DataError: If one of them differs: cases would be left out or repeated.
        """
        for name, setting, now in (
            ("batch_size", "`data.batch_size`", self.batch_size),
            ("processes", "`trainer.devices` times `trainer.num_nodes`", processes),
        ):
            if (before := position.get(name, now)) != now:
                raise DataError(
                    f"Expected {setting} to be {before}, as in the training that is to go on, but "
                    f"got {now}: cases would be left out or come twice."
                )

    def val_dataloader(self) -> DataLoader[LesionBatch]:
        """Validation cases in row order."""
        return self._evaluation("val")

    def test_dataloader(self) -> DataLoader[LesionBatch]:
        """Cases of the outer fold in row order."""
        return self._evaluation("test")

    def predict_dataloader(self) -> DataLoader[LesionBatch]:
        """Cases of `predict_root` in row order."""
        return self._evaluation("predict")

    def _evaluation(self, name: SplitName) -> DataLoader[LesionBatch]:
        rank, world_size = self._place()
        return evaluation_loader(
            self.dataset_of(name),
            batch_size=self.batch_size,
            rank=rank,
            world_size=world_size,
            num_workers=0,  # reading the memory map is faster than sending batches
        )

    def _place(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _workers(self, dataset: LesionDataset) -> int:
        if self.num_workers is not None:
            return self.num_workers
        if not isinstance(dataset.source, PixelSource):
            return 0
        return min(8, (os.cpu_count() or 1) - 1)
