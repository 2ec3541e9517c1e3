"""Drawn evidence as text: a mask of 64 x 64 cells over the image."""

from __future__ import annotations

import base64
import binascii

import numpy as np
from numpy.typing import NDArray

from vitatt.types import UsageError

SIDE = 64
"""Rows and columns of a mask, whatever the shape of its image."""


def encode_mask(mask: NDArray[np.bool_]) -> str:
    """Base64 of the packed bits of a mask, row by row from the top left.

    Args:
        mask: True where evidence was drawn, (64, 64).

    Raises:
        ValueError: If the shape is another.
    """
    if mask.shape != (SIDE, SIDE):
        raise ValueError(f"Expected a mask of shape ({SIDE}, {SIDE}), but got {mask.shape}.")
    return base64.b64encode(np.packbits(mask).tobytes()).decode("ascii")


def decode_mask(text: str) -> NDArray[np.bool_]:
    """The mask, (64, 64), that `encode_mask` wrote.

    Raises:
        UsageError: If the text is no base64, or not of 64 x 64 bits.
    """
    try:
        packed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(
            f"Expected a mask as base64 of {SIDE} x {SIDE} bits, but '{text[:20]}' is no base64."
        ) from error
    if len(packed) != SIDE * SIDE // 8:
        raise UsageError(
            f"Expected a mask as base64 of {SIDE * SIDE // 8} bytes, {SIDE} x {SIDE} bits, but got "
            f"{len(packed)} bytes."
        )
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))
    return bits.astype(bool).reshape(SIDE, SIDE)
