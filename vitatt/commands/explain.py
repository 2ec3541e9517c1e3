"""The command `vitatt explain`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.explain.cases import ExplainedCase, figure_names
from vitatt.explain.methods import METHODS, check_methods
from vitatt.files import claim_folder, write_frame, write_image
from vitatt.inference.loading import RUNS
from vitatt.models.checkpoint_files import find_checkpoint
from vitatt.models.classifier import LesionClassifier
from vitatt.options import NO_DATA_SETTINGS, DataSettings
from vitatt.paths import user_path
from vitatt.plotting.case import case_figure
from vitatt.reports.explanations.checks import check_sections
from vitatt.reports.explanations.overview import overview
from vitatt.reports.explanations.page import write_report
from vitatt.studies.case_selection import (
    RANDOM_SAMPLE,
    CaseSelection,
    candidates,
    select_cases,
)
from vitatt.studies.check_result import CheckResult
from vitatt.studies.explained_cases import explained_cases, relevance_table
from vitatt.studies.explanation_checks import (
    ALL_CHECKS,
    Evaluation,
    cases_with_masks,
    check_results,
    masked_cases,
    masks_folder,
    measure_explanations,
)
from vitatt.studies.explanation_measures import summarise_measures
from vitatt.studies.inputs import datamodule_of_checkpoint, load_model
from vitatt.words import known_words


def explain(
    *,
    ckpt_path: str,
    output: str,
    data: DataSettings = NO_DATA_SETTINGS,
    split: SplitName = "test",
    methods: Sequence[str] | str = ("attention", "tmme"),
    cases: CaseSelection = RANDOM_SAMPLE,
    evaluate: bool = False,
    evaluation: Evaluation = ALL_CHECKS,
) -> int:
    """Explain predictions: maps, relevance of metadata, checks of the methods, one HTML report.

    The folder holds a figure of each case, ``relevance.parquet`` and ``report.html``; with
    `evaluate`, also ``measures.parquet`` and ``measures.csv``.

    Args:
        ckpt_path: The trained model; its file, the folder of its run, or `best` or `last`.
        output: New folder for all that is written.
        data: Arguments of `LesionDataModule`; dataset, task and fold are the checkpoint's.
        split: The checkpoint's outer fold (test), its inner splits, or data.predict_root (predict).
        methods: Methods of the maps, in their order; `evaluation.methods` has the names.
        cases: Cases to explain; without any of the first three, a random sample.
        evaluate: Also check the methods.
        evaluation: Checks of the methods.

    Returns:
        0, or 130 if interrupted on the way: the cases explained so far are kept.

    Raises:
        UsageError: If a setting cannot be used, there is no usable checkpoint, the folder is not
            empty or cannot be made, or no case is left.
        DataError: If the data cannot be read, or are not those of the checkpoint.
    """
    path = find_checkpoint(ckpt_path, RUNS)
    datamodule = datamodule_of_checkpoint(path, data)
    names = known_words(methods, list(METHODS), "methods")
    cases.check(datamodule.spec.classes)
    if evaluate:
        evaluation.check()
    folder = user_path(output, "--output")
    claim_folder(folder)
    every = datamodule.cases(split)
    found = candidates(every, cases, datamodule, split)
    if evaluate:
        cases_with_masks(datamodule, every, evaluation, split)  # fails before the work if it does
    model = load_model(path)
    check_methods(model.network, [*names, *(evaluation.chosen() if evaluate else [])])
    chosen = select_cases(found, cases, model, datamodule, split)
    print(f"Explaining {chosen.height} of {every.height} cases ({split}).")
    report = _Report(folder, path, model, datamodule, split, every.height, cases)
    case_ids = chosen["case_id"].to_list()
    files = dict(zip(case_ids, figure_names(case_ids), strict=True))
    results: list[CheckResult] = []
    interrupted = False
    try:
        for explained in explained_cases(model, datamodule, split, chosen, names):
            figure = folder / "cases" / f"{files[explained.case_id]}.png"
            write_image(case_figure(explained), figure)
            report.done.append(explained)
        if evaluate:
            report.write()  # the checks take long and may fail
            results = _check(model, datamodule, split, evaluation, folder)
    except KeyboardInterrupt:
        interrupted = True
        if not report.done:
            raise
        print(
            f"Interrupted: {len(report.done)} of {chosen.height} cases are explained and are kept."
        )
    report.write(results)
    print(f"Report: {folder / 'report.html'}")
    return 130 if interrupted else 0


@dataclasses.dataclass
class _Report:
    """The table and the page of the cases explained so far, `total` being those of the split."""

    folder: Path
    checkpoint: Path
    model: LesionClassifier
    datamodule: LesionDataModule
    split: SplitName
    total: int
    selection: CaseSelection
    done: list[ExplainedCase] = dataclasses.field(default_factory=list)

    def write(self, results: Sequence[CheckResult] = ()) -> None:
        """Write ``relevance.parquet`` and ``report.html``."""
        write_frame(relevance_table(self.done), self.folder / "relevance.parquet")
        task, fold_spec = self.model.task, self.model.task.fold_spec
        where = f"{self.datamodule.spec.title}, {self.split} split"
        if self.split != "predict":
            where += f" of fold {fold_spec.fold} of {fold_spec.num_folds}"
        facts = {
            "checkpoint": self.checkpoint.name,
            "data": where,
            "cases": f"{len(self.done)} of {self.total}",
            "how chosen": self.selection.words(),
        }
        write_report(
            self.folder / "report.html",
            self.done,
            title="Explained predictions",
            facts=facts,
            sections=[*overview(self.done, task.classes, title=where), *check_sections(results)],
        )


def _check(
    model: LesionClassifier,
    datamodule: LesionDataModule,
    split: SplitName,
    evaluation: Evaluation,
    folder: Path,
) -> list[CheckResult]:
    """Check the methods and write ``measures.parquet`` and ``measures.csv``."""
    cases = datamodule.cases(split)
    masked = masked_cases(datamodule, cases, evaluation, split)
    if masked is None:
        place = masks_folder(datamodule, evaluation, split)
        reason = (
            "A mask is of one image" if datamodule.spec.views else f"No lesion masks in {place}"
        )
        print(f"{reason}: localisation is left out.")
    else:
        print(f"{masked.height} of {cases.height} cases have a mask that is not empty.")
    for table in measure_explanations(model, datamodule, split, evaluation, masked):
        write_frame(table, folder / "measures.parquet")  # after each check, as they take long
    summary = summarise_measures(table)
    write_frame(summary, folder / "measures.csv")
    return check_results(summary, model, datamodule, split, evaluation)
