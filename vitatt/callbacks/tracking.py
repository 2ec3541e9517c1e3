"""The W&B logger: offline without a login, one folder per run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import lightning
import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info


class RunLogger(WandbLogger):
    """Records a run in Weights & Biases, on this machine alone if nobody is logged in.

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
        mode = "offline" if offline else os.environ.get("WANDB_MODE")
        if offline is None and mode is None and not wandb.login(prompt=False):
            mode = "offline"
            rank_zero_info(
                "No W&B login: the run is recorded offline, and can be sent later (the command "
                "comes at the end)."
            )
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        identity = f"{stamp}-{secrets.token_hex(2)}"
        self._folder_name = version or identity
        # Absolute, because W&B writes from a process of its own, wherever that was started.
        folder = Path(save_dir).expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            name=name or identity,
            version=identity,
            project=project,
            save_dir=folder,
            mode=mode,
            group=group or version,
            tags=tags,
        )
        # Lightning passes on a setting that W&B has given up, and that warns at every start.
        self._wandb_init.pop("anonymous", None)
        self._is_offline = mode == "offline"

    @property
    def version(self) -> str:
        """Name of the run's folder."""
        return self._folder_name

    @version.setter
    def version(self, folder: str) -> None:
        self._folder_name = folder

    @property
    def sync_command(self) -> str | None:
        """What sends an offline run to W&B; None for a run that is online or was never begun."""
        if not self._is_offline or self._experiment is None:
            return None
        return f"wandb sync {os.path.relpath(Path(self._experiment.dir).parent)}"


@contextmanager
def closing_run() -> Iterator[None]:
    """Ends the W&B run that was begun inside, so that its file is whole and the next is another."""
    try:
        yield
    except BaseException:
        wandb.finish(exit_code=1)
        raise
    wandb.finish()


def run_folder(trainer: lightning.Trainer) -> Path:
    """The folder of a run, which holds its checkpoints, maps, configuration and predictions."""
    logger = trainer.logger
    if logger is None or logger.save_dir is None:
        return Path(trainer.default_root_dir)
    return Path(os.path.relpath(logger.save_dir)) / str(logger.name) / str(logger.version)


def run_logger(trainer: lightning.Trainer) -> WandbLogger | None:
    """The trainer's W&B logger, if it has one."""
    return next((logger for logger in trainer.loggers if isinstance(logger, WandbLogger)), None)
