"""Data loaders: training that resumes within an epoch, evaluation that gives each case once."""

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
    """Sampler of shuffled rows, each with its epoch.

    Random augmentation thereby depends on seed, epoch and row only, and resuming repeats it.

    Attributes:
        start: Number of rows of this process to skip in the epoch; set on resuming.
        given: Number of batches of the epoch that were handed out; counted by the loader.
    """

    start = 0
    given = 0

    def __iter__(self) -> Iterator[Key]:  # type: ignore[override]
        rows: list[int] = list(super().__iter__())  # type: ignore[arg-type]
        return ((row, self.epoch) for row in rows[self.start :])

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch; another epoch than before begins with its first row."""
        if epoch != self.epoch:
            self.start = self.given = 0
        super().set_epoch(epoch)


class TrainingLoader(DataLoader[LesionBatch]):
    """A shuffling loader whose position in the epoch is stored in checkpoints.

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
        # Batch normalisation needs two cases, so a last batch of one case is dropped. Which case
        # that is changes with the epoch.
        count = len(self.epoch_sampler)
        last_has_one_case = count % batch_size == 1 and count > 1
        super().__init__(
            dataset,
            batch_size=batch_size,
            sampler=self.epoch_sampler,
            drop_last=last_has_one_case,
            **_shared_settings(num_workers),
        )

    def __iter__(self) -> Iterator[LesionBatch]:  # type: ignore[override]
        self.epoch_sampler.given = self.epoch_sampler.start // (self.batch_size or 1)
        for batch in super().__iter__():
            self.epoch_sampler.given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of its batches that were handed out."""
        return {"epoch": self.epoch_sampler.epoch, "batches": self.epoch_sampler.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after the batches that were handed out."""
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
) -> DataLoader[LesionBatch]:
    """Return a loader that gives each case once, in row order, in one of the processes.

    All processes have the same number of batches, because they may wait for one another in each. A
    process with one case fewer makes an earlier batch smaller, so that its last one is not empty.
    Only with batches of one case does it have one batch fewer.

    Args:
        dataset: The cases.
        batch_size: Cases per batch and process.
        rank: Number of this process.
        world_size: Number of processes.
        num_workers: Loading processes.

    Raises:
        DataError: If there are fewer cases than processes: one without a batch would make the
            others wait forever.
    """
    if len(dataset) < world_size:
        raise DataError(
            f"Expected at least as many cases in each split as there are processes, {world_size}, "
            f"but got {len(dataset)}: lower `trainer.devices`."
        )
    rows = np.arange(rank, len(dataset), world_size)
    starts = np.arange(batch_size, -(-len(dataset) // world_size), batch_size)
    left = np.arange(len(starts), 0, -1)  # batches from each start on, which need a case each
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
    """Ignore signals sent to all processes of a training, whose main process finishes its step."""
    del worker
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
