from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from pathlib import Path

import lightning
import numpy as np
import polars as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from vitatt.data.dataset import LesionDataset, PixelSource
from vitatt.data.images.cache import ImageCache
from vitatt.data.images.transforms import TrainingAugmentation
from vitatt.data.loader import TrainingLoader, evaluation_loader
from vitatt.data.metadata.encoding import EncodedMetadata
from vitatt.types import DataError, LesionBatch

SIZE = 12
Seen = list[tuple[tuple[str, ...], bytes]]
"""Case ids and pixels of each batch."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loader")


@pytest.fixture
def make_dataset(folder: Path, save_image):
    def make(count: int) -> LesionDataset:
        paths = [folder / f"{n}.png" for n in range(count)]
        for number, path in enumerate(paths):
            if not path.exists():
                save_image(path, seed=number, size=SIZE)
        names = [str(path) for path in paths]
        cache = ImageCache(names, size=SIZE, folder=folder / "cache")
        return LesionDataset(
            pl.DataFrame({"case_id": [path.stem for path in paths]}),
            PixelSource(cache, cache.rows(names), TrainingAugmentation(SIZE)),
            EncodedMetadata(np.zeros((count, 0), np.float32), np.zeros((count, 0), np.bool_)),
            np.zeros(count, np.int64),
            seed=5,
        )

    return make


def training(dataset: LesionDataset, **changes: int) -> TrainingLoader:
    settings = {"batch_size": 4, "seed": 5, "rank": 0, "world_size": 1, "num_workers": 0}
    return TrainingLoader(dataset, **{**settings, **changes})  # type: ignore[arg-type]


def seen(batches: Iterable[LesionBatch]) -> Seen:
    return [(tuple(batch.case_id), batch.pixels.numpy().tobytes()) for batch in batches]


def names(batches: Iterable[LesionBatch]) -> list[str]:
    return [name for batch in batches for name in batch.case_id]


def epochs(loader: TrainingLoader, count: int) -> list[Seen]:
    found = []
    for epoch in range(count):
        loader.epoch_sampler.set_epoch(epoch)
        found.append(seen(loader))
    return found


@pytest.mark.parametrize(("count", "batch_size"), [(18, 4), (20, 4), (1, 4), (5, 1)])
def test_every_case_once_an_epoch(count: int, batch_size: int, make_dataset) -> None:
    loader = training(make_dataset(count), batch_size=batch_size)
    batches = list(loader)
    assert sorted(names(batches), key=int) == [str(n) for n in range(count)]
    assert len(loader) == len(batches)


@pytest.mark.parametrize(("count", "batch_size"), [(17, 4), (3, 2)])
def test_a_last_case_alone_is_left_out(count: int, batch_size: int, make_dataset) -> None:
    loader = training(make_dataset(count), batch_size=batch_size)
    left_out = set()
    for epoch in range(12):
        loader.epoch_sampler.set_epoch(epoch)
        batches = list(loader)
        assert len(batches) == len(loader)
        assert {len(batch.case_id) for batch in batches} == {batch_size}
        missing = {str(n) for n in range(count)} - set(names(batches))
        assert len(missing) == 1
        left_out |= missing
    assert len(left_out) > 1


def test_the_seed_decides_order_and_pixels_whatever_the_workers(make_dataset) -> None:
    dataset = make_dataset(18)
    expected = epochs(training(dataset), 2)
    assert epochs(training(make_dataset(18), num_workers=2), 2) == expected
    assert expected[0] != expected[1]
    assert epochs(training(dataset, seed=6), 1) != expected[:1]


def test_pixels_change_from_epoch_to_epoch(make_dataset) -> None:
    loader = training(make_dataset(6), batch_size=6)
    images: dict[str, set[bytes]] = {}
    for epoch in range(3):
        loader.epoch_sampler.set_epoch(epoch)
        for batch in loader:
            for name, image in zip(batch.case_id, batch.pixels, strict=True):
                images.setdefault(name, set()).add(image.numpy().tobytes())
    assert {len(different) for different in images.values()} == {3}


class TestResume:
    @pytest.mark.parametrize(
        ("done", "workers"), [(0, (0, 0)), (1, (0, 2)), (3, (2, 0)), (5, (0, 0))]
    )
    def test_the_rest_of_the_epoch_then_the_next(
        self, done: int, workers: tuple[int, int], make_dataset
    ) -> None:
        whole = epochs(training(make_dataset(18)), 3)
        before = training(make_dataset(18), num_workers=workers[0])
        before.epoch_sampler.set_epoch(1)
        handed_out = iter(before)
        for _ in range(done):
            next(handed_out)
        state = before.state_dict()

        after = training(make_dataset(18), num_workers=workers[1])
        after.load_state_dict(state)
        after.epoch_sampler.set_epoch(1)  # as Lightning does, also on resuming
        assert seen(after) == whole[1][done:]
        after.epoch_sampler.set_epoch(2)
        assert seen(after) == whole[2]

    def test_a_second_time(self, make_dataset) -> None:
        whole = epochs(training(make_dataset(18)), 1)[0]
        state = {"epoch": 0, "batches": 0}
        for done in range(4):
            loader = training(make_dataset(18))
            loader.load_state_dict(state)
            assert seen([next(iter(loader))]) == whole[done : done + 1]
            state = loader.state_dict()
        assert state == {"epoch": 0, "batches": 4}

    def test_a_last_case_alone_is_the_same_one(self, make_dataset) -> None:
        whole = epochs(training(make_dataset(17)), 1)[0]
        loader = training(make_dataset(17))
        loader.load_state_dict({"epoch": 0, "batches": 3})
        assert seen(loader) == whole[3:]
        assert len(whole) == 4

    def test_each_process_on_its_own(self, make_dataset) -> None:
        for rank in (0, 1):
            whole = seen(training(make_dataset(20), rank=rank, world_size=2))
            loader = training(make_dataset(20), rank=rank, world_size=2)
            loader.load_state_dict({"epoch": 0, "batches": 1})
            assert seen(loader) == whole[1:]
            assert len(whole) == 3

    def test_the_state_is_known_before_the_first_batch(self, make_dataset) -> None:
        loader = training(make_dataset(18))
        assert loader.state_dict() == {"epoch": 0, "batches": 0}
        loader.load_state_dict({"epoch": 2, "batches": 3})
        assert loader.state_dict() == {"epoch": 2, "batches": 3}

    def test_a_new_epoch_has_handed_out_nothing(self, make_dataset) -> None:
        loader = training(make_dataset(18))
        assert len(list(loader)) == 5
        assert loader.state_dict() == {"epoch": 0, "batches": 5}
        loader.epoch_sampler.set_epoch(1)
        assert loader.state_dict() == {"epoch": 1, "batches": 0}


class Recorder(lightning.LightningModule):
    """Notes what it is given; stops like a killed run at some step."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches: Seen = []
        self.stop_at = stop_at

    def training_step(self, batch: LesionBatch) -> torch.Tensor:
        if self.global_step == self.stop_at:
            raise RuntimeError("killed")
        self.batches += seen([batch])
        return self.weight * 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder: Path, every: int | None = None) -> lightning.Trainer:
    saved = ModelCheckpoint(
        folder,
        every_n_train_steps=every,
        every_n_epochs=None if every else 1,
        save_top_k=-1,
        filename="{step}",
    )
    return lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        devices=1,
        logger=False,
        callbacks=[saved],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("every", "stop_at", "resume_at"), [(3, 8, 6), (None, 7, 5), (5, 13, 10)])
