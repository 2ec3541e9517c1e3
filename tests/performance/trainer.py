"""A trainer and cases as a run has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from vitatt.callbacks.interruption import SaveOnInterrupt
from vitatt.callbacks.tracking import RunLogger
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.synthetic.demo import write_demo


def module_of(folder: Path, cases: int, batch_size: int) -> LesionDataModule:
    write_demo(folder / "data", num_cases=cases, image_size=224)
    return LesionDataModule(
        "pad_ufes_20",
        str(folder / "data"),
        batch_size=batch_size,
        cache_dir=str(folder / "cache"),
    )


def trainer_of(folder: Path, epochs: int, *callbacks: Callback, **more: Any) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=epochs,
        logger=RunLogger(save_dir=str(folder / "runs"), offline=True),
        callbacks=[SaveOnInterrupt(), *callbacks],
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
        precision="bf16-mixed" if torch.cuda.is_available() else "32-true",
        **more,
    )
