"""What a report says in plain words, each sentence from the facts or the frames."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from vitatt.reports.benchmark.facts import Facts

FEW_CASES = 100
"""A class with fewer cases is named among the limits: its sensitivity moves 1 % or more by one."""

_MEANINGS: tuple[tuple[str, str], ...] = (
    (
        "balanced accuracy",
        "the share of each class's cases that is recognised, averaged over the classes, so that "
        "rare classes count as much as common ones; from 0 to 1, chance is {chance:.3f}",
    ),
    (
        "macro AUROC",
        "how often a case of a class gets a higher probability of that class than a case of "
        "another, averaged over the classes; from 0 to 1, chance is 0.5",
    ),
    (
        "melanoma sensitivity",
        "the share of melanomas found when the threshold lets 90 % of all other cases pass as no "
        "melanoma; from 0 to 1",
    ),
    (
        "Brier",
        "the squared distance between probabilities and the truth, summed over the classes and "
        "averaged over the cases; from 0 to 2, lower is better",
    ),
    (
        "calibration error",
        "how far the confidence in the predicted class lies from the share of such predictions "
        "that is right, on average; from 0 to 1, lower is better",
    ),
)


def metric_meanings(metrics: Sequence[str], facts: Facts) -> list[str]:
    """A line each kind of metric that occurs: what it means, its range, what is better."""
    chance = 1 / len(facts.classes)
    return [
        f"{name}: {meaning.format(chance=chance)}."
        for name, meaning in _MEANINGS
        if any(metric.startswith(name) or name in metric for metric in metrics)
    ]


def protocol_points(facts: Facts, complete: int | None) -> list[str]:
    """How it was measured.

    Args:
        facts: The protocol.
        complete: Cases with complete metadata.
    """
    group = facts.group
    points = [
        f"Data: {facts.title}, {facts.cases:,} cases of {facts.groups:,} {group}s: "
        + ", ".join(f"{name} {facts.class_counts[name]:,}" for name in facts.classes)
        + ".",
        _left_out(facts),
        f"Parts: the {group}s are dealt into {facts.num_folds} outer folds, stratified by "
        f"diagnosis; all cases of a {group} are in one fold. "
        + (
            f"Only outer fold {facts.fold} was predicted, by a model that saw none of it."
            if facts.one_model
            else "Each fold is predicted by models that saw none of it, so every case has a "
            "prediction by models that never saw its " + group + "."
        ),
        f"Inner part: one of {facts.inner_folds} parts of the training {group}s decides when a "
        "training stops"
        + ("." if facts.one_model else " and the temperature; the outer fold decides nothing."),
        _seeds(facts),
        encoder(facts)
        + (" An arm with another one says so in its name." if not facts.one_model else ""),
        f"Intervals: 95 %, percentile bootstrap that resamples whole {group}s.",
    ]
    if complete is not None and complete < facts.cases:
        points.append(
            f"Complete cases: the {complete:,} of {facts.cases:,} cases in which none of the "
            f"{len(facts.features)} metadata features is missing. Where missing metadata can give "
            "the diagnosis away, they show what is left without that help."
        )
    if not facts.one_model:
        points += [
            "Temperature scaling: one number an arm and fold, fitted on the inner part, divides "
            "the logits. Metrics after it are marked “tempered”.",
            "Differences between arms: the interval is of the cases, paired in every resample of "
            f"{group}s; p is of the folds, seeds averaged in each, by the corrected resampled "
            "t-test (Nadeau and Bengio 2003), and after Holm's correction over all arms.",
        ]
    return [point for point in points if point]


def limits(facts: Facts, arms: pl.DataFrame, subgroups: pl.DataFrame) -> list[str]:
    """What these metrics cannot tell, from the data.

    Args:
        facts: The protocol.
        arms: As `score_arms` gives it.
        subgroups: As `score_subgroups` gives it.
    """
    group = facts.group
    few = {name: n for name, n in facts.class_counts.items() if n < FEW_CASES}
    complete = arms.filter(pl.col("cases") == "complete")
    small = subgroups.filter(pl.col("small")).select("attribute", "subgroup").unique()
    lines = [
        f"One dataset, {facts.title}: nothing is known about other clinics, cameras or "
        "populations.",
        f"{facts.groups:,} {group}s: intervals rest on them, not on the {facts.cases:,} images.",
    ]
    if few:
        named = ", ".join(f"{name} ({n})" for name, n in few.items())
        lines.append(
            f"Few cases of {named}: their sensitivity, and balanced accuracy with it, is uncertain."
        )
    if complete.height:
        n = complete["n"][0]
        lines.append(
            f"Only {n:,} cases ({n / facts.cases:.0%}) have complete metadata; they are not a "
            "random sample.".replace("%", " %")
        )
    if facts.frozen and facts.encoder:
        lines.append(
            f"The encoder {facts.encoder} is frozen: fine-tuned, arms could come out otherwise."
        )
    if facts.one_model:
        lines.append(
            f"One model and one of {facts.num_folds} outer folds: another fold or seed gives other "
            "metrics. `vitatt benchmark` measures how much."
        )
    else:
        lines.append(
            "All arms share the outer folds, and training parts overlap between folds: the "
            "metrics of arms are not independent. The corrected t-test allows for it, roughly."
        )
        lines.append(
            f"{len(facts.arms)} arms were compared on the same cases: the best metric of many is "
            "too high by selection, unless the arm was chosen on inner parts only."
        )
        lines.append(
            f"{_count(len(facts.seeds), 'seed')} a fold: intervals hold for these trained models; "
            "they do not contain what another training would change."
        )
    lines.append(
        f"Intervals resample {facts.group}s: that of a sensitivity near 1 on few cases is too "
        "narrow, and calibration error comes out too high, with its interval, where it is small."
    )
    if small.height:
        lines.append(
            f"{_count(small.height, 'subgroup')} marked small: their metrics hint, they do not "
            "prove."
        )
    return lines


def encoder(facts: Facts) -> str:
    """The image encoder and its input; empty where no image is seen."""
    if facts.encoder is None:
        return ""
    return (
        f"Image encoder: {facts.encoder}, {'frozen' if facts.frozen else 'fine-tuned'}; images of "
        f"{facts.image_size} × {facts.image_size} pixels."
    )


def excluded(facts: Facts) -> int:
    """Rows of the published table that were not predicted."""
    return facts.absent + facts.unreadable


def _left_out(facts: Facts) -> str:
    if facts.rows is None:
        return ""
    if not excluded(facts):
        return f"Left out: none of the {facts.rows:,} labelled rows of the table."
    return (
        f"Left out: {excluded(facts):,} of {facts.rows:,} labelled rows: {facts.absent:,} without "
        f"their image, {facts.unreadable:,} with an image that cannot be read."
    )


def _seeds(facts: Facts) -> str:
    if facts.one_model:
        return ""
    seeds = ", ".join(map(str, facts.seeds))
    if len(facts.seeds) == 1:
        return f"Seed: {seeds}. One model a fold."
    return (
        f"Seeds: {seeds}. Each arm is trained {len(facts.seeds)} times a fold; the probabilities "
        "are averaged over the seeds. What one model reaches is in a table of its own."
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
