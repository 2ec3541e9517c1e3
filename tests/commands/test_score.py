"""The command `vitatt score`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
from isic_challenge_scoring.classification import ClassificationMetric, ClassificationScore

from vitatt.cli import main

TRUTH = pl.DataFrame(
    {
        "image": ["ISIC_0", "ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4", "ISIC_5", "ISIC_0035068"],
        "MEL": [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        "NV": [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0],
        "UNK": [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0],
        "score_weight": [1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        "validation_weight": [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0],
    }
)
GIVEN = pl.DataFrame(
    {
        "image": [f"{name}.jpg" for name in reversed(TRUTH["image"].to_list())],
        "MEL": [0.9, 0.5, 0.6, 0.1, 0.3, 0.2, 0.9],
        "NV": [0.1, 0.5, 0.4, 0.9, 0.7, 0.8, 0.1],
    }
)


def write(folder: Path, given: pl.DataFrame = GIVEN, truth: pl.DataFrame = TRUTH) -> list[str]:
    given.write_csv(folder / "predictions.csv")
    truth.write_csv(folder / "truth.csv")
    return ["score", str(folder / "predictions.csv"), str(folder / "truth.csv")]


def test_the_unknown_class_is_never_predicted_by_default(tmp_path, capsys):
    assert main([*write(tmp_path), "--output", str(tmp_path / "score.json")]) == 0
    printed = capsys.readouterr().out
    assert "7 cases, 6 of them with weight" in printed
    assert "has no probability of UNK. It is taken as 0: no case is predicted" in printed
    # ISIC_1 (weight 2) is taken for NV, all others are right but the two of UNK.
    expected = (1 / 3 + 1 + 0) / 3
    assert f"balanced accuracy  {expected:.4f}\n" in printed
    saved = json.loads((tmp_path / "score.json").read_text())
    assert saved["overall"] == pytest.approx(expected)
    assert [row["class"] for row in saved["by_class"]] == ["MEL", "NV", "UNK"]


def test_the_unknown_class_by_rule_is_as_the_official_scorer_has_it(tmp_path, capsys):
    # `vitatt predict` writes the column, with 0.
    words = write(tmp_path, GIVEN.with_columns(UNK=0.0))
    assert main([*words, "--unknown", "one_minus_max"]) == 0
    printed = capsys.readouterr().out
    assert "taken as 1 less the highest probability" in printed
    filled = GIVEN.with_columns(UNK=1 - pl.max_horizontal("MEL", "NV"))
    write(tmp_path, filled)
    official = ClassificationScore.from_file(
        tmp_path / "truth.csv", tmp_path / "predictions.csv", ClassificationMetric.BALANCED_ACCURACY
    )
    assert f"balanced accuracy  {official.overall:.4f}\n" in printed
    assert f"of the validation cases  {official.validation:.4f}\n" in printed
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("7 cases")


@pytest.mark.parametrize(
    ("given", "truth", "message"),
    [
        (GIVEN.rename({"image": "id"}), TRUTH, "lacks the column image"),
        (GIVEN.drop("NV"), TRUTH, "to have rows, and columns of at least two classes"),
        (GIVEN.rename({"NV": "NEV"}), TRUTH, r"lacks 1 of the class names in .*: NV\."),
        (GIVEN.with_columns(BCC=0.0), TRUTH, "has 1 class names that .* has not: BCC"),
        (GIVEN.head(5), TRUTH, r"lacks 2 of the image names in .*: ISIC_0, ISIC_1\."),
        (GIVEN, TRUTH.head(6), "has 1 image names that .* has not: ISIC_0035068"),
        (pl.concat([GIVEN, GIVEN.head(1)]), TRUTH, "has the image ISIC_0035068 more than once"),
        (
            GIVEN.with_columns(NV=pl.lit("x")),
            TRUTH,
            "column NV of .* to hold numbers, but got 'x'",
        ),
        (GIVEN.with_columns(NV=pl.col("NV") * 2), TRUTH, "to be 0 to 1, but those of ISIC_3"),
        (GIVEN.with_columns(NV=pl.lit(float("nan"))), TRUTH, r"to be 0 to 1, .*\(7 such rows\)"),
        (
            GIVEN.with_columns(NV=pl.when(pl.col("NV") < 0.8).then("NV")),
            TRUTH,
            "2 rows have an empty one, the first being that of ISIC_3",
        ),
        (GIVEN, TRUTH.with_columns(NV=pl.lit(1.0)), "one class with 1, .* the row of ISIC_0 has"),
        (GIVEN, TRUTH.with_columns(score_weight=-1.0), "score_weight of .* weights of at least 0"),
    ],
)
def test_wrong_files_are_refused(tmp_path, capsys, given, truth, message):
    assert main(write(tmp_path, given, truth)) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_rule_without_need_is_refused(tmp_path, capsys):
    words = write(tmp_path, truth=TRUTH.filter(UNK=0).drop("UNK"), given=GIVEN)
    assert main([*words, "--unknown", "one_minus_max"]) == 2
    assert "Expected `--unknown` only where" in capsys.readouterr().err


def test_absent_files(tmp_path, capsys):
    assert main(["score", str(tmp_path / "gone.csv"), str(tmp_path / "truth.csv")]) == 2
    assert "Expected the table" in capsys.readouterr().err
