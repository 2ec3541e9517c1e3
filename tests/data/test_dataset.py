from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from vitatt.data.dataset import LesionDataset, PixelSource
from vitatt.data.images.cache import ImageCache
from vitatt.data.images.reading import read_image
from vitatt.data.images.transforms import TrainingAugmentation
from vitatt.data.metadata.encoding import encode
from vitatt.types import FeatureEncoding, LesionBatch, Pixels, Tokens

COUNT, SIZE = 9, 12
ITCH = FeatureEncoding("itch", "itches", "categorical", categories=("False", "True"))


@pytest.fixture
def paths(tmp_path: Path, save_image) -> list[str]:
    return [str(save_image(tmp_path / f"{n}.png", seed=n, size=SIZE)) for n in range(COUNT)]


def make(paths: list[str], folder: Path, *, augment: bool = False, seed: int = 0) -> LesionDataset:
    cases = pl.DataFrame(
        {"case_id": [f"case {n}" for n in range(COUNT)], "itch": ["True", "False", None] * 3}
    )
    cache = ImageCache(paths, size=SIZE, folder=folder)
    return LesionDataset(
        cases,
        PixelSource(cache, cache.rows(paths), TrainingAugmentation(SIZE) if augment else None),
        encode(cases, (ITCH,), smoothing=0.1),
        np.arange(COUNT) - 1,
        seed=seed,
    )


def same(one: LesionBatch, other: LesionBatch) -> bool:
    tensors = zip((one.pixels, *one[1:4]), (other.pixels, *other[1:4]), strict=True)
    return one.case_id == other.case_id and all(torch.equal(a, b) for a, b in tensors)


def joined(batches: list[LesionBatch]) -> LesionBatch:
    fields = zip(*((batch.pixels, *batch[1:4]) for batch in batches), strict=True)
    pixels, *others = (torch.cat(parts) for parts in fields)
    return LesionBatch(
        Pixels(pixels), *others, case_id=[name for batch in batches for name in batch.case_id]
    )


def test_a_batch(paths: list[str], tmp_path: Path) -> None:
    dataset = make(paths, tmp_path / "cache")
    assert len(dataset) == COUNT
    rows = [4, 0, 8]
    batch = dataset.__getitems__(rows)
    expected = np.stack([read_image(paths[row], SIZE) for row in rows]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(batch.pixels.numpy(), expected)
    assert batch.pixels.dtype == torch.uint8
    torch.testing.assert_close(batch.metadata, torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]]))
    assert batch.missing.tolist() == [[False], [False], [True]]
    assert batch.target.tolist() == [3, -1, 7]
    assert batch.target.dtype == torch.int64
    assert batch.case_id == ["case 4", "case 0", "case 8"]
    assert all(type(name) is str for name in batch.case_id)


@pytest.mark.parametrize("augment", [False, True])
def test_a_batch_equals_its_cases(augment: bool, paths: list[str], tmp_path: Path) -> None:
    dataset = make(paths, tmp_path / "cache", augment=augment)
    keys = [(7, 3), (2, 3), (7, 4), (0, 0)]
    batch = dataset.__getitems__(keys)
    assert same(batch, joined([dataset[key] for key in keys]))
    assert same(batch, joined([make(paths, tmp_path / "cache", augment=augment)[k] for k in keys]))


def test_changing_a_batch_leaves_the_cache_as_it_is(paths: list[str], tmp_path: Path) -> None:
    dataset = make(paths, tmp_path / "cache")
    batch = dataset.__getitems__([0, 1])
    batch.pixels.zero_()
    batch.metadata.zero_()
    assert dataset[0].pixels.any()
    assert dataset[0].metadata.any()


def test_augmentation_changes_with_seed_epoch_and_row(paths: list[str], tmp_path: Path) -> None:
    # One image under nine names: only chance can make its rows differ.
    twins = [paths[0]] * COUNT
    images = {
        make(twins, tmp_path / "cache", augment=True, seed=seed)[row, epoch]
        .pixels.numpy()
        .tobytes()
        for seed in (0, 1)
        for epoch in (0, 1, 2)
        for row in (0, 1, 2)
    }
    assert len(images) == 18


def test_without_augmentation_the_epoch_changes_nothing(paths: list[str], tmp_path: Path) -> None:
    dataset = make(paths, tmp_path / "cache")
    assert same(dataset[2, 0], dataset[2, 5])


def test_another_source_takes_the_images_place(paths: list[str], tmp_path: Path) -> None:
    class Source:
        def fetch(self, rows, seeds):
            return Tokens(torch.from_numpy(rows).half()[:, None, None].expand(-1, 5, 3))

    dataset = make(paths, tmp_path / "cache")
    dataset.source = Source()
    batch = dataset.__getitems__([3, 1])
    assert batch.image.values.shape == (2, 5, 3)
    assert batch.image.values[:, 0, 0].tolist() == [3, 1]
    assert batch.case_id == ["case 3", "case 1"]
