"""Tables and charts in W&B, without copies of their files in W&B's staging folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import wandb
from lightning.pytorch.loggers import WandbLogger
from numpy.typing import NDArray
from wandb.plot import CustomChart

from vitatt.callbacks.artifact_files import add_in_place
from vitatt.files import write_text

_CONFUSION = "wandb/confusion_matrix/v1"
"""W&B's own chart of confusion matrices."""


def log_table(
    logger: WandbLogger,
    key: str,
    frame: pl.DataFrame,
    images: Mapping[str, Sequence[Path | None]] | None = None,
    *,
    step: int | None = None,
) -> None:
    """Log a table that can be filtered and sorted.

    Args:
        logger: W&B's logger.
        key: Name of the table.
        frame: Its columns.
        images: Further columns of files, in the order of the rows; they must stay where they are
            until the run is sent.
        step: Optimizer step that the table is of.
    """
    table = wandb.Table(columns=[*frame.columns, *(images or {})])
    paths = list((images or {}).values())
    for number, row in enumerate(frame.iter_rows()):
        shown = [_image(column[number]) for column in paths]
        table.add_data(*row, *shown)
    files = sorted({path.resolve() for column in paths for path in column if path is not None})
    _place(logger, key, table, files)
    logger.log_metrics({key: table}, step)


def log_confusion(
    logger: WandbLogger,
    key: str,
    matrix: NDArray[np.integer[Any]],
    classes: Sequence[str],
    *,
    step: int | None = None,
) -> None:
    """Log a confusion matrix as W&B's own chart.

    Args:
        logger: W&B's logger.
        key: Name of the chart.
        matrix: Counts (C, C); rows are true classes, columns are predicted classes.
        classes: Names, in the order of the rows.
        step: Optimizer step that the chart is of.
    """
    cells = [
        [classes[row], classes[column], int(count)]
        for (row, column), count in np.ndenumerate(matrix)
    ]
    names = ["Actual", "Predicted", "nPredictions"]
    chart = wandb.plot_table(
        _CONFUSION,
        wandb.Table(columns=names, data=cells),
        {name: name for name in names},
        {"title": key},
        split_table=True,
    )
    _log_chart(logger, key, chart, step)


def log_curves(
    logger: WandbLogger,
    key: str,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x: str,
    step: int | None = None,
) -> None:
    """Log several curves in one chart.

    Args:
        logger: W&B's logger.
        key: Name of the chart.
        curves: Abscissae and ordinates by name.
        x: Name of the abscissa.
        step: Optimizer step that the chart is of.
    """
    chart = wandb.plot.line_series(
        xs=[list(xs) for xs, _ in curves.values()],
        ys=[list(ys) for _, ys in curves.values()],
        keys=list(curves),
        title=key,
        xname=x,
        split_table=True,
    )
    _log_chart(logger, key, chart, step)


def _log_chart(logger: WandbLogger, key: str, chart: CustomChart, step: int | None) -> None:
    chart.set_key(key)
    _place(logger, chart.spec.table_key, chart.table, [])
    logger.log_metrics({key: chart}, step)


def _image(path: Path | None) -> wandb.Image | None:
    return None if path is None else wandb.Image(str(path.resolve()))


def _place(logger: WandbLogger, key: str, table: wandb.Table, files: Sequence[Path]) -> None:
    """Log the artifact of a table, as W&B does for itself, but with its files where they are.

    W&B copies each file of an artifact to its staging folder, twice for a table itself, where the
    copies of an offline run would stay until it is sent.
    """
    run = logger.experiment
    if run.disabled:
        return
    artifact = wandb.Artifact(f"run-{run.id}-{re.sub('[^A-Za-z0-9_.-]+', '-', key)}", type="table")
    for number, file in enumerate(files):
        add_in_place(artifact, file, f"media/{number}-{file.name}")
    kept = Path(run.dir).parent / "tables" / f"{run.step:06d}-{artifact.name}.json"
    write_text(json.dumps(table.to_json(artifact), sort_keys=True), kept)
    name = table.with_suffix(key)
    add_in_place(artifact, kept, name)
    table._set_artifact_target(artifact, name)  # as `Artifact.add` does, without its copies
    run.log_artifact(artifact)
    table.bind_to_run(run, key, run.step)
