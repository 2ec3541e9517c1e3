"""Figures behind the pixels that plots return."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def figures_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], list[Any]]:
    """The matplotlib figures of a module of plots, as they are drawn."""

    def record(module: ModuleType) -> list[Any]:
        found: list[Any] = []
        pixels = module.pixels_of
        monkeypatch.setattr(module, "pixels_of", lambda one: found.append(one) or pixels(one))
        return found

    return record
