"""What `robustness` leaves: tables, figures, and lines for people."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from vitatt.files import write_frame, write_image
from vitatt.plotting.robustness import Axis, curves_figure
from vitatt.studies.hidden_metadata import AT_RANDOM, LEAST, MOST
from vitatt.studies.robustness import Study
from vitatt.studies.robustness_scores import falls_below

IMAGE_ONLY = "image only"

TITLES: dict[str, str] = {
    "missing": "Metadata missing (importance: permutation, on the validation split)",
    "noise": "Metadata wrong",
    "image": "Images corrupted",
    "both": "Images corrupted and metadata wrong (all three noises)",
}
AXES: dict[str, Axis] = {
    AT_RANDOM: Axis("values at random", "values hidden", percent=True),
    MOST: Axis("most important first", "features hidden"),
    LEAST: Axis("least important first", "features hidden"),
    "jitter": Axis("numbers jittered", "noise, standard deviations in training"),
    "flip": Axis("categories flipped", "probability of a flip", percent=True),
    "swap": Axis("another patient's record", "probability of a swap", percent=True),
    "blur": Axis("blur", "strength, 1 to 5"),
    "jpeg": Axis("JPEG", "strength, 1 to 5"),
    "brightness": Axis("brightness", "strength, 1 to 5"),
    "colour": Axis("colour", "strength, 1 to 5"),
    "hair": Axis("hair-like lines", "strength, 1 to 5"),
    "downscale": Axis("downscale", "strength, 1 to 5"),
}


def write_results(curves: pl.DataFrame, study: Study, output: Path, where: str) -> None:
    """Tables, a figure a kind, and the summary that is printed.

    Args:
        curves: Points measured, as `vitatt.studies.robustness_scores.CURVES`.
        study: What was measured.
        output: The folder.
        where: Cases and what the bands are, for the figures.
    """
    write_frame(curves, output / "curves.parquet")
    crossings = falls_below(curves)
    if study.has_reference:
        write_frame(crossings, output / "falls_below.csv")
    ranked = _importance(study)
    if ranked.height:
        write_frame(ranked, output / "importance.csv")
    blind = [one.name for one in study.models if not one.network.cardinalities]
    for (kind,), part in curves.group_by("kind", maintain_order=True):
        figure = curves_figure(
            part,
            AXES,
            title=TITLES[str(kind)],
            note=where,
            reference=IMAGE_ONLY if study.has_reference else None,
            unaffected=blind if kind in ("missing", "noise") else (),
        )
        write_image(figure, output / f"{kind}.png")
        print(f"{TITLES[str(kind)]}: {output / f'{kind}.png'}")
        print("\n".join(_lines(part, crossings, study.has_reference)))
    print(f"Tables: {output / 'curves.csv'} (and .parquet)")


def _importance(study: Study) -> pl.DataFrame:
    """Permutation importance of features on the validation split, by model, highest first."""
    schema = {"model": pl.String, "feature": pl.String, "importance": pl.Float64}
    of_models = {one.name: one.model.task.features for one in study.models}
    rows = [
        (name, feature.name, float(value))
        for name, values in study.importance.items()
        for feature, value in zip(of_models[name], values, strict=True)
    ]
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.sort("model", "importance", descending=[False, True], maintain_order=True)


def _lines(part: pl.DataFrame, crossings: pl.DataFrame, has_reference: bool) -> list[str]:
    """A line a curve: from the first to the last level, and where it falls below."""
    keys = ["model", "kind", "perturbation", "metric"]
    lines = []
    for (model, kind, perturbation, metric), curve in part.group_by(keys, maintain_order=True):
        curve = curve.sort("level")
        first, last = curve.row(0, named=True), curve.row(-1, named=True)
        axis = AXES[str(perturbation)]
        text = f"  {model:12} {axis.title:24} {metric:18} {first['value']:.3f}"
        if curve.height > 1:
            text += (
                f" -> {last['value']:.3f} [{last['low']:.3f}, {last['high']:.3f}] at "
                f"{_level(axis, last['level'])}"
            )
        if has_reference and model != IMAGE_ONLY:
            row = crossings.row(
                by_predicate=(pl.col("model") == model)
                & (pl.col("kind") == kind)
                & (pl.col("perturbation") == perturbation)
                & (pl.col("metric") == metric),
                named=True,
            )
            below, surely = row["below_at"], row["surely_below_at"]
            text += f"; below image-only at {_level(axis, below)}"
            text += f", with its whole interval at {_level(axis, surely)}"
        lines.append(text)
    return lines


def _level(axis: Axis, level: float | None) -> str:
    if level is None:
        return "no level"
    return f"{level * 100:g} %" if axis.percent else f"{level:g}"
