"""The W&B logger: offline without a login or a network, one folder per run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only, rank_zero_warn

from vitatt.callbacks.identity import new_identity
from vitatt.files import check_folder
from vitatt.types import UsageError

_WAIT = 20
"""Seconds that W&B may take to answer before a run is recorded offline."""

_MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")
_DATA_DIR = "WANDB_DATA_DIR"
_chosen_data_dir = os.environ.get(_DATA_DIR)


class RunLogger(WandbLogger):
    """Record a run in Weights & Biases, offline if nobody is logged in.

    Args:
        project: W&B project, and a folder below `save_dir`.
        name: Name of the run in W&B; by default its id.
        save_dir: Folder for all runs.
        group: Group of runs in W&B.
        tags: Tags in W&B.
        offline: Keep the run on this machine; by default so if W&B has no login (and
            ``WANDB_MODE`` is not set), so that it never asks for one.
        version: Folder of a run to go on with, below the project's; by default a new one. W&B gets
            a run of its own for each part, in one group: it locks a run for long after a crash.
    """

    def __init__(
        self,
        project: str = "vitatt",
        name: str | None = None,
        save_dir: str = "runs",
        group: str | None = None,
        tags: list[str] | None = None,
        offline: bool | None = None,
        version: str | None = None,
    ) -> None:
        mode = "offline" if offline else os.environ.get("WANDB_MODE") or None
        if offline is None and mode is None:
            mode = _mode()
        identity = new_identity()
        self._folder_name = version or identity
        # Absolute, because W&B writes from a process of its own, wherever that was started.
        folder = Path(save_dir).expanduser().resolve()
        # Files of artifacts wait here to be sent; by default they stay in the user's home.
        os.environ[_DATA_DIR] = _chosen_data_dir or str(folder / "wandb")
        super().__init__(
            name=name or identity,
            version=identity,
            project=project,
            save_dir=folder,
            mode=mode,
            group=group or version,
            tags=tags,
            settings=wandb.Settings(
                init_timeout=_WAIT,
                # Figures that lie in the run's folder are hard links in W&B's: they take no room
                # twice, and stay if the folder is moved.
                allow_media_symlink=True,
                symlink=False,
            ),
        )
        # Lightning passes on a setting that W&B has given up, and that warns at every start.
        self._wandb_init.pop("anonymous", None)
        self._is_offline = mode == "offline"

    @property
    def experiment(self) -> Any:
        """The run, see `WandbLogger`; offline if W&B cannot be reached.

        Raises:
            UsageError: If `save_dir` cannot be made or written.
        """
        if self._experiment is not None or rank_zero_only.rank != 0:
            return super().experiment
        folder = Path(self._save_dir)
        if self._wandb_init.get("mode") != "disabled":
            folder /= "wandb"
        check_folder(folder, "`trainer.logger.init_args.save_dir`")
        try:
            run = super().experiment
        except wandb.errors.Error as error:
            if self._is_offline:
                raise
            _say_offline(error)
            self._is_offline = True
            self._wandb_init["mode"] = "offline"
            run = super().experiment
        if not run.disabled:
            _mark_latest(Path(run.dir).parent)
        return run

    @property
    def version(self) -> str:
        """Name of the run's folder."""
        return self._folder_name

    @version.setter
    def version(self, folder: str) -> None:
        self._folder_name = folder

    @property
    def record(self) -> Path:
        """W&B's own folder of the run, which `wandb sync` sends."""
        return Path(self.experiment.dir).parent

    @property
    def sync_command(self) -> str | None:
        """The command that sends an offline run to W&B; None for an online run or none."""
        if not self._is_offline or self._experiment is None:
            return None
        return f"wandb sync {os.path.relpath(self.record)}"


@contextmanager
def closing_run() -> Iterator[None]:
    """End the W&B run that the block began: its file is complete, and the next run is another.

    Raises:
        UsageError: If the variable ``WANDB_MODE`` is none of W&B's.
    """
    if (mode := os.environ.get("WANDB_MODE") or "online") not in _MODES:
        raise UsageError(
            f"Expected the environment variable WANDB_MODE to be one of {', '.join(_MODES)}, but "
            f"got '{mode}'."
        )
    try:
        yield
    except BaseException:
        wandb.finish(exit_code=1)
        raise
    wandb.finish()


def run_logger(trainer: lightning.Trainer) -> WandbLogger | None:
    """The trainer's W&B logger, if it has one."""
    return next((logger for logger in trainer.loggers if isinstance(logger, WandbLogger)), None)


def _mode() -> str | None:
    """``offline`` unless somebody is logged in and W&B answers."""
    try:
        if wandb.login(prompt=False):
            return None
    except wandb.errors.Error as error:
        _say_offline(error)
        return "offline"
    rank_zero_info(
        "No W&B login: the run is recorded offline, and can be sent later (the command comes at "
        "the end)."
    )
    return "offline"


def _mark_latest(record: Path) -> None:
    """Link to the latest record, for `wandb leet`; W&B itself does not without `symlink`."""
    link = record.with_name(f".latest-run-{record.name}")
    try:
        link.symlink_to(record.name, target_is_directory=True)
        link.replace(record.with_name("latest-run"))
    except OSError as error:  # a system without such links; nothing else needs it
        rank_zero_warn(f"No link to the latest W&B record can be made ({error}).")


def _say_offline(error: Exception) -> None:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    rank_zero_warn(
        f"W&B cannot be used ({reason}): the run is recorded offline, and can be sent later (the "
        "command comes at the end)."
    )
