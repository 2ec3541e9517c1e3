"""Opaque names of cases and files, which say nothing and are valid while a case is due."""

from __future__ import annotations

import base64
import hashlib
import hmac

_LENGTH = 24


def opaque(token: str, *parts: str) -> str:
    """Return the name of something for one reader.

    Nobody without the reader's token can tell or guess it, and no other reader has the same. It is
    the same after a restart, so that a page that is open goes on.

    Args:
        token: Of the reader.
        parts: Of what is named, such as case, arm and file.
    """
    digest = hmac.digest(token.encode(), "\0".join(parts).encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode()[:_LENGTH]
