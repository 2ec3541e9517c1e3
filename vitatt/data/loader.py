"""Loaders that resume in the middle of an epoch, and that evaluate each case once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, DistributedSampler

from vitatt.data.dataset import Key, LesionDataset
from vitatt.types import DataError, LesionBatch


class EpochSampler(DistributedSampler[LesionBatch]):
    """Shuffled rows, each with its epoch, so that chance depends on (seed, epoch, row) only.

    Attributes:
        start: Rows of this process to leave out at the beginning of the epoch; set on resuming.
        given: Batches of the epoch that were handed out; counted by the loader.
    """

    start = 0
    given = 0

    def __iter__(self) -> Iterator[Key]:  # type: ignore[override]
        rows: list[int] = list(super().__iter__())  # type: ignore[arg-type]
        return ((row, self.epoch) for row in rows[self.start :])

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch; a new one begins with its first row."""
        if epoch != self.epoch:
            self.start = self.given = 0
        super().set_epoch(epoch)


class TrainingLoader(DataLoader[LesionBatch]):
    """A shuffling loader whose position travels in checkpoints.

    Args:
        dataset: The training cases.
        batch_size: Cases per batch and process.
        seed: Decides the order, together with the epoch.
        rank: Number of this process.
        world_size: Number of processes.
        num_workers: Loading processes.
    """

    def __init__(
        self,
        dataset: LesionDataset,
        *,
        batch_size: int,
        seed: int,
        rank: int,
        world_size: int,
        num_workers: int,
    ) -> None:
        self.epoch_sampler = EpochSampler(
            dataset, num_replicas=world_size, rank=rank, shuffle=True, seed=seed
        )
        # The last batch is left out if it has one case: batch normalisation needs two. Which case
        # that is changes with the epoch.
        lonely = len(self.epoch_sampler) % batch_size == 1 and len(self.epoch_sampler) > 1
        super().__init__(
            dataset,
            batch_size=batch_size,
            sampler=self.epoch_sampler,
            drop_last=lonely,
            **_shared_settings(num_workers),
        )

    def __iter__(self) -> Iterator[LesionBatch]:  # type: ignore[override]
        self.epoch_sampler.given = self.epoch_sampler.start // (self.batch_size or 1)
        for batch in super().__iter__():
            self.epoch_sampler.given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch and the batches of it that were handed out."""
        return {"epoch": self.epoch_sampler.epoch, "batches": self.epoch_sampler.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the batches that were handed out."""
        self.epoch_sampler.set_epoch(state["epoch"])
        self.epoch_sampler.given = state["batches"]
        self.epoch_sampler.start = state["batches"] * (self.batch_size or 1)


def evaluation_loader(
    dataset: LesionDataset,
    *,
    batch_size: int,
    rank: int,
    world_size: int,
    num_workers: int,
    repeats: bool = False,
) -> DataLoader[LesionBatch]:
    """A loader in row order in which each case comes once, in one of the processes.

    All processes have as many batches, so that they can compute each one together: one with a case
    less keeps some for the last. Those with fewer cases than batches (of one case each) have one
    batch less.

    Args:
        dataset: The cases.
        batch_size: Cases per batch and process.
        rank: Number of this process.
        world_size: Number of processes.
        num_workers: Loading processes.
        repeats: With fewer cases than processes, give those without any the first case again: all
            must have a batch, or they would wait for one another forever.

    Raises:
        DataError: If there are fewer cases than processes, and none may come twice.
    """
    if len(dataset) < world_size and not repeats:
        raise DataError(
            f"Expected at least as many cases in each part as there are processes, {world_size}, "
            f"but got {len(dataset)}: lower `trainer.devices`."
        )
    rows = np.arange(rank, len(dataset), world_size)
    if not len(rows):
        rows = np.zeros(1, dtype=np.int64)
    starts = np.arange(batch_size, -(-len(dataset) // world_size), batch_size)
    left = np.arange(len(starts), 0, -1)  # batches from each start on
    parts = np.split(rows, np.minimum(starts, len(rows) - left))
    batches = [part.tolist() for part in parts if len(part)]
    return DataLoader(dataset, batch_size=None, sampler=batches, **_shared_settings(num_workers))


def _shared_settings(num_workers: int) -> dict[str, Any]:
    return {
        "num_workers": num_workers,
        "persistent_workers": num_workers > 0,
        "collate_fn": _already_a_batch,
        "worker_init_fn": _leave_signals_to_the_trainer,
        "pin_memory": torch.cuda.is_available(),
    }


def _already_a_batch(batch: LesionBatch) -> LesionBatch:
    return batch


def _leave_signals_to_the_trainer(worker: int) -> None:
    """Ignore what is sent to all processes of a training: the first one finishes its step."""
    del worker
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
