"""The validation panel as one table over epochs: the story of each case."""

from __future__ import annotations

from pathlib import Path

import lightning
import polars as pl

from vitatt.callbacks.panel_figures import PanelFigures
from vitatt.callbacks.tracking import run_logger
from vitatt.callbacks.wandb_tables import log_table
from vitatt.files import write_frame

_FILE = "panel.csv"


def record_panel(drawn: PanelFigures, run: Path) -> None:
    """Add a validation run to ``panel.csv``.

    The columns are ``step``, ``epoch``, ``case_id``, ``true``, ``predicted``, ``right``,
    ``probability`` (of the predicted class), ``probability_of_true``, ``image_share`` (of all
    relevance by TMME) and ``map``, the file in the run's folder. Rows of the same step, from before
    a training went on, are replaced.

    Args:
        drawn: The panel of the validation run.
        run: The run's folder.
    """
    rows = pl.DataFrame(
        [
            {
                "step": drawn.step,
                "epoch": drawn.epoch,
                "case_id": case.case_id,
                "true": case.true_class,
                "predicted": case.predicted_class,
                "right": case.true_class == case.predicted_class,
                "probability": round(case.probability, 6),
                "probability_of_true": round(case.probabilities[case.true_class], 6)
                if case.true_class is not None
                else None,
                "image_share": None if case.image_share is None else round(case.image_share, 6),
                "map": path.relative_to(run).as_posix(),
            }
            for case, path in zip(drawn.cases, drawn.files["tmme"], strict=True)
        ],
        schema=_SCHEMA,
    )
    if (run / _FILE).is_file():
        before = _read(run).filter(pl.col("step") < drawn.step)
        rows = pl.concat([before, rows])
    write_frame(rows, run / _FILE)


def log_panel_table(trainer: lightning.Trainer, run: Path) -> None:
    """Log the table to W&B, each row with its map.

    Args:
        trainer: Has the logger.
        run: The run's folder.
    """
    logger = run_logger(trainer)
    if logger is None or not (run / _FILE).is_file():
        return
    frame = _read(run).sort("case_id", "step", maintain_order=True)
    maps = [path if (path := run / name).is_file() else None for name in frame["map"]]
    log_table(logger, "maps/panel", frame.drop("map"), {"tmme": maps}, step=trainer.global_step)


_SCHEMA: dict[str, type[pl.DataType]] = {
    "step": pl.Int64,
    "epoch": pl.Int64,
    "case_id": pl.String,
    "true": pl.String,
    "predicted": pl.String,
    "right": pl.Boolean,
    "probability": pl.Float64,
    "probability_of_true": pl.Float64,
    "image_share": pl.Float64,
    "map": pl.String,
}


def _read(run: Path) -> pl.DataFrame:
    return pl.read_csv(run / _FILE, schema=_SCHEMA)
