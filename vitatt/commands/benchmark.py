"""benchmark: every arm on every fold with every seed, and the tables that compare them."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser

from vitatt.benchmark.plan import Arm, Benchmark, Classical, Job, as_option
from vitatt.benchmark.predictions import pool
from vitatt.benchmark.protocol import protocol
from vitatt.benchmark.record import check_and_record
from vitatt.benchmark.runner import require_ray, run_all
from vitatt.benchmark.tables import lines, write_tables
from vitatt.benchmark.training import NetworkTraining
from vitatt.callbacks.benchmark_summary import log_benchmark
from vitatt.files import check_folder, claim_folder, write_frame, write_text
from vitatt.ranges import Range, check_ranges
from vitatt.types import UsageError
from vitatt.words import as_words

_OF_TRAININGS = ("data", "model", "trainer", "token_cache", "early_stopping")
"""Sections whose options are passed on to every training."""


@dataclasses.dataclass(frozen=True)
class ArmSettings:
    """One model in the comparison, as a file describes it, see `Arm`; one word may be a list."""

    title: str
    source: str = ""
    configs: tuple[str, ...] | str = ()
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    classical: Classical | None = None
    first_stage: str | None = None
    choose_from: tuple[str, ...] | str = ()
    average: int = 1

    def arm(self, folder: Path) -> Arm:
        """The arm; its configurations are looked for from a folder on."""
        return Arm(
            **{
                **vars(self),
                "configs": tuple(str(folder / path) for path in _listed(self.configs)),
                "choose_from": tuple(as_words(self.choose_from)),
            }
        )


def benchmark(options: list[str]) -> int:
    """Run what is not finished, then write predictions, tables and protocol."""
    settings, plan = _parse(options)
    _check_output(plan.output)
    configs = check_and_record(plan)
    write_text(yaml.safe_dump(_plain(plan), sort_keys=False), plan.output / "benchmark.yaml")
    jobs = list(plan.jobs())
    print(
        f"{len(plan.arms)} arms, {plan.num_folds} outer folds, {len(plan.seeds)} seeds: "
        f"{len(jobs)} trainings, {sum(job.finished for job in jobs)} of them finished."
    )
    facts, data = protocol(plan, configs)
    facts["command"] = shlex.join(["vitatt", "benchmark", *options])
    write_text(json.dumps(facts, indent=1), plan.output / "protocol.json")
    for line in facts["checks"]:
        print(f"  {'ok' if line['ok'] else 'note'}: {line['check']}: {line['outcome']}")
    _prepare(plan, configs)
    run_all(plan, workers=settings.workers, ray_address=settings.ray_address)
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
        melanoma=facts["melanoma"],
    )
    log_benchmark(plan.output, facts, tables)
    print("\n".join(lines(tables)))
    print(f"Tables: {plan.output / 'tables'}. For the report: vitatt report {plan.output}")
    return 0


def _parse(options: list[str]) -> tuple[Any, Benchmark]:
    """The command's own settings, and the plan with everything else passed on to the trainings.

    Raises:
        UsageError: If the plan is not consistent, `workers` cannot be, or Ray is asked for and not
            installed.
    """
    own, passed = _sort_out(options)
    parser = ArgumentParser(prog="vitatt benchmark", description=(__doc__ or "").split(": ")[1])
    parser.add_argument("--config", action=ActionConfigFile, help="such as conf/benchmark/pad.yaml")
    parser.add_argument(
        "--arms", type=dict[str, ArmSettings], required=True, help="models to compare"
    )
    parser.add_argument(
        "--configs", type=list[str] | str, default=[], help="all trainings start from"
    )
    parser.add_argument("--options", type=dict[str, Any], default={}, help="for all trainings")
    parser.add_argument("--reference", type=str, required=True, help="arm to compare others with")
    parser.add_argument("--output", type=str, required=True, help="folder for all results")
    parser.add_argument("--num_folds", type=int, default=5)
    parser.add_argument("--inner_folds", type=int, default=10)
    parser.add_argument("--seeds", type=list[int] | int | str, default=[0, 1, 2])
    parser.add_argument(
        "--keep", type=list[str] | str, default=[], help="arms whose models stay on disk"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a training")
    parser.add_argument("--question", type=str, default="", help="for the report")
    parser.add_argument("--workers", type=int | None, default=None, help="trainings at a time")
    parser.add_argument("--ray_address", type=str | None, default=None, help="a Ray cluster")
    settings = parser.parse_args(own)
    folder = Path(str(settings.config[0])).parent if settings.config else Path()
    asked: dict[str, ArmSettings] = parser.instantiate_classes(settings).arms
    plan = Benchmark(
        arms={name: arm.arm(folder) for name, arm in asked.items()},
        configs=tuple(str(folder / path) for path in _listed(settings.configs)),
        options=(
            *(f"--{key}={as_option(value)}" for key, value in settings.options.items()),
            *passed,
        ),
        reference=settings.reference,
        output=Path(settings.output).expanduser().resolve(),
        num_folds=settings.num_folds,
        inner_folds=settings.inner_folds,
        seeds=_numbers(settings.seeds),
        keep=tuple(as_words(settings.keep)),
        threads=settings.threads,
        question=settings.question,
    )
    plan.check()
    check_ranges({"workers": Range(least=1)}, {"workers": settings.workers})
    if settings.workers is not None and settings.ray_address is not None:
        raise UsageError(
            f"Expected `workers` without `ray_address`, whose cluster decides, but got "
            f"{settings.workers} and {settings.ray_address}."
        )
    if settings.workers is not None or settings.ray_address is not None:
        require_ray()
    return settings, plan


def _check_output(output: Path) -> None:
    """See that results can be written into a folder, which is new or that of a benchmark.

    Raises:
        UsageError: If it is neither, or cannot be written.
    """
    if any((output / name).exists() for name in ("benchmark.yaml", "jobs")):
        check_folder(output, "--output")
    else:
        claim_folder(output)


def _listed(value: Sequence[str] | str) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _numbers(value: list[int] | int | str) -> tuple[int, ...]:
    """Seeds, as a list, one number, or ``0,1,2``.

    Raises:
        UsageError: If they are no whole numbers.
    """
    given = [value] if isinstance(value, int) else value
    try:
        return tuple(int(one) for one in (as_words(given) if isinstance(given, str) else given))
    except ValueError as error:
        raise UsageError(f"Expected `seeds` to be whole numbers, but got {value}.") from error


def _sort_out(options: list[str]) -> tuple[list[str], list[str]]:
    """The command's own options, and those of the trainings as ``--key=value``."""
    own: list[str] = []
    passed: list[str] = []
    words = iter(options)
    for word in words:
        if not word.startswith(tuple(f"--{section}." for section in _OF_TRAININGS)):
            own.append(word)
            continue
        if "=" not in word:
            if (value := next(words, None)) is None:
                raise UsageError(f"Expected a value after {word}.")
            word = f"{word}={value}"
        passed.append(word)
    return own, passed


def _plain(plan: Benchmark) -> dict[str, Any]:
    plain = json.loads(json.dumps(dataclasses.asdict(plan), default=str))
    return dict(plain)


def _prepare(plan: Benchmark, names: Iterable[str]) -> None:
    """Make every arm once, and compute the tokens that its trainings read.

    So an argument that cannot be ends the command before the first training.

    Raises:
        UsageError: If an arm cannot be trained so; the message names it.
    """
    for name in names:
        first = Job(plan, name, 0, plan.seeds[0])
        arm = plan.arms[name]
        try:
            training = NetworkTraining([*first.options(arm.first_stage), "--trainer.logger=false"])
            training.prepare()
            if arm.classical == "gradient_boosting" and not training.datamodule.task.features:
                raise UsageError("boosted trees need a feature, but `data.features` leaves none.")
        except UsageError as error:
            raise UsageError(f"Arm '{name}' cannot be trained: {error}") from error
