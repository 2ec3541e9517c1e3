"""Figures of the cases of a validation panel, as JPEG files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitatt.explain.cases import ExplainedCase, figure_names
from vitatt.files import write_image
from vitatt.plotting.case import case_figure
from vitatt.plotting.heatmap import map_figure


@dataclass(frozen=True)
class PanelFigures:
    """A panel that was drawn.

    Attributes:
        step: Optimizer steps before the validation run.
        epoch: From 0.
        cases: The explained cases.
        files: For each kind of figure (attention, tmme, cases), the file of each case.
    """

    step: int
    epoch: int
    cases: list[ExplainedCase]
    files: dict[str, list[Path]]


def draw_panel(cases: list[ExplainedCase], folder: Path, step: int, epoch: int) -> PanelFigures:
    """Draw a panel and write it.

    Args:
        cases: The explained cases.
        folder: For the files, one folder for each kind of figure in it.
        step: Optimizer steps before the validation run.
        epoch: From 0.

    Raises:
        OSError: If a file cannot be written.
    """
    files: dict[str, list[Path]] = {"attention": [], "tmme": [], "cases": []}
    names = figure_names([case.case_id for case in cases])
    height = 0
    figures = []
    for case, file in zip(cases, names, strict=True):
        title = f"{case.case_id}\ntrue {case.true_class}, predicted {case.predicted_class}"
        title += f" ({case.probability:.2f})"
        for kind, shown in zip(("attention", "tmme"), case.maps.values(), strict=False):
            figure = map_figure(case.image, shown, title, case.num_views)
            files[kind].append(_write(figure, folder / kind / f"{file}.jpg"))
        figures.append(case_figure(case))
        height = max(height, len(figures[-1]))
    for file, figure in zip(names, figures, strict=True):
        # White below the shorter ones: W&B shows a list at one size.
        padding = ((0, height - len(figure)), (0, 0), (0, 0))
        padded = np.pad(figure, padding, constant_values=255)
        files["cases"].append(_write(padded, folder / "cases" / f"{file}.jpg"))
    return PanelFigures(step, epoch, cases, files)


def _write(figure: NDArray[np.uint8], path: Path) -> Path:
    # Six times faster than PNG; colours at full resolution.
    write_image(figure, path, quality=95, subsampling=0)
    return path
