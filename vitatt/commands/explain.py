"""explain: why a model decided as it did, as pictures, a table and one HTML report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl
from jsonargparse import ArgumentParser
from PIL import Image

from vitatt.commands.checkpoint import (
    add_checkpoint_arguments,
    load_model,
    make_folder,
    parse_with_checkpoint,
)
from vitatt.commands.choice import Choice, choose
from vitatt.commands.evaluate_explanations import Evaluation, evaluate
from vitatt.commands.progress import batches_on_device
from vitatt.data.datamodule import LesionDataModule
from vitatt.explain.case_picture import case_picture
from vitatt.explain.explain_cases import explain_cases
from vitatt.explain.explained_case import ExplainedCase
from vitatt.explain.methods import Method, predict
from vitatt.explain.overview import overview
from vitatt.explain.report import Section, write_report
from vitatt.models.classifier import LesionClassifier
from vitatt.types import UsageError


def explain(options: list[str]) -> int:
    """Write pictures, ``relevance.parquet`` and ``report.html``; 130 if interrupted on the way."""
    settings = _parse(options)
    output = Path(settings.output)
    datamodule, model = settings.data, load_model(settings.ckpt_path)
    part = settings.part
    cases = datamodule.part(part)
    chosen = choose(cases, settings.cases, model, datamodule, part)
    print(f"Explaining {chosen.height} of {cases.height} cases ({part}).")
    done: list[ExplainedCase] = []
    sections: list[Section] = []
    interrupted = False
    try:
        for explained in _explained(model, datamodule, part, chosen, settings.methods):
            _save_picture(explained, output / "cases")
            done.append(explained)
        if settings.evaluate:
            # What comes now takes long and may fail: what is explained is safe before.
            _write(settings, model, cases.height, done, [])
            sections = evaluate(model, datamodule, part, settings.evaluation, output)
    except KeyboardInterrupt:
        interrupted = True
        if not done:
            raise
        print(f"Interrupted: {len(done)} of {chosen.height} cases are explained and are kept.")
    _write(settings, model, cases.height, done, sections)
    print(f"Report: {output / 'report.html'}")
    return 130 if interrupted else 0


def _write(
    settings: Any,
    model: LesionClassifier,
    total: int,
    done: list[ExplainedCase],
    sections: list[Section],
) -> None:
    """The table and the report of the cases explained, `total` being those of the part."""
    output, part = Path(settings.output), settings.part
    _relevance_table(done).write_parquet(output / "relevance.parquet")
    task, split = model.task, model.task.split
    where = f"{settings.data.spec.title}, {part} part"
    if part != "predict":
        where += f" of fold {split.fold} of {split.num_folds}"
    facts = {
        "checkpoint": Path(settings.ckpt_path).name,
        "data": where,
        "cases": f"{len(done)} of {total}",
        "how chosen": settings.cases.words(),
    }
    write_report(
        output / "report.html",
        done,
        title="What the predictions rest on",
        facts=facts,
        sections=[*overview(done, task.classes, title=where), *sections],
    )


def _parse(options: list[str]) -> Any:
    """Settings, the data as the checkpoint knows them.

    Raises:
        UsageError: If there is no usable checkpoint, a setting is out of its range, or the output
            folder cannot be written.
    """
    parser = ArgumentParser(prog="vitatt explain", description=(__doc__ or "").split(": ")[1])
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--part",
        type=Literal["test", "val", "train", "predict"],
        default="test",
        help="the checkpoint's outer fold, its inner parts, or data.predict_root",
    )
    parser.add_argument("--methods", type=list[Method], default=["attention", "tmme"], help="maps")
    parser.add_argument("--cases", type=Choice, default=Choice())
    parser.add_argument("--evaluate", action="store_true", help="also test the methods")
    parser.add_argument("--evaluation", type=Evaluation, default=Evaluation())
    parsed = parse_with_checkpoint(parser, options)
    if not parsed.methods:
        raise UsageError("Expected `methods` to name a method, but it is empty.")
    parsed.cases.check()
    if parsed.evaluate:
        parsed.evaluation.check()
    make_folder(Path(parsed.output))
    (Path(parsed.output) / "cases").mkdir(exist_ok=True)
    return parsed


def _explained(
    model: LesionClassifier,
    datamodule: LesionDataModule,
    part: Any,
    chosen: pl.DataFrame,
    methods: list[Method],
) -> Iterator[ExplainedCase]:
    values = [datamodule.describe(row) for row in chosen.iter_rows(named=True)]
    start = 0
    for batch in batches_on_device(model, datamodule, part, chosen, "explaining"):
        end = start + len(batch.target)
        predicted = predict(model.network, batch)
        try:
            cases = explain_cases(
                model.network, batch, predicted, model.task, values[start:end], methods=methods
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
        yield from cases
        start = end


def _save_picture(case: ExplainedCase, folder: Path) -> None:
    Image.fromarray(case_picture(case)).save(folder / f"{case.picture_name}.png")


def _relevance_table(cases: list[ExplainedCase]) -> pl.DataFrame:
    """A row a case and map: relevance of patches, row by row, and of features by name."""
    return pl.DataFrame(
        [
            {
                "case_id": case.case_id,
                "true": case.true_class,
                "predicted": case.predicted_class,
                "probability": case.probability,
                "map": title,
                "patches": patches.tolist(),
                "features": [
                    {"feature": label, "relevance": float(value)}
                    for label, value in zip(case.feature_labels, features, strict=True)
                ],
            }
            for case in cases
            for (title, patches), features in zip(
                case.maps.items(), (case.map_features or {}).values(), strict=True
            )
        ],
        schema=_RELEVANCE,
    )


_RELEVANCE: dict[str, Any] = {
    "case_id": pl.String,
    "true": pl.String,
    "predicted": pl.String,
    "probability": pl.Float64,
    "map": pl.String,
    "patches": pl.List(pl.List(pl.Float32)),
    "features": pl.List(pl.Struct({"feature": pl.String, "relevance": pl.Float32})),
}
