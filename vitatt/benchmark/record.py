"""The record of a benchmark's configuration, which a resumed benchmark is compared with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from vitatt.benchmark.plan import Benchmark
from vitatt.benchmark.training import ParsedTraining, quiet
from vitatt.files import write_text
from vitatt.models.fusion.configuration import with_names
from vitatt.reading import read_yaml
from vitatt.types import UsageError

_MAY_CHANGE = ("data.root", "data.cache_dir", "data.num_workers", "trainer.logger", "config")
"""Settings that no result depends on."""


def check_and_record(benchmark: Benchmark) -> dict[str, dict[str, Any]]:
    """Parse every arm's configuration, and compare it with that of the jobs already there.

    Returns:
        The configuration of each arm that is trained, by name.

    Raises:
        UsageError: If the folder holds results of other settings, or a number is out of its range.
            Wrong options exit with 2, as in `vitatt fit`, before anything is trained.
    """
    configs = {}
    for name, arm in benchmark.arms.items():
        if arm.choose_from:
            continue
        with quiet():
            options = benchmark.arm_options(arm.first_stage or name)
            try:
                config = ParsedTraining(options).plain()
            except UsageError as error:
                raise UsageError(f"Arm '{name}' cannot be trained: {error}") from error
        config["benchmark"] = {
            "classical": arm.classical,
            "num_folds": benchmark.num_folds,
            "inner_folds": benchmark.inner_folds,
            "threads": benchmark.threads,
        }
        configs[name] = config
        _compare(benchmark.output / "jobs" / name / "config.yaml", name, config)
    return configs


def _compare(path: Path, arm: str, config: dict[str, Any]) -> None:
    text = yaml.safe_dump(config, sort_keys=True)
    if not any(path.parent.glob("fold-*-seed-*/job.json")):  # nothing is there to mix with
        write_text(text, path)
        return
    changed = changed_settings(read_yaml(path), config)
    if changed:
        shown = "\n  ".join(changed[:8])
        raise UsageError(
            f"{path.parent} holds results of the arm '{arm}' with other settings:\n  {shown}\n"
            "Name another --output, give the arm another name, or remove that folder."
        )


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Settings that results depend on and that differ, each with both values, in a line.

    Args:
        before: The recorded configuration of a training.
        now: The present one.
    """
    old, new = flat(with_names(dict(before))), flat(now)
    return [
        f"{key}: {json.dumps(old.get(key))} before, {json.dumps(new.get(key))} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(_MAY_CHANGE)
    ]


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a configuration by their full names, such as ``model.learning_rate``."""
    return dict(_items(config, ""))


def _items(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _items(item, f"{place}.{key}" if place else str(key))
    else:
        yield place, value
