"""Names of runs."""

from __future__ import annotations

import secrets
from datetime import datetime


def new_identity() -> str:
    """A name that no other run has: the time, and a few random digits."""
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    return f"{stamp}-{secrets.token_hex(2)}"
