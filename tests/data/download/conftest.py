"""A server for the tests of downloads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.data.download.server import Server, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running


@pytest.fixture
def said() -> list[str]:
    """Lines for the user."""
    return []
