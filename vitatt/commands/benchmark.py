"""The command `vitatt benchmark`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from vitatt.benchmark.candidates import with_candidates
from vitatt.benchmark.plan import Arm, Benchmark, as_option
from vitatt.benchmark.predictions import pool
from vitatt.benchmark.preparation import prepare_arms
from vitatt.benchmark.protocol import protocol
from vitatt.benchmark.record import check_and_record
from vitatt.benchmark.runner import require_ray, run_all
from vitatt.benchmark.tables import lines, write_tables
from vitatt.callbacks.benchmark_summary import log_benchmark
from vitatt.files import check_folder, claim_folder, write_frame, write_text
from vitatt.options import CALLED_FROM_PYTHON, CommandLine
from vitatt.ranges import Range, check_ranges
from vitatt.types import UsageError
from vitatt.words import as_list, as_words, whole_numbers

_NONE: Mapping[str, Any] = MappingProxyType({})


def benchmark(
    *,
    arms: Mapping[str, Arm],
    reference: str,
    output: str,
    configs: Sequence[str] | str = (),
    options: Mapping[str, Any] = _NONE,
    num_folds: int = 5,
    inner_folds: int = 10,
    seeds: Sequence[int] | Sequence[str] | int | str = (0, 1, 2),
    keep: Sequence[str] | str = (),
    threads: int = 1,
    question: str = "",
    workers: int | None = None,
    ray_address: str | None = None,
    line: CommandLine = CALLED_FROM_PYTHON,
) -> int:
    """Train every arm on every fold with every seed, and compare them in tables.

    Trainings that are finished are not repeated, so the same command resumes a benchmark. On the
    command line, options of `vitatt fit`, such as ``--model.learning_rate 1e-4``, are options of
    all trainings.

    Args:
        arms: Models to compare, by name.
        reference: Arm to compare others with.
        output: Folder for all results.
        configs: Configurations that all trainings start from; in a file, paths from its folder.
        options: Options of `vitatt fit` for all trainings, by name.
        num_folds: Number of outer folds.
        inner_folds: The validation split is one of this many parts of the training groups.
        seeds: Seeds of initial weights, dropout and inner split.
        keep: Arms whose models stay on disk.
        threads: CPU threads of a training.
        question: Question of the comparison, for the report.
        workers: Trainings at a time on this machine, by Ray; by default one after another.
        ray_address: Address of a Ray cluster to train on.
        line: The command line, recorded in ``protocol.json``.

    Returns:
        0.

    Raises:
        UsageError: If the plan is not consistent, an arm cannot be trained, the folder holds
            results of other settings, or trainings failed.
        DataError: If the data cannot be read, or leak the label.
    """
    plan = make_plan(
        arms=arms,
        reference=reference,
        output=output,
        configs=configs,
        options=options,
        num_folds=num_folds,
        inner_folds=inner_folds,
        seeds=seeds,
        keep=keep,
        threads=threads,
        question=question,
        line=line,
    )
    _check_workers(workers, ray_address)
    _check_output(plan.output)
    trained = check_and_record(plan)
    write_text(yaml.safe_dump(_plain(plan), sort_keys=False), plan.output / "benchmark.yaml")
    jobs = list(plan.jobs())
    print(
        f"{len(plan.arms) - len(plan.candidates)} arms, {plan.num_folds} outer folds, "
        f"{len(plan.seeds)} seeds: {len(jobs)} trainings, {sum(job.finished for job in jobs)} of "
        "them finished."
    )
    facts, data = protocol(plan, trained)
    facts["command"] = line.text or "vitatt.commands.benchmark.benchmark(...)"
    write_text(json.dumps(facts, indent=1), plan.output / "protocol.json")
    for check in facts["checks"]:
        print(f"  {'ok' if check['ok'] else 'note'}: {check['check']}: {check['outcome']}")
    prepare_arms(plan, trained)
    run_all(plan, workers=workers, ray_address=ray_address)
    names = [feature.name for feature in data.spec.features]
    predictions = pool(plan, data.labelled.frame, data.spec.classes, names)
    write_frame(predictions, plan.output / "predictions.parquet")
    tables = write_tables(
        predictions,
        plan.output / "tables",
        classes=data.spec.classes,
        features=names,
        subgroups=data.spec.subgroups,
        reference=plan.reference,
        positive=data.spec.positive_class,
        bands=data.spec.bands,
    )
    log_benchmark(plan.output, facts, tables)
    print("\n".join(lines(tables)))
    print(f"Tables: {plan.output / 'tables'}. For the report: vitatt report {plan.output}")
    return 0


def make_plan(
    *,
    arms: Mapping[str, Arm],
    reference: str,
    output: str,
    configs: Sequence[str] | str,
    options: Mapping[str, Any],
    num_folds: int,
    inner_folds: int,
    seeds: Sequence[int] | Sequence[str] | int | str,
    keep: Sequence[str] | str,
    threads: int,
    question: str,
    line: CommandLine,
) -> Benchmark:
    """The plan that the arguments of `benchmark` describe.

    Raises:
        UsageError: If it is not consistent.
    """
    folder = line.config_files[0].parent if line.config_files else Path()
    made, candidates = with_candidates({name: _resolved(arm, folder) for name, arm in arms.items()})
    plan = Benchmark(
        arms=made,
        configs=_paths(configs, folder),
        options=(
            *(f"--{key}={as_option(value)}" for key, value in options.items()),
            *line.training_options,
        ),
        reference=reference,
        output=Path(output).expanduser().resolve(),
        num_folds=num_folds,
        inner_folds=inner_folds,
        seeds=whole_numbers(seeds, "seeds"),
        keep=tuple(as_words(keep)),
        threads=threads,
        question=question,
        candidates=candidates,
    )
    plan.check()
    return plan


def _resolved(arm: Arm, folder: Path) -> Arm:
    """The arm with tuples for lists, its configurations looked for from a folder on."""
    return dataclasses.replace(
        arm, configs=_paths(arm.configs, folder), choose_from=tuple(as_words(arm.choose_from))
    )


def _paths(configs: Sequence[str] | str, folder: Path) -> tuple[str, ...]:
    return tuple(str(folder / path) for path in as_list(configs))


def _check_workers(workers: int | None, ray_address: str | None) -> None:
    """See that the trainings can be run as asked for.

    Raises:
        UsageError: If not, or Ray is asked for and not installed.
    """
    check_ranges({"workers": Range(least=1)}, {"workers": workers})
    if workers is not None and ray_address is not None:
        raise UsageError(
            f"Expected `workers` without `ray_address`, whose cluster decides, but got "
            f"{workers} and {ray_address}."
        )
    if workers is not None or ray_address is not None:
        require_ray()


def _check_output(output: Path) -> None:
    """See that results can be written into a folder, which is new or that of a benchmark.

    Raises:
        UsageError: If it is neither, or cannot be written.
    """
    if any((output / name).exists() for name in ("benchmark.yaml", "jobs")):
        check_folder(output, "--output")
    else:
        claim_folder(output)
    if (output / "cells").is_dir():
        print(
            f"note: {output / 'cells'} is of an earlier version of vitatt and is not read: its "
            "trainings are done anew, into jobs."
        )


def _plain(plan: Benchmark) -> dict[str, Any]:
    plain = json.loads(json.dumps(dataclasses.asdict(plan), default=str))
    return dict(plain)
