"""Whether two images are one photograph: correlation of their details after registration.

Dark spots on light skin look alike when blurred, and so do all images in one round frame. Details
(hairs, pigment network, edges) are equal only in copies. So details are compared, with the contrast
of each place made equal, after one image is aligned with the other by an affine motion that
maximises their correlation (ECC: Evangelidis and Psarakis, IEEE PAMI 30(10), 2008).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIMILAR = 0.6
"""Correlation of details from which two images count as one photograph."""

_LEAST_OVERLAP = 0.6
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3)
_SMOOTHING = 3  # pixels

Array = NDArray[np.float32]


def similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the correlation of the details of two grey images, (64, 64), after registration.

    Returns:
        -1 to 1; 0 if they cannot be registered, or hardly overlap.
    """
    if np.array_equal(one, other):  # saved again without loss
        return float(one.std() > 0)
    first, second = one.astype(np.float32), other.astype(np.float32)
    motion = np.eye(2, 3, dtype=np.float32)
    try:
        _, motion = cv2.findTransformECC(
            _details(first, 3, 6, floor=2),
            _details(second, 3, 6, floor=2),
            motion,
            cv2.MOTION_AFFINE,
            _STOP,
            None,
            _SMOOTHING,
        )
    except cv2.error:  # it does not converge
        return 0.0
    aligned = _warp(second, motion, cv2.INTER_CUBIC, cv2.BORDER_REFLECT)
    inside = _warp(np.ones_like(first), motion, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
    inside = cv2.erode(inside, np.ones((5, 5), np.uint8), borderValue=0) > 0
    if inside.mean() < _LEAST_OVERLAP:
        return 0.0
    pair = (_details(image, 1.5, 3, floor=1)[inside] for image in (first, aligned))
    with np.errstate(invalid="ignore"):  # of images without any detail
        correlation = np.corrcoef(*pair)[0, 1]
    return float(np.nan_to_num(correlation))


def _details(image: Array, fine: float, wide: float, *, floor: float) -> Array:
    """Return what is finer than a width, in units of its spread within a larger one, in pixels.

    Args:
        image: Grey values, (H, W).
        fine: Standard deviation of the blur that is taken off.
        wide: Standard deviation of the window of the spread.
        floor: Added to the spread, in grey levels, so that noise stays small.
    """
    rest = image - cv2.GaussianBlur(image, (0, 0), fine)
    return rest / (np.sqrt(cv2.GaussianBlur(rest * rest, (0, 0), wide)) + np.float32(floor))


def _warp(image: Array, motion: Array, interpolation: int, border: int) -> Array:
    return cv2.warpAffine(
        image,
        motion,
        image.shape[::-1],
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
