"""Figures must never cost a training."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)
_reported: set[str] = set()


@contextmanager
def best_effort(what: str) -> Iterator[None]:
    """Reports a failure to draw, loudly and once for each kind of figure, and goes on.

    Args:
        what: The figures, as the report names them.
    """
    try:
        yield
    except OSError as error:  # a disk that is full, or gone: nobody has to look for it in our code
        if what not in _reported:
            log.error("Could not draw %s (%s); the work goes on without.", what, error)
        _reported.add(what)
    except Exception:
        if what not in _reported:
            log.exception("Could not draw %s; the work goes on without.", what)
        _reported.add(what)
