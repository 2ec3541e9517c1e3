"""The limits in the documentation are those of the server."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import pytest

from vitatt.reader_study.event_chain import EventKind
from vitatt.reader_study.serving.app import BOUNDS
from vitatt.reader_study.serving.sessions import MOST_PAUSES
from vitatt.serving.bounds import Bounds

TEXT = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Bounds)])
def test_each_limit_is_documented(field: str) -> None:
    value = getattr(Bounds(), field)
    rows = [line for line in TEXT.splitlines() if line.startswith("|")]
    assert any(f"{value:,.0f}" in row for row in rows), f"{field} = {value} is in no table"


def test_limits_of_a_reader_study() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reader_study.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for value in (BOUNDS.body_bytes, BOUNDS.body_seconds, BOUNDS.connections, MOST_PAUSES):
        assert any(f"{value:,.0f}" in row for row in rows), value
    assert all(any(f"`{kind}`" in row for row in rows) for kind in get_args(EventKind)[1:])
