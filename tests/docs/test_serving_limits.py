"""The limits in the documentation are those of the server."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vitatt.serving.bounds import Bounds

TEXT = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Bounds)])
def test_each_limit_is_documented(field: str) -> None:
    value = getattr(Bounds(), field)
    rows = [line for line in TEXT.splitlines() if line.startswith("|")]
    assert any(f"{value:,.0f}" in row for row in rows), f"{field} = {value} is in no table"
