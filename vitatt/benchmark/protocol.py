"""The protocol of a benchmark: its data and folds, and checks for leaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitatt.benchmark.plan import Benchmark, Job
from vitatt.benchmark.training import NetworkTraining
from vitatt.data.checks.leaks import find_leaks, require_no_leaks
from vitatt.data.datamodule import LesionDataModule


def protocol(
    benchmark: Benchmark, configs: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], LesionDataModule]:
    """Facts about the data, the folds and the arms, and the data module of the first fold.

    Args:
        benchmark: The plan.
        configs: The configuration of each arm that is trained.

    Raises:
        DataError: If a feature copies the label, or an encoding was fitted on other rows than a
            fold's own training rows.
    """
    trained = [name for name, arm in benchmark.arms.items() if not arm.choose_from]
    reference = benchmark.arms[benchmark.reference]
    name = benchmark.reference if benchmark.reference in trained else reference.choose_from[0]
    checks = []
    for fold in range(benchmark.num_folds):
        data = _data(benchmark, name, fold)
        findings = find_leaks(data.fold_data)
        require_no_leaks(findings)
        if fold == 0:
            first = data
            checks = [
                {"check": one.check, "outcome": one.outcome, "ok": one.ok} for one in findings
            ]
    for other in trained:  # an arm may have features, or a fitted task, of its own
        if configs[other]["data"] != configs[name]["data"]:
            require_no_leaks(find_leaks(_data(benchmark, other, 0).fold_data))
    spec, labelled = first.spec, first.labelled
    config = configs[name]
    counts = dict(labelled.frame["diagnosis"].value_counts().iter_rows())
    facts = {
        "dataset": spec.name,
        "description": first.fold_data.dataset.description,
        "title": spec.title,
        "classes": list(spec.classes),
        "class_titles": dict(spec.class_titles),
        "group": spec.group,
        "features": [feature.name for feature in spec.features],
        "feature_labels": {feature.name: feature.label for feature in spec.features},
        "cases": labelled.frame.height,
        "groups": labelled.frame["group"].n_unique(),
        "rows": labelled.table.cases.height,
        "absent": len(labelled.table.absent),
        "unreadable": len(labelled.cache.unreadable),
        "class_counts": {label: counts.get(label, 0) for label in spec.classes},
        "num_folds": benchmark.num_folds,
        "inner_folds": benchmark.inner_folds,
        "seeds": list(benchmark.seeds),
        "encoder": config["model"]["encoder"],
        "frozen": config["model"]["freeze_encoder"] is True,
        "image_size": config["data"]["image_size"],
        "reference": benchmark.reference,
        "arms": {
            name: {"title": arm.title, "source": arm.source}
            for name, arm in benchmark.arms.items()
            if name not in benchmark.candidates
        },
        "checks": checks,
        "positive": spec.positive,
        "question": benchmark.question,
    }
    return facts, first


def _data(benchmark: Benchmark, arm: str, fold: int) -> LesionDataModule:
    """The data of an arm in a fold, as its trainings see them."""
    job = Job(benchmark, arm, fold, benchmark.seeds[0])
    name = benchmark.arms[arm].first_stage or arm
    options = [*job.options(name), "--trainer.logger=false"]
    return NetworkTraining(options).datamodule
