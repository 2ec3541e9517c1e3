from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.pages import Page
from vitatt.reports.robustness import robustness_page, robustness_sections
from vitatt.reports.section import Table
from vitatt.studies.perturbed_metadata import AT_RANDOM
from vitatt.studies.robustness_scores import CURVES, falls_below

FIGURE = np.zeros((40, 1728, 3), dtype=np.uint8)
METRICS = ("balanced accuracy", "macro AUROC")


def points(model: str, kind: str, perturbation: str, levels: list[float]) -> list[dict[str, Any]]:
    """A curve that starts at 0.8 and falls by 0.3 a level, compared with a constant 0.65."""
    rows = []
    for level in levels:
        value = 0.8 - 0.3 * level
        row = {"model": model, "kind": kind, "perturbation": perturbation, "level": level}
        row |= {"value": value, "low": value - 0.1, "high": value + 0.1}
        row |= {"n": 120, "groups": 60, "repeats": 5}
        if model != "image only":
            apart = value - 0.65
            row |= {"difference": apart, "difference_low": apart - 0.2}
            row["difference_high"] = apart + 0.2
        rows += [{"metric": metric, **row} for metric in METRICS]
    return rows


@pytest.fixture
def curves() -> pl.DataFrame:
    rows = [
        *points("image only", "missing", AT_RANDOM, [0.0]),
        *points("ViTAtt", "missing", AT_RANDOM, [0.0, 0.5, 1.0]),
        *points("image only", "image", "blur", [0.0, 1.0]),
        *points("ViTAtt", "image", "blur", [0.0, 1.0]),
    ]
    return pl.DataFrame(rows, schema=CURVES)


def rows_of(table: Table) -> list[list[str]]:
    return [[str(cell) for cell in row] for row in table.rows]


def test_one_section_for_each_kind_with_its_figure_and_numbers(curves: pl.DataFrame) -> None:
    sections = robustness_sections(curves, falls_below(curves), {"missing": FIGURE}, ["120 cases."])
    assert [section.title for section in sections] == [
        "How to read this page",
        "Metadata missing",
        "Images corrupted",
    ]
    assert sections[0].points == ["120 cases."]
    assert "significantly below at" in " ".join(sections[0].paragraphs)
    assert [len(section.plots) for section in sections] == [0, 1, 0]
    balanced, auroc, every = sections[1].tables
    assert balanced.title == "Balanced accuracy: first and last level"
    assert auroc.title == "Macro AUROC: first and last level"
    unchanged = "0.800 [0.700, 0.900]"
    title = "values at random"
    assert rows_of(balanced) == [
        ["image only", title, unchanged, "–", "–", "–", "–"],
        ["ViTAtt", title, unchanged, "0.500 [0.400, 0.600]", "100 %", "100 %", "–"],
    ]
    assert every.folded
    assert len(every.rows) == 8
    assert ["ViTAtt", title, METRICS[1], "50 %", "0.650 [0.550, 0.750]"] in [
        row[:5] for row in rows_of(every)
    ]
    assert rows_of(sections[2].tables[0])[1][3:] == ["0.500 [0.400, 0.600]", "1", "1", "–"]


def test_without_a_model_to_compare_with(curves: pl.DataFrame) -> None:
    alone = curves.filter(model="ViTAtt").with_columns(
        pl.lit(None, pl.Float64).alias(name)
        for name in ("difference", "difference_low", "difference_high")
    )
    for summary in (None, falls_below(alone)):
        reading, missing, _ = robustness_sections(alone, summary, {}, [])
        assert "below" not in " ".join(reading.paragraphs)
        heads = [column.title for table in missing.tables for column in table.columns]
        assert not any("below" in head or "difference" in head for head in heads)


def test_the_page_is_one_of_the_family(curves: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    robustness_page(
        path,
        title="Robustness <of> a model",
        facts={"cases": "120"},
        curves=curves,
        summary=falls_below(curves),
        figures={"missing": FIGURE, "image": FIGURE},
        notes=["120 cases."],
    )
    html = path.read_text(encoding="utf-8")
    parsed = Page(html)
    assert "<h1>Robustness &lt;of&gt; a model</h1>" in html
    assert '<meta name="generator" content="vitatt">' in html
    assert "Research only: not a medical device." in html
    assert "<dt>cases</dt><dd>120</dd>" in html
    images = parsed.all("img")
    assert [image["width"] for image in images] == ["864", "864"]
    assert all(len(str(image["alt"])) > 40 for image in images)
    assert len(re.findall(r"<table class=\"sortable", html)) == 6
    assert ["ViTAtt", "blur", "0.800[0.700, 0.900]", "0.500[0.400, 0.600]"] in [
        row[:4] for row in parsed.rows
    ]