def test_lightning_goes_on_where_it_stopped(
    every: int | None, stop_at: int, resume_at: int, make_dataset, tmp_path: Path
) -> None:
    whole = [batch for epoch in epochs(training(make_dataset(18)), 3) for batch in epoch]
    first = Recorder(stop_at)
    with pytest.raises(RuntimeError, match="killed"):
        trainer(tmp_path, every).fit(first, training(make_dataset(18)))
    assert first.batches == whole[:stop_at]
    second = Recorder()
    trainer(tmp_path, every).fit(
        second, training(make_dataset(18)), ckpt_path=tmp_path / f"step={resume_at}.ckpt"
    )
    assert second.batches == whole[resume_at:]


@pytest.mark.parametrize(
    ("count", "ranks", "num_workers"),
    [(3, 3, 0), (10, 1, 0), (10, 3, 2)],
)
def test_evaluation_sees_each_case_once(
    count: int, ranks: int, num_workers: int, make_dataset
) -> None:
    dataset = make_dataset(count)
    parts = [
        names(
            evaluation_loader(
                dataset, batch_size=4, rank=rank, world_size=ranks, num_workers=num_workers
            )
        )
        for rank in range(ranks)
    ]
    assert sorted(itertools.chain(*parts), key=int) == [str(n) for n in range(count)]
    assert all(part == sorted(part, key=int) for part in parts)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("count", "ranks"), [(2, 3), (1, 2)])
def test_every_process_needs_a_batch(count: int, ranks: int, make_dataset) -> None:
    """One that had none would not take part in what all do together, and they would wait."""
    settings = {"batch_size": 4, "world_size": ranks, "num_workers": 0}
    with pytest.raises(DataError, match=f"there are processes, {ranks}, but got {count}: lower"):
        evaluation_loader(make_dataset(count), rank=0, **settings)


def test_processes_have_the_same_number_of_evaluation_batches(make_dataset) -> None:
    for count in (8, 9, 16, 17, 18, 23):
        settings = {"batch_size": 4, "world_size": 2, "num_workers": 0}
        loaders = [evaluation_loader(make_dataset(count), rank=n, **settings) for n in range(2)]
        sizes = [[len(batch.case_id) for batch in loader] for loader in loaders]
        assert len(sizes[0]) == len(sizes[1]) == len(loaders[0]) == math.ceil(count / 8)
        assert max(itertools.chain(*sizes)) <= 4


def test_only_batches_of_one_case_may_be_fewer_in_a_process(make_dataset) -> None:
    settings = {"batch_size": 1, "world_size": 2, "num_workers": 0}
    loaders = [evaluation_loader(make_dataset(5), rank=rank, **settings) for rank in range(2)]
    assert [names(loader) for loader in loaders] == [["0", "2", "4"], ["1", "3"]]


@pytest.mark.parametrize(("count", "ranks"), [(20, 2), (12, 3)])
def test_training_shares_the_cases_between_processes(count: int, ranks: int, make_dataset) -> None:
    loaders = [training(make_dataset(count), rank=rank, world_size=ranks) for rank in range(ranks)]
    parts = [names(loader) for loader in loaders]
    assert sorted(itertools.chain(*parts), key=int) == [str(n) for n in range(count)]
    assert len({len(loader) for loader in loaders}) == 1
