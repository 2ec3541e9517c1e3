"""Cases in hand: images that a page asks about again, in memory and for a while."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vitatt.inference.case_in_hand import CaseInHand
from vitatt.serving.bounds import Bounds
from vitatt.serving.refusals import Refusal


class HeldCase(NamedTuple):
    """A case in the hand of each model."""

    by_model: Sequence[CaseInHand]
    used: float


class CaseStore:
    """A limited number of cases, each kept until it was not used for a while.

    Args:
        bounds: Limits.
        now: The time, in seconds.
    """

    def __init__(self, bounds: Bounds, now: Callable[[], float] = time.monotonic) -> None:
        self._bounds = bounds
        self._now = now
        self._cases: OrderedDict[str, HeldCase] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._cases)

    def put(self, by_model: Sequence[CaseInHand]) -> str:
        """Keep a case, and return the secret name by which it is asked about."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._forget_old()
            self._cases[name] = HeldCase(by_model, self._now())
            while len(self._cases) > self._bounds.cases:
                self._cases.popitem(last=False)
        return name

    def get(self, name: str) -> Sequence[CaseInHand]:
        """Return a case.

        Raises:
            Refusal: If it is not kept (any more).
        """
        with self._lock:
            self._forget_old()
            if name not in self._cases:
                raise Refusal(404, "This case is not kept any more. Send its image again.")
            held = self._cases[name]._replace(used=self._now())
            self._cases[name] = held
            self._cases.move_to_end(name)
        return held.by_model

    def drop(self, name: str) -> None:
        """Forget a case."""
        with self._lock:
            self._cases.pop(name, None)

    def _forget_old(self) -> None:
        oldest = self._now() - self._bounds.case_seconds
        while self._cases and next(iter(self._cases.values())).used < oldest:
            self._cases.popitem(last=False)
