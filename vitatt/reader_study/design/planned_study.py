"""The plan of a study from a model, its outer fold and a protocol."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import polars as pl

from vitatt.data.datamodule import LesionDataModule
from vitatt.models.classifier import LesionClassifier
from vitatt.reader_study.design.assignment import Design, assign
from vitatt.reader_study.design.case_files import write_case_files
from vitatt.reader_study.design.case_selection import ChosenCases
from vitatt.reader_study.design.freezing import opaque_ids
from vitatt.reader_study.design.model_output import case_outputs, shown_answers
from vitatt.reader_study.design.protocol import Protocol
from vitatt.reader_study.design.readers import PlannedReader
from vitatt.reader_study.manifest import (
    DiagnosisClass,
    Manifest,
    PatientFeature,
    Power,
    Reader,
    Source,
    StoppingRule,
)
from vitatt.reader_study.study_case import AIOutput, Stratum, StudyCase
from vitatt.reader_study.study_folder import sha256
from vitatt.types import FeatureEncoding

_NO_POWER = Power(method="none", assumptions={}, value=0.0, simulations=1)


@dataclasses.dataclass(frozen=True)
class StudyPlan:
    """Settings of a study that are neither cases nor protocol.

    Attributes:
        name: Of the study.
        design: Of the study.
        washout_days: Between two periods.
        positive: Names of the positive classes.
        readers: With their experience, as far as it is known.
        seed: Of all random draws.
        until: Last day of the study, if there is one.
    """

    name: str
    design: Design
    washout_days: int
    positive: frozenset[str]
    readers: Sequence[PlannedReader]
    seed: int
    until: datetime.date | None = None


def make_manifest(
    plan: StudyPlan,
    protocol: Protocol,
    model: LesionClassifier,
    datamodule: LesionDataModule,
    chosen: ChosenCases,
    checkpoint: Path,
    folder: Path,
) -> Manifest:
    """Write the files of all cases, and return the plan of the study without its power.

    Args:
        plan: Settings.
        protocol: Arms, questions, analysis.
        model: In evaluation mode.
        datamodule: Of the checkpoint's fold.
        chosen: Cases and training cases.
        checkpoint: File of the model.
        folder: Of the study.
    """
    cases = _cases(model, datamodule, chosen.cases, "c", folder)
    schedules = assign(
        [arm.name for arm in protocol.arms],
        [case.case_id for case in cases],
        [reader.experience for reader in plan.readers],
        design=plan.design,
        seed=plan.seed,
    )
    readings = sum(
        len(period.cases) * len(period.arms) for schedule in schedules for period in schedule
    )
    spec, fold_spec = datamodule.spec, model.task.fold_spec
    return Manifest(
        version=1,
        name=plan.name,
        question=protocol.stated_question(),
        created=datetime.datetime.now(datetime.UTC),
        seed=plan.seed,
        design=plan.design,
        washout_days=plan.washout_days,
        arms=protocol.arms,
        classes=tuple(
            DiagnosisClass(
                name=name,
                title=spec.class_titles.get(name, name),
                positive=name in plan.positive,
            )
            for name in model.task.classes
        ),
        experience=protocol.experience,
        management=protocol.management,
        ask=protocol.ask,
        consent=protocol.consent,
        idle_minutes=protocol.idle_minutes,
        features=tuple(_feature(one) for one in model.task.features),
        cases=cases,
        training_cases=_cases(model, datamodule, chosen.training, "t", folder),
        readers=tuple(
            # Each a digest of its own, until `with_tokens` puts in those of the tokens.
            Reader(
                code=reader.code,
                token_sha256=sha256(reader.code.encode()),
                experience=reader.experience,
                schedule=schedule,
            )
            for reader, schedule in zip(plan.readers, schedules, strict=True)
        ),
        analysis=protocol.analysis(),
        stopping=StoppingRule(readings=readings, date=plan.until),
        power=_NO_POWER,
        source=Source(
            checkpoint_sha256=sha256(checkpoint.read_bytes()),
            dataset=spec.title,
            fold=f"fold {fold_spec.fold} of {fold_spec.num_folds}, seed {fold_spec.seed}",
            vitatt_version=metadata.version("vitatt"),
        ),
    )


def _cases(
    model: LesionClassifier,
    datamodule: LesionDataModule,
    rows: pl.DataFrame,
    prefix: str,
    folder: Path,
) -> tuple[StudyCase, ...]:
    if rows.is_empty():
        return ()
    outputs, answers = case_outputs(model, datamodule, rows), shown_answers(datamodule, rows)
    views, classes = datamodule.spec.views, model.task.classes
    cases = []
    for name, row, output, of_patient in zip(
        opaque_ids(rows.height, prefix), rows.to_dicts(), outputs, answers, strict=True
    ):
        paths = row["image"] if views else [row["image"]]
        images, maps = write_case_files(name, paths, views, output.maps, folder)
        cases.append(
            StudyCase(
                case_id=name,
                source_id=row["case_id"],
                group=row["group"],
                truth=row["truth"],
                stratum=Stratum(
                    difficulty=row["difficulty"],
                    skin_type=row["skin_type"],
                    ai_correct=row["ai_correct"],
                ),
                answers=of_patient,
                ai=AIOutput(
                    predicted=row["predicted"],
                    probabilities={
                        one: round(value, 6)
                        for one, value in zip(classes, row["probabilities"], strict=True)
                    },
                ),
                images=images,
                maps=maps,
                evidence=output.evidence,
                relevance=output.relevance,
            )
        )
    return tuple(cases)


def _feature(one: FeatureEncoding) -> PatientFeature:
    shown = {"True": "yes", "False": "no"}
    values = tuple(shown.get(category, category.lower()) for category in one.categories)
    return PatientFeature(name=one.name, title=one.label, unit=one.unit, values=values)
