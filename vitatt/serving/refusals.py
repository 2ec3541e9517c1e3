"""Requests that are refused, as JSON that says what was found and what is allowed."""

from __future__ import annotations

import json


class Refusal(Exception):  # noqa: N818 (not an error of the server)
    """A request that is refused.

    Args:
        status: HTTP status.
        message: What was found, and what is allowed.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def error_bytes(message: str) -> bytes:
    """Return the body of every answer that is an error: JSON in ASCII, so that any text fits."""
    return json.dumps({"error": {"message": message}}).encode()
