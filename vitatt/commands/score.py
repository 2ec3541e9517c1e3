"""The command `vitatt score`."""

from __future__ import annotations

import json
import math

import polars as pl

from vitatt.evaluation.challenge_score import ChallengeScore, challenge_score
from vitatt.files import check_writable, write_text
from vitatt.paths import user_path
from vitatt.studies.submission import UnknownRule, read_submission


def score(
    predictions: str, truth: str, *, unknown: UnknownRule | None = None, output: str | None = None
) -> int:
    """Score predictions as the organisers of the ISIC challenges do.

    Args:
        predictions: CSV file of `vitatt predict`: ``image``, and a probability for each class.
        truth: Published ground truth, such as ISIC_2019_Test_GroundTruth.csv: ``image``, a column
            of 0 and 1 for each class and, in some, ``score_weight`` and ``validation_weight``.
        unknown: Probability of the class UNK, if the truth has it and the predictions have none or
            0 throughout: ``one_minus_max``, 1 less the highest probability; by default 0, so that
            it is never predicted.
        output: JSON file for the scores.

    Returns:
        0.

    Raises:
        UsageError: If a file cannot be read or written, images or classes differ, or a value is not
            possible.
    """
    path = None if output is None else user_path(output, "--output")
    if path is not None:
        check_writable(path)
    submission = read_submission(
        user_path(predictions, "predictions"), user_path(truth, "truth"), unknown=unknown
    )
    found = challenge_score(
        submission.truth,
        submission.probabilities,
        submission.classes,
        score_weight=submission.score_weight,
        validation_weight=submission.validation_weight,
    )
    counted = int((submission.score_weight > 0).sum())
    for note in submission.notes:
        print(f"note: {note}")
    print(f"{len(submission.images)} cases, {counted} of them with weight")
    print("\n".join(_lines(found)))
    if path is not None:
        write_text(json.dumps(_plain(found), indent=1), path)
        print(f"Scores: {path}")
    return 0


def _lines(found: ChallengeScore) -> list[str]:
    shown = found.by_class
    header = "  ".join(f"{name:>11}" for name in shown.columns)
    rows = [
        "  ".join(f"{_cell(value):>11}" for value in row)
        for row in (*shown.iter_rows(), ("mean", None, *_means(found).values()))
    ]
    return [
        f"balanced accuracy  {_cell(found.overall)}",
        f"of the validation cases  {_cell(found.validation)}",
        header,
        *rows,
    ]


def _means(found: ChallengeScore) -> dict[str, float | None]:
    """Means over classes of all columns but the class and its number of cases."""
    return found.by_class.select(pl.exclude("class", "cases").mean()).row(0, named=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4f}"
    return "" if value is None else str(value)


def _plain(found: ChallengeScore) -> dict[str, object]:
    overall, validation = (
        None if math.isnan(value) else value for value in (found.overall, found.validation)
    )
    return {
        "overall": overall,
        "validation": validation,
        "by_class": found.by_class.to_dicts(),
        "mean": _means(found),
    }
