"""The checkpoints of a training: its best validation runs and its last epoch."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import lightning
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn

from vitatt.callbacks.run_folder import run_folder
from vitatt.files import whole_file
from vitatt.models.metrics import SELECTION, direction
from vitatt.ranges import Range, Ranges, check_ranges
from vitatt.types import UsageError

BEST, LAST = "best.ckpt", "last.ckpt"


class Scored(NamedTuple):
    """A validation run of a training.

    Attributes:
        score: The monitored metric; the number of the epoch if none is monitored.
        epoch: From 0.
        step: Optimizer steps before it.
    """

    score: float
    epoch: int
    step: int


class BestCheckpoint(Checkpoint):
    """Keeps ``checkpoints/best.ckpt``: the weights of the best validation run so far, or the last.

    Files are remembered by their names alone, so that a run's folder may be moved or copied.

    Args:
        monitor: The metric of a validation run that decides. Whether higher or lower is better
            follows from the metric. None keeps the end of the training, as is better where few
            cases validate: the best of many noisy metrics is often an early one.
        save_top_k: Best epochs to keep: of several, or of all (-1), each has a file named by epoch
            and metric, and ``best.ckpt`` is the best of them; 0 keeps none.

    Attributes:
        history: All validation runs, in order, also those before a training was resumed.
        kept: Files by name.

    Raises:
        UsageError: If a number is out of its range.
    """

    ranges: ClassVar[Ranges] = {"save_top_k": Range(least=-1)}

    def __init__(self, monitor: str | None = SELECTION, save_top_k: int = 1) -> None:
        check_ranges(self.ranges, locals(), "checkpoint")
        self.monitor = monitor
        self.save_top_k = save_top_k
        self.history: list[Scored] = []
        self.kept: dict[str, Scored] = {}
        self._folder: Path | None = None
        self._scored: Scored | None = None

    @property
    def best_model_path(self) -> str:
        """The best checkpoint; empty if there is none. Lightning's name for it."""
        return str(self._folder / BEST) if self._folder is not None and self.kept else ""

    @property
    def best(self) -> Scored | None:
        """The best validation run of the log; of equal ones the first."""
        return self._sorted(self.history)[0] if self.history else None

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Set the folder."""
        del pl_module
        if stage == "fit":
            self._folder = run_folder(trainer) / "checkpoints"

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """After resuming, copy the best files so far into this run's folder."""
        del pl_module
        if trainer.ckpt_path is None or self._folder is None:
            return
        beside = Path(trainer.ckpt_path).resolve().parent
        if trainer.is_global_zero and beside != self._folder.resolve():
            for name in {*self.kept, *([BEST] if self.kept else [])}:
                if (beside / name).is_file() and not (self._folder / name).exists():
                    with whole_file(self._folder / name) as part:
                        shutil.copyfile(beside / name, part)
        trainer.strategy.barrier("best checkpoints")
        if lost := [name for name in self.kept if not (self._folder / name).is_file()]:
            best = self._sorted(self.kept.values())[0]
            self.kept, self.history = {}, []
            if self.monitor is None:  # a later one replaces it
                return
            rank_zero_warn(
                f"{', '.join(lost)} of the training that goes on is not beside "
                f"{trainer.ckpt_path}, so that its best epoch so far (epoch {best.epoch}, "
                f"{self.monitor} {best.score:.4f}) is lost: {BEST} will be the best one from here "
                "on. To keep it, stop, put the file there and resume again."
            )

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Record the metric; save at once, unless the epoch ends with this validation run.

        Raises:
            UsageError: If the metric is undefined.
        """
        del pl_module
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING or trainer.fast_dev_run:
            return
        score = float(
            trainer.current_epoch
            if self.monitor is None
            else trainer.callback_metrics[self.monitor]
        )
        if math.isnan(score):
            raise UsageError(
                f"The metric {self.monitor}, which `checkpoint.monitor` names, is undefined in "
                "this validation split, so that no epoch is the best: it needs cases of the class, "
                "or of more than one class. Choose another `data.inner_fold`, fewer "
                "`data.inner_folds`, or another metric such as val/balanced_accuracy."
            )
        self._scored = Scored(score, trainer.current_epoch, trainer.global_step)
        self.history.append(self._scored)
        if not trainer.is_last_batch:
            self._save(trainer)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Save if the validation run at the end of the epoch is among the best."""
        del pl_module
        self._save(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Kept checkpoints, and the metric of every validation run."""
        return {
            "monitor": self.monitor,
            "kept": {name: tuple(scored) for name, scored in self.kept.items()},
            "history": [tuple(scored) for scored in self.history],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore kept checkpoints and metrics.

        Raises:
            UsageError: If another metric decided.
        """
        self.require_same_monitor(state_dict)
        self.kept = {name: Scored(*scored) for name, scored in state_dict["kept"].items()}
        self.history = [Scored(*scored) for scored in state_dict["history"]]

    def require_same_monitor(self, state_dict: Mapping[str, Any]) -> None:
        """See that a resumed training has the monitored metric that it was begun with.

        Args:
            state_dict: Of this callback, in the checkpoint of that training.

        Raises:
            UsageError: If another one did: the best epoch of before could not be compared.
        """
        if (before := state_dict.get("monitor", self.monitor)) != self.monitor:
            raise UsageError(
                f"Expected `checkpoint.monitor` to be {before}, as in the training that goes on, "
                f"but got {self.monitor}: its best epoch could not be compared."
            )

    def _save(self, trainer: lightning.Trainer) -> None:
        scored, self._scored = self._scored, None
        if scored is None or self.save_top_k == 0 or self._folder is None:
            return
        ranked = self._sorted([*self.kept.values(), scored])
        wanted = ranked if self.save_top_k == -1 else ranked[: self.save_top_k]
        if scored not in wanted:
            return
        name = BEST if self.save_top_k == 1 else self._name(scored)
        dropped = [other for other, one in self.kept.items() if one not in wanted]
        for other in dropped:
            del self.kept[other]
        self.kept[name] = scored  # before the file is written, which holds this state
        trainer.save_checkpoint(self._folder / name, weights_only=False)
        if not trainer.is_global_zero:
            return
        if name != BEST and ranked[0] == scored:
            link_file(self._folder / name, self._folder / BEST)
        for other in dropped:
            if other not in self.kept:
                (self._folder / other).unlink(missing_ok=True)

    def _name(self, scored: Scored) -> str:
        metric = "epoch" if self.monitor is None else self.monitor.replace("/", "-")
        return f"epoch-{scored.epoch:03d}-step-{scored.step:06d}-{metric}-{scored.score:.4f}.ckpt"

    def _sorted(self, runs: Any) -> list[Scored]:
        """The best first; of equal ones the earlier."""
        if self.monitor is None:
            return sorted(runs, key=lambda one: -one.step)
        sign = 1 if direction(self.monitor) == "min" else -1
        return sorted(runs, key=lambda one: (sign * one.score, one.step))


class LastCheckpoint(Checkpoint):
    """Keeps ``checkpoints/last.ckpt``: after every epoch, and every validation run within one.

    It comes after `BestCheckpoint` in each, so that it knows of the best: a training that dies in
    between is resumed from before, and finds the same best again.
    """

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Save, unless the epoch ends here."""
        del pl_module
        if trainer.state.fn == TrainerFn.FITTING and not trainer.is_last_batch:
            self._save(trainer)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Save."""
        del pl_module
        self._save(trainer)

    def _save(self, trainer: lightning.Trainer) -> None:
        if not (trainer.sanity_checking or trainer.fast_dev_run):
            trainer.save_checkpoint(run_folder(trainer) / "checkpoints" / LAST, weights_only=False)


def link_file(file: Path, link: Path) -> None:
    """Give a file a second name by an atomic link, or a copy where links are not possible."""
    with whole_file(link) as part:
        try:
            part.hardlink_to(file)
        except OSError:  # another disk, or one without links
            shutil.copyfile(file, part)
