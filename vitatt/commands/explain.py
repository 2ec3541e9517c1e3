"""explain: why a model decided as it did, as figures, a table and one HTML report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl
from jsonargparse import ArgumentParser

from vitatt.commands.checkpoint import (
    add_checkpoint_arguments,
    load_model,
    parse_with_checkpoint,
)
from vitatt.data.datamodule import LesionDataModule
from vitatt.explain.cases import ExplainedCase
from vitatt.explain.explain_cases import explain_cases
from vitatt.explain.methods import METHODS, Method, check_methods, predict
from vitatt.files import claim_folder, write_frame, write_image
from vitatt.models.classifier import LesionClassifier
from vitatt.paths import user_path
from vitatt.plotting.case import case_figure
from vitatt.reports.explanations.overview import overview
from vitatt.reports.explanations.page import Section, write_report
from vitatt.studies.batches import batches_on_device
from vitatt.studies.case_selection import CaseSelection, candidates, select_cases
from vitatt.studies.evaluate_explanations import Evaluation, cases_with_masks, evaluate
from vitatt.words import known_words


def explain(options: list[str]) -> int:
    """Write figures, ``relevance.parquet`` and ``report.html``; 130 if interrupted on the way."""
    settings = _parse(options)
    output = settings.output
    datamodule, split = settings.data, settings.split
    cases = datamodule.cases(split)
    found = candidates(cases, settings.cases, datamodule, split)
    methods = list(settings.methods)
    if settings.evaluate:
        cases_with_masks(datamodule, cases, settings.evaluation, split)  # if it fails, do so now
        methods += settings.evaluation.chosen()
    model = load_model(settings.ckpt_path)
    check_methods(model.network, methods)
    chosen = select_cases(found, settings.cases, model, datamodule, split)
    print(f"Explaining {chosen.height} of {cases.height} cases ({split}).")
    done: list[ExplainedCase] = []
    sections: list[Section] = []
    interrupted = False
    try:
        for explained in _explained(model, datamodule, split, chosen, settings.methods):
            _save_figure(explained, output / "cases")
            done.append(explained)
        if settings.evaluate:
            # What comes now takes long and may fail: what is explained is safe before.
            _write(settings, model, cases.height, done, [])
            sections = evaluate(model, datamodule, split, settings.evaluation, output)
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
    """The table and the report of the cases explained, `total` being those of the split."""
    output, split = settings.output, settings.split
    write_frame(_relevance_table(done), output / "relevance.parquet")
    task, fold_spec = model.task, model.task.fold_spec
    where = f"{settings.data.spec.title}, {split} split"
    if split != "predict":
        where += f" of fold {fold_spec.fold} of {fold_spec.num_folds}"
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
            folder is not empty or cannot be written.
    """
    parser = ArgumentParser(prog="vitatt explain", description=(__doc__ or "").split(": ")[1])
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--split",
        type=Literal["test", "val", "train", "predict"],
        default="test",
        help="the checkpoint's outer fold, its inner splits, or data.predict_root",
    )
    parser.add_argument(
        "--methods",
        type=list[str] | str,
        default=["attention", "tmme"],
        help=f"maps, of {', '.join(METHODS)}",
    )
    parser.add_argument("--cases", type=CaseSelection, default=CaseSelection())
    parser.add_argument("--evaluate", action="store_true", help="also test the methods")
    parser.add_argument("--evaluation", type=Evaluation, default=Evaluation())
    parsed = parse_with_checkpoint(parser, options)
    parsed.methods = known_words(parsed.methods, METHODS, "methods")
    parsed.cases.check(parsed.data.spec.classes)
    if parsed.evaluate:
        parsed.evaluation.check()
    parsed.output = user_path(parsed.output, "--output")
    claim_folder(parsed.output)
    return parsed


def _explained(
    model: LesionClassifier,
    datamodule: LesionDataModule,
    split: Any,
    chosen: pl.DataFrame,
    methods: list[Method],
) -> Iterator[ExplainedCase]:
    values = [datamodule.describe(row) for row in chosen.iter_rows(named=True)]
    start = 0
    for batch in batches_on_device(model, datamodule, split, chosen, "explaining"):
        end = start + len(batch.target)
        predicted = predict(model.network, batch)
        yield from explain_cases(
            model.network, batch, predicted, model.task, values[start:end], methods=methods
        )
        start = end


def _save_figure(case: ExplainedCase, folder: Path) -> None:
    write_image(case_figure(case), folder / f"{case.figure_name}.png")


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
