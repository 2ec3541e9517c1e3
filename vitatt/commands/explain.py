"""explain: why a model decided as it did, as pictures, a table and one HTML report."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from jsonargparse import ArgumentParser
from lightning.fabric.utilities import move_data_to_device
from PIL import Image
from tqdm import tqdm

from vitatt.commands.evaluate_explanations import Evaluation, evaluate
from vitatt.commands.parsing import add_data_arguments
from vitatt.data.datamodule import LesionDataModule
from vitatt.explain.case_picture import case_picture
from vitatt.explain.explain_cases import explain_cases
from vitatt.explain.explained_case import ExplainedCase
from vitatt.explain.methods import Method, predict
from vitatt.explain.overview import overview
from vitatt.explain.report import Section, write_report
from vitatt.models.checkpoint import read_hyper_parameters
from vitatt.models.classifier import LesionClassifier
from vitatt.types import LesionTask, UsageError

BATCH = 16
"""Cases explained at once."""


@dataclasses.dataclass
class Choice:
    """Which cases to explain; without any of the first three, a random sample.

    Attributes:
        ids: These cases.
        diagnosis: Cases of this class.
        errors: So many of the worst errors: wrong with the highest confidence.
        sample: At most so many of what is left, drawn at random.
        seed: Decides the sample.
    """

    ids: list[str] = dataclasses.field(default_factory=list)
    diagnosis: str | None = None
    errors: int = 0
    sample: int = 24
    seed: int = 0

    def check(self) -> None:
        """Look at the settings before the work begins.

        Raises:
            UsageError: If a number is out of its range.
        """
        for name, least in (("errors", 0), ("sample", 1), ("seed", 0)):
            if (value := getattr(self, name)) < least:
                raise UsageError(
                    f"Expected `cases.{name}` to be at least {least}, but got {value}."
                )


def explain(options: list[str]) -> int:
    """Write pictures, ``relevance.parquet`` and ``report.html``; 130 if interrupted on the way."""
    settings = _parse(options)
    output = Path(settings.output)
    datamodule, model = settings.data, _load(settings)
    part = settings.part
    cases = datamodule.part(part)
    chosen = _choose(cases, settings.cases, model, datamodule, part)
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
        "how chosen": _words(settings.cases),
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
    early = argparse.ArgumentParser(prog="vitatt explain", add_help=False, allow_abbrev=False)
    early.add_argument("--ckpt_path")
    path = early.parse_known_args(options)[0].ckpt_path
    if path is not None:
        # Also after the configuration of a training, which names the one it went on from, or none.
        options = [*options, f"--ckpt_path={path}"]
    parser = ArgumentParser(prog="vitatt explain", description=(__doc__ or "").split(": ")[1])
    parser.add_argument("--ckpt_path", type=str, required=True, help="the trained model")
    parser.add_argument("--output", type=str, required=True, help="folder for all that is written")
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
    add_data_arguments(parser)
    if path is None:  # it may be in the configuration
        path = parser.parse_args(options).ckpt_path
    task = LesionTask.from_plain(read_hyper_parameters(path)["task"])
    split = {f"data.{name}": value for name, value in dataclasses.asdict(task.split).items()}
    parser.set_defaults({"data.dataset": task.dataset, **split})
    settings = parser.parse_args(options)
    settings.data.task = task.to_plain()
    if not settings.methods:
        raise UsageError("Expected `methods` to name a method, but it is empty.")
    parsed = parser.instantiate_classes(settings)
    parsed.cases.check()
    if parsed.evaluate:
        parsed.evaluation.check()
    try:
        (Path(parsed.output) / "cases").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The folder {parsed.output} cannot be made ({error.strerror}). Give another one as "
            "--output."
        ) from error
    return parsed


def _load(settings: Any) -> LesionClassifier:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = LesionClassifier.load_from_checkpoint(settings.ckpt_path, map_location=device)
    return model.eval()


def _choose(
    cases: pl.DataFrame,
    choice: Choice,
    model: LesionClassifier,
    datamodule: LesionDataModule,
    part: Any,
) -> pl.DataFrame:
    """The rows to explain.

    Raises:
        UsageError: If ids or the class are not there, or no case is left.
    """
    if unknown := sorted(set(choice.ids) - set(cases["case_id"])):
        raise UsageError(
            f"{len(unknown)} of the chosen cases, {unknown[0]} among them, are not in the {part} "
            f"part. It has {cases.height} cases, such as {cases['case_id'][0]}."
        )
    if choice.diagnosis is not None and choice.diagnosis not in datamodule.spec.classes:
        raise UsageError(
            f"Expected `cases.diagnosis` to be one of {', '.join(datamodule.spec.classes)}, but "
            f"got '{choice.diagnosis}'."
        )
    if choice.ids:
        return cases.filter(pl.col("case_id").is_in(choice.ids))
    if choice.diagnosis is not None:
        cases = cases.filter(pl.col("diagnosis") == choice.diagnosis)
    if choice.errors:
        cases = _worst_errors(cases, choice.errors, model, datamodule, part)
    if cases.is_empty():
        raise UsageError(f"No case is left to explain ({_words(choice)}).")
    if not choice.errors and cases.height > choice.sample:
        cases = cases.sample(choice.sample, seed=choice.seed)
    return cases


def _worst_errors(
    cases: pl.DataFrame,
    count: int,
    model: LesionClassifier,
    datamodule: LesionDataModule,
    part: Any,
) -> pl.DataFrame:
    rows, confidence = [], []
    dataset = datamodule.make_dataset(part, cases)
    with torch.inference_mode():
        for start in tqdm(range(0, cases.height, BATCH), desc="predicting", unit="batch"):
            numbers = range(start, min(start + BATCH, cases.height))
            batch = move_data_to_device(dataset.__getitems__(numbers), model.device)
            best, predicted = model(batch).logits.softmax(1).max(1)
            wrong = (predicted != batch.target) & (batch.target >= 0)
            rows += [numbers[place] for place in wrong.nonzero().flatten().tolist()]
            confidence += best[wrong].tolist()
    order = np.argsort(confidence)[::-1][:count]
    return cases[[rows[place] for place in order]]


def _explained(
    model: LesionClassifier,
    datamodule: LesionDataModule,
    part: Any,
    chosen: pl.DataFrame,
    methods: list[Method],
) -> Iterator[ExplainedCase]:
    dataset = datamodule.make_dataset(part, chosen)
    values = [datamodule.describe(row) for row in chosen.iter_rows(named=True)]
    with tqdm(total=chosen.height, desc="explaining", unit="case") as bar:
        for start in range(0, chosen.height, BATCH):
            numbers = range(start, min(start + BATCH, chosen.height))
            batch = move_data_to_device(dataset.__getitems__(numbers), model.device)
            try:
                cases = explain_cases(
                    model.network,
                    batch,
                    predict(model.network, batch),
                    model.task,
                    values[start : start + BATCH],
                    methods=methods,
                )
            except ValueError as error:
                raise UsageError(str(error)) from error
            bar.update(len(cases))
            yield from cases


def _save_picture(case: ExplainedCase, folder: Path) -> None:
    Image.fromarray(case_picture(case)).save(folder / f"{Path(case.case_id).stem}.png")


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


def _words(choice: Choice) -> str:
    if choice.ids:
        return "by id"
    words = [f"diagnosis {choice.diagnosis}"] if choice.diagnosis else []
    if choice.errors:
        return ", ".join([*words, f"the {choice.errors} worst errors"])
    return ", ".join([*words, f"random sample of at most {choice.sample}, seed {choice.seed}"])
