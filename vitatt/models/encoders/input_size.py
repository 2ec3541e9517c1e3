"""Change of a timm network's input size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def set_input_size(network: Any, side: int) -> None:
    """Resample positions of a network for square images of this side, in pixels."""
    with interpolation_of_tables():
        network.set_input_size(img_size=(side, side))


@contextmanager
def interpolation_of_tables() -> Iterator[None]:
    """Within, timm may interpolate tables of relative position, which torch warns about.

    It indexes tensors by a list of tensors instead of a tuple, and searches one that is not
    contiguous.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using a non-tuple sequence", UserWarning)
        warnings.filterwarnings("ignore", r"torch\.searchsorted\(\)", UserWarning)
        yield
