"""Several loggers of a training in the one folder of its run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger


def share_folder(loggers: Sequence[Logger], run: Path) -> None:
    """Let TensorBoard and CSV loggers write into folders of the run, ``tensorboard`` and ``csv``.

    Lightning would give each logger a folder of its own. A training that goes on writes
    ``csv-resumed-1`` and so on, because Lightning's logger deletes the metrics of before.

    Args:
        loggers: Of a trainer; the first one has named the run's folder.
        run: The run's folder, which need not exist.
    """
    for number, logger in enumerate(loggers):
        if isinstance(logger, TensorBoardLogger) and logger.sub_dir is None:
            logger._sub_dir = "tensorboard"
            if number > 0:
                logger._root_dir = str(run.parent.parent)
                logger._name, logger._version = run.parent.name, run.name
        elif isinstance(logger, CSVLogger) and number > 0:
            logger._root_dir = logger._save_dir = str(run.parent)
            logger._name, logger._version = run.name, _free(run)


def _free(run: Path) -> str:
    names = ("csv" if number == 0 else f"csv-resumed-{number}" for number in count())
    return next(name for name in names if not (run / name).exists())
