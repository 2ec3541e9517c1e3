from __future__ import annotations

import dataclasses
import re

import pytest

from tests.benchmark_folder import HOSTILE, source
from vitatt.reports.benchmark.model_card import model_card

# Mitchell et al. 2019, figure 1.
HEADINGS = [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
]


@pytest.mark.long
def test_headings_of_mitchell_et_al_and_how_to_reproduce() -> None:
    facts, _, tables = source()
    card = model_card(facts, tables)
    assert re.findall(r"^## (.*)$", card, re.M) == [*HEADINGS, "How to reproduce"]
    assert "**Not a medical device.**" in card
    assert card.endswith(f"```\n{facts.command}\n```\n")


def test_metrics_are_those_of_the_tables() -> None:
    facts, _, tables = source()
    card = model_card(facts, tables)
    of_model = tables["arms"].filter(arm="vitatt", metric="balanced accuracy", cases="all")
    value, low, high = of_model["value", "low", "high"].row(0)
    assert f"| ViTAtt reference | {value:.3f} [{low:.3f}, {high:.3f}] |" in card.replace(
        "(reference)", "reference"
    )
    pair = tables["pairs"].filter(arm="image_only", metric="macro AUROC").row(0, named=True)
    assert f"| image only | −{abs(pair['difference']):.3f} [" in card
    assert "(small)" in card


def test_tables_are_well_formed_whatever_a_title_holds() -> None:
    facts, _, tables = source()
    card = model_card(facts, tables)
    assert HOSTILE not in card
    assert "<b>" not in card
    for block in re.findall(r"(?:^\|.*\n)+", card, re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1


def test_one_model_has_nothing_to_compare() -> None:
    facts, _, tables = source()
    alone = dataclasses.replace(facts, arms={"vitatt": facts.arms["vitatt"]}, fold=1, encoder=None)
    card = model_card(alone, {name: tables[name] for name in ("arms", "subgroups", "gaps")})
    assert "Compared with other arms" not in card
    assert "tested on outer fold 1 of 3" in card
    assert "Image encoder" not in card
