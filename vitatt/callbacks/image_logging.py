"""Figures to every logger of a trainer that can show them."""

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


def shows_images(trainer: lightning.Trainer) -> bool:
    """Whether a logger of the trainer can show figures."""
    return any(isinstance(one, WandbLogger | TensorBoardLogger) for one in trainer.loggers)


def log_images(trainer: lightning.Trainer, images: Mapping[str, Sequence[Shown]]) -> None:
    """Log lists of figures to W&B and TensorBoard; runs in the first process only.

    Args:
        trainer: Has the loggers.
        images: By key, such as ``maps/tmme``.
    """
    for logger in trainer.loggers:
        for key, shown in images.items():
            if isinstance(logger, WandbLogger):
                # W&B copies the encoded file.
                logger.log_image(key, [str(one) if isinstance(one, Path) else one for one in shown])
            elif isinstance(logger, TensorBoardLogger):
                for number, one in enumerate(shown):
                    pixels = np.asarray(Image.open(one)) if isinstance(one, Path) else one
                    logger.experiment.add_image(
                        f"{key}/{number}", pixels, trainer.global_step, dataformats="HWC"
                    )
