"""Figures whose failure does not end a training."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)
_reported: set[str] = set()


@contextmanager
def best_effort(what: str) -> Iterator[None]:
    """Log a failure to draw once for each kind of figure, and go on with the training.

    Only for figures of a training and its validation: in a test, a failure is an error.

    Args:
        what: Name of the figures, for the log.
    """
    try:
        yield
    except OSError as error:  # such as a full disk: no traceback, as the code is not at fault
        if what not in _reported:
            log.error("Could not draw %s (%s); the work goes on without.", what, error)
        _reported.add(what)
    except Exception:
        if what not in _reported:
            log.exception("Could not draw %s; the work goes on without.", what)
        _reported.add(what)
