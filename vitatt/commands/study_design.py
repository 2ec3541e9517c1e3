"""The command `vitatt study design`."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from vitatt.inference.loading import RUNS
from vitatt.models.checkpoint_files import find_checkpoint
from vitatt.options import NO_DATA_SETTINGS, DataSettings
from vitatt.paths import user_path
from vitatt.ranges import SEED, Range, Ranges, check_ranges
from vitatt.reader_study.design.assignment import Design, balance_note
from vitatt.reader_study.design.candidates import candidate_cases, check_maps, positive_classes
from vitatt.reader_study.design.case_selection import choose_cases
from vitatt.reader_study.design.freezing import freeze, new_folder, with_tokens
from vitatt.reader_study.design.planned_study import StudyPlan, make_manifest
from vitatt.reader_study.design.power import simulated_power
from vitatt.reader_study.design.protocol import make_protocol
from vitatt.reader_study.design.readers import new_tokens, planned_readers
from vitatt.reader_study.design.summary import next_steps, summary
from vitatt.reader_study.manifest_checks import MINIMUM_WASHOUT
from vitatt.studies.inputs import datamodule_of_checkpoint, load_model
from vitatt.types import UsageError
from vitatt.words import as_words

_RANGES: Ranges = {
    "cases": Range(least=1),
    "training_cases": Range(least=0),
    "wrong_share": Range(least=0, most=1),
    "simulations": Range(least=1),
    "seed": SEED,
}


def study_design(
    *,
    ckpt_path: str,
    output: str,
    readers: str,
    data: DataSettings = NO_DATA_SETTINGS,
    cases: int = 50,
    training_cases: int = 4,
    wrong_share: float = 0.3,
    arms: Sequence[str] | str = (),
    protocol: str | None = None,
    positive: Sequence[str] | str = (),
    skin_type: str | None = None,
    design: Design = "crossover",
    washout_days: int | None = None,
    until: str | None = None,
    simulations: int = 200,
    seed: int = 0,
) -> int:
    """Plan a reader study: choose cases, assign readers to arms, state the power, freeze it all.

    The folder holds the plan, images, maps and an empty log; every file has its digest. Cases are
    of the checkpoint's outer fold, one of each patient or lesion.

    Args:
        ckpt_path: The trained model; its file, the folder of its run, or `best` or `last`.
        output: New folder of the study; its name is that of the study.
        readers: Number of readers, or a CSV file with the columns code and experience.
        data: Arguments of `LesionDataModule`; dataset, task and fold are the checkpoint's.
        cases: Number of cases.
        training_cases: Number of further cases, of other groups, that readers begin with.
        wrong_share: Share of cases that the AI gets wrong, where there are as many.
        arms: Presets among no_ai, ai and ai_reasons, by default all; in this order if sequential.
        protocol: YAML file with arms, questions, analysis and assumptions about the readers.
        positive: Classes that count as positive; by default the cancers.
        skin_type: Column of the type of the skin; by default that of a published dataset.
        design: Each arm in a period of its own, or all arms of a case one after the other.
        washout_days: Days between two periods, at least 28; by default 28 in a crossover, else 0.
        until: Last day of the study, as YYYY-MM-DD.
        simulations: Simulated studies, for the power.
        seed: Seed of cases, assignment, orders and simulations.

    Returns:
        0.

    Raises:
        UsageError: If a setting cannot be used, there is no usable checkpoint, the cases are too
            few, or the folder is not empty or cannot be made.
        DataError: If the data cannot be read, or are not those of the checkpoint.
    """
    path = find_checkpoint(ckpt_path, RUNS)
    datamodule = datamodule_of_checkpoint(path, data)
    check_ranges(_RANGES, {**locals()})
    planned = make_protocol(arms, user_path(protocol, "--protocol") if protocol else None)
    folder = user_path(output, "--output")
    washout = _washout(washout_days, design, len(planned.arms))
    periods = len(planned.arms) if design == "crossover" else 1
    plan = StudyPlan(
        name=folder.resolve().name,
        design=design,
        washout_days=washout,
        positive=positive_classes(as_words(positive), datamodule),
        readers=planned_readers(readers, [one.name for one in planned.experience]),
        seed=seed,
        until=_last_day(until, washout * (periods - 1)),
    )
    with new_folder(folder) as made:
        model = load_model(path)
        check_maps(model, planned)
        chosen = choose_cases(
            candidate_cases(model, datamodule, skin_type),
            cases=cases,
            training_cases=training_cases,
            wrong_share=wrong_share,
            seed=seed,
        )
        draft = make_manifest(plan, planned, model, datamodule, chosen, path, made)
        power = simulated_power(draft, planned.readers, simulations=simulations)
        tokens = new_tokens(plan.readers)
        manifest = with_tokens(draft, tokens).model_copy(update={"power": power})
        freeze(manifest, tokens, made)
    notes = [*chosen.notes, balance_note(len(planned.arms), len(plan.readers), design)]
    print("\n".join([*summary(manifest, planned.readers, notes), *next_steps(folder)]))
    return 0


def _washout(asked: int | None, design: Design, arms: int) -> int:
    least = MINIMUM_WASHOUT if design == "crossover" and arms > 1 else 0
    days = least if asked is None else asked
    if days < least:
        raise UsageError(
            f"Expected `--washout_days` to be at least {least} between the periods of a crossover "
            f"(FDA 2022: at least 4 weeks), but got {days}."
        )
    if days < 0 or (days and not least):
        raise UsageError(
            f"Expected no `--washout_days` with a single period ({design}), but got {days}."
        )
    return days


def _last_day(text: str | None, least: int) -> datetime.date | None:
    """Return the last day of a study that takes at least `least` days."""
    if text is None:
        return None
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"Expected --until to be a day as YYYY-MM-DD, but got '{text}'."
        ) from error
    first = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=least)
    if day < first:
        raise UsageError(
            f"Expected --until to be {first} or later, as the periods and the wash-out between "
            f"them take {least} days at least, but got {day}: nobody could finish."
        )
    return day
