"""Checks for leaks: columns, images or fitted encodings that reveal labels of test cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from vitatt.data.cases import UsableCases
from vitatt.data.checks.leak_probe import guess_diagnosis
from vitatt.data.datasets.schema import Feature
from vitatt.data.fold import FoldData
from vitatt.data.metadata.association import associate
from vitatt.data.metadata.encoding import fit_features
from vitatt.data.twins import of_two_groups, with_content
from vitatt.types import DataError, LesionTask

COPY = "copies of the label"
GAPS = "missing pattern"
IMAGES = "images under two names"
ENCODING = "encoding"

COPIED = 0.95
"""Association, or balanced accuracy of a guess, from which a feature counts as a label copy."""

LEAKING_GAPS = 0.1
"""Balanced accuracy above chance from which the missing pattern counts as a leak."""

_REFUSED = {
    COPY: "A score with it is no skill: leave it out of `data.features`.",
    ENCODING: "What was fitted on other rows may have seen the test cases: fit inside the fold.",
}
_SHOWN = 20
_NOTHING = "no metadata is used"
_ENOUGH = 20  # observed rows; with two rows of different values, any association is perfect


class Finding(NamedTuple):
    """The outcome of one check.

    Attributes:
        check: Name of the check.
        outcome: The outcome in one sentence with its metrics.
        ok: Whether no leak was found.
        culprit: The feature or the images that leak; empty if none do.
    """

    check: str
    outcome: str
    ok: bool
    culprit: str = ""


def find_leaks(fold: FoldData) -> list[Finding]:
    """Return the outcome of all checks of a fold, with the metadata features that it uses."""
    training = fold.cases("train")
    return [
        *label_copies(training, fold.chosen),
        missing_pattern(training, fold.chosen),
        *shared_images(fold.labelled),
        encoding(fold.task, training, fold.chosen, fold.num_bins),
    ]


def require_no_leaks(findings: Sequence[Finding]) -> None:
    """Refuse copies of the label, and encodings fitted on other rows than the fold's training rows.

    A missing pattern that leaks, and images under two names, are reported, but not refused: they
    can be met by metrics on complete cases, and by keeping the groups of such images together.

    Args:
        findings: Outcomes from `find_leaks`.

    Raises:
        DataError: If there are such copies or encodings; the message names them.
    """
    for check, advice in _REFUSED.items():
        if texts := [one.outcome for one in findings if one.check == check and not one.ok]:
            raise DataError(f"{'. '.join(texts)}. {advice}")


def label_copies(training: pl.DataFrame, features: Sequence[Feature]) -> list[Finding]:
    """Return a finding for each feature that is nearly the label, or one that there is none.

    Args:
        training: Rows that the model may learn from.
        features: Columns to check.
    """
    if not features:
        return [Finding(COPY, _NOTHING, ok=True)]
    tables = [training.select(feature.name) for feature in features]
    guesses = {
        feature.name: guess
        for feature, guess in zip(features, guess_diagnosis(training, tables), strict=True)
    }
    found = []
    for row in associate(training, features).iter_rows(named=True):
        name, observed = row["feature"], row["observed"]
        related = row["association"] if observed >= _ENOUGH else 0.0
        if max(guesses[name], related) >= COPIED:
            outcome = (
                f"'{name}' alone gives the diagnosis away: balanced accuracy {guesses[name]:.3f}, "
                f"association {related:.3f} over {observed} rows"
            )
            found.append(Finding(COPY, outcome, ok=False, culprit=name))
    best = max(guesses, key=lambda name: guesses[name])
    outcome = f"none; the best guess by one feature has a balanced accuracy of {guesses[best]:.3f}"
    return found or [Finding(COPY, f"{outcome} ('{best}')", ok=True)]


def missing_pattern(training: pl.DataFrame, features: Sequence[Feature]) -> Finding:
    """Return how well the diagnosis can be predicted from which values are missing."""
    if not features:
        return Finding(GAPS, _NOTHING, ok=True)
    gaps = training.select(pl.col([feature.name for feature in features]).is_null())
    (guess,), chance = guess_diagnosis(training, [gaps]), 1 / training["diagnosis"].n_unique()
    ok = guess < chance + LEAKING_GAPS
    outcome = (
        f"which values are missing reaches a balanced accuracy of {guess:.3f} (chance {chance:.3f})"
    )
    if ok:
        return Finding(GAPS, outcome, ok)
    table = associate(training, features).sort("missing_association", descending=True)
    name, share = table.select("feature", "missing_association").row(0)
    return Finding(
        GAPS, f"{outcome}; gaps of '{name}' contribute most, association {share:.3f}", ok, name
    )


def shared_images(usable: UsableCases) -> list[Finding]:
    """Return a finding for each image under two patients or lesions, or one that there is none.

    Their groups are merged before any split, so that metrics stay valid; but one name is wrong.
    """
    spec, twins = usable.table.spec, usable.twins
    # Files that cannot be read, such as empty ones, may have equal bytes, but are no image.
    readable = usable.table.cases.filter(~pl.col("image").is_in(list(usable.cache.unreadable)))
    present = with_content(readable, usable.cache.digests)
    found = images_of_two_groups(present, twins.pairs, spec.group)
    if chain := twins.chain_note(present, spec.group):
        found = [*(one for one in found if not one.ok), Finding(IMAGES, chain, ok=False)]
    return found


def images_of_two_groups(present: pl.DataFrame, near: pl.DataFrame, group: str) -> list[Finding]:
    """Return a finding for each image under two groups, byte for byte or nearly.

    Args:
        present: Columns ``case_id``, ``group`` and ``content``, the digest of each case's image.
        near: Columns ``one``, ``other`` and ``similarity`` of digests.
        group: ``patient`` or ``lesion``.
    """
    shared = present.filter(pl.col("group").n_unique().over("content") > 1)
    together = f"their {group}s are kept together"
    found = []
    for part in shared.partition_by("content", maintain_order=True):
        names = [f"{row['case_id']} ({row['group']})" for row in part.iter_rows(named=True)]
        outcome = f"{one_image(names)}: one image; {together}"
        found.append(Finding(IMAGES, outcome, ok=False, culprit=", ".join(part["case_id"])))
    for row in of_two_groups(near, present).iter_rows(named=True):
        names = [f"{row[f'case_id{one}']} ({row[f'group{one}']})" for one in ("", "_other")]
        outcome = (
            f"{' and '.join(names)}: nearly the same image (similarity {row['similarity']:.2f}); "
            f"{together}"
        )
        culprit = f"{row['case_id']}, {row['case_id_other']}"
        found.append(Finding(IMAGES, outcome, ok=False, culprit=culprit))
    return found or [Finding(IMAGES, f"none under two {group}s", ok=True)]


def one_image(names: Sequence[str]) -> str:
    """Return the names of one image as text, at most 20 of them."""
    more = f" = ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return f"{' = '.join(names[:_SHOWN])}{more}"


def encoding(
    task: LesionTask, training: pl.DataFrame, features: Sequence[Feature], num_bins: int
) -> Finding:
    """Check that the features and encodings of a task are those of its fold's training rows.

    Args:
        task: The task of a model.
        training: Rows that the model may learn from.
        features: The features that are selected on these rows, in order.
        num_bins: Bins of a numeric feature.
    """
    rows = f"the {training.height} training rows of fold {task.fold_spec.fold}"
    for culprit, problem in _differences(task, training, features, num_bins):
        outcome = f"the encoding of '{culprit}' was not fitted on {rows}: {problem}"
        return Finding(ENCODING, outcome, ok=False, culprit=culprit)
    return Finding(ENCODING, f"fitted on {rows} alone", ok=True)


def check_encoding(
    task: LesionTask, training: pl.DataFrame, features: Sequence[Feature], num_bins: int
) -> None:
    """Refuse a task that was not fitted on the training rows of its fold, see `encoding`.

    Raises:
        DataError: If it was not; the message names the first feature that differs.
    """
    require_no_leaks([encoding(task, training, features, num_bins)])


def _differences(
    task: LesionTask, training: pl.DataFrame, features: Sequence[Feature], num_bins: int
) -> Iterator[tuple[str, str]]:
    """Yield each part of a task that differs from what the training rows give, and how."""
    names, expected_names = (tuple(one.name for one in some) for some in (task.features, features))
    for name in (*names, *expected_names):
        if (name in names) != (name in expected_names):
            wants, has = ("do not", "is") if name in names else ("do", "is not")
            yield name, f"they {wants} choose it, but it {has} among the features"
    if names != expected_names:
        return
    for found, expected in zip(
        task.features, fit_features(training, features, num_bins=num_bins), strict=True
    ):
        strange = set(found.categories) - set(expected.categories)
        if strange:
            yield found.name, f"it has categories that they lack: {', '.join(sorted(strange))}"
        elif found.categories != expected.categories:
            lacking = [name for name in expected.categories if name not in found.categories]
            yield found.name, f"it lacks categories that they have: {', '.join(lacking)}"
        elif len(found.centres) != len(expected.centres) or not np.allclose(
            found.centres, expected.centres, rtol=1e-9
        ):
            yield found.name, f"its centres are {found.centres}, but theirs {expected.centres}"
    counts = tuple(int((training["diagnosis"] == name).sum()) for name in task.classes)
    if counts != task.class_counts:
        yield "diagnosis", f"it counts {task.class_counts} cases of the classes, but they {counts}"
