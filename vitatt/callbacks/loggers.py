"""Metrics and figures to every logger of a trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import lightning
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from numpy.typing import NDArray
from PIL import Image

Shown = NDArray[np.uint8] | Path
"""Pixels (H, W, 3), or a file that was written already."""


def log_metrics(
    trainer: lightning.Trainer, metrics: Mapping[str, float], step: int | None = None
) -> None:
    """Log metrics to W&B, TensorBoard, CSV and any other logger; in the first process only.

    Args:
        trainer: Has the loggers.
        metrics: By key, with one slash, see `vitatt.models.metrics.logged_name`.
        step: Optimizer step that they are of; by default the current one.
    """
    for logger in trainer.loggers:
        logger.log_metrics(dict(metrics), trainer.global_step if step is None else step)


def log_images(
    trainer: lightning.Trainer, images: Mapping[str, Sequence[Shown]], step: int | None = None
) -> None:
    """Log lists of figures to W&B and TensorBoard; in the first process only.

    Args:
        trainer: Has the loggers.
        images: By key, such as ``maps/tmme``.
        step: Optimizer step that they are of; by default the current one.
    """
    step = trainer.global_step if step is None else step
    for logger in trainer.loggers:
        for key, shown in images.items():
            if isinstance(logger, WandbLogger):
                # W&B links to a file that is written already, see `RunLogger`.
                files = [str(one) if isinstance(one, Path) else one for one in shown]
                logger.log_image(key, files, step)
            elif isinstance(logger, TensorBoardLogger):
                for number, one in enumerate(shown):
                    _add_image(logger, f"{key}/{number}", one, step)


def tensorboards(trainer: lightning.Trainer) -> list[TensorBoardLogger]:
    """The TensorBoard loggers of a trainer."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def _add_image(logger: TensorBoardLogger, key: str, shown: Shown, step: int) -> None:
    if not isinstance(shown, Path):
        logger.experiment.add_image(key, shown, step, dataformats="HWC")
        return
    from tensorboard.compat.proto.summary_pb2 import Summary  # is there if its logger is

    with Image.open(shown) as image:
        width, height = image.size
    # As it is: TensorBoard would decode the file and encode it again, as PNG of six times the size.
    content = Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=shown.read_bytes()
    )
    value = Summary.Value(tag=key, image=content)
    logger.experiment._get_file_writer().add_summary(Summary(value=[value]), step)
