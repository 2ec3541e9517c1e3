"""Augmentation of training images; the only module that imports albumentations."""

from __future__ import annotations

import math
import os
import random
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would look for updates online
import albumentations as A

# There is a loading process for each core, with which OpenCV's own threads would compete.
cv2.setNumThreads(0)

Pixels = NDArray[np.uint8]


class TrainingAugmentation:
    """Random changes of position, scale, colour and sharpness that keep the diagnosis.

    A skin lesion has no natural orientation, so flips and quarter turns are as likely as none.
    Colour changes are mild, because colour is evidence.

    Args:
        image_size: Side of the square image, in pixels.
    """

    def __init__(self, image_size: int) -> None:
        self._pipeline = A.Compose(
            [
                _Position(image_size, scale=(0.6, 1.0), ratio=(0.8, 1.25), angle=30, turned=0.5),
                _Colour(
                    brightness=(0.8, 1.2),
                    contrast=(0.8, 1.2),
                    saturation=(0.8, 1.2),
                    hue=(-0.03, 0.03),
                ),
                A.GaussianBlur(blur_limit=(3, 5), p=0.1),
            ]
        )

    def __repr__(self) -> str:
        return repr(self._pipeline)

    def __call__(self, image: Pixels, seed: int) -> Pixels:
        """Return the image (H, W, 3) with random changes, which the seed decides."""
        # All steps share one generator. If each had its own with the same seed, two steps that are
        # applied to half of the images would always be applied to the same half.
        self._pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return cast(Pixels, self._pipeline(image=image)["image"])


class _Position(A.RandomResizedCrop):
    """A random crop of the image in one of the eight orientations, sometimes rotated.

    One step does all, so that pixels are interpolated once. Where a rotation needs pixels outside
    of the crop, they come from the image, or beyond its border from its reflection, so that there
    are no black corners.

    Args:
        image_size: Side of the result, in pixels.
        scale: Range of the crop's share of the area.
        ratio: Range of the crop's width over its height.
        angle: Largest rotation to either side, in degrees.
        turned: Probability of a rotation.
    """

    def __init__(
        self,
        image_size: int,
        *,
        scale: tuple[float, float],
        ratio: tuple[float, float],
        angle: float,
        turned: float,
    ) -> None:
        super().__init__((image_size, image_size), scale=scale, ratio=ratio)
        self.angle = angle
        self.turned = turned

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the crop, the orientation and the angle."""
        drawn: dict[str, Any] = super().get_params_dependent_on_data(params, data)
        drawn["transposed"] = self.py_random.random() < 0.5
        drawn["flip"] = self.py_random.choice((None, -1, 0, 1))  # none, or a code of cv2.flip
        turned = self.py_random.random() < self.turned
        drawn["angle"] = self.py_random.uniform(-self.angle, self.angle) if turned else 0.0
        return drawn

    def apply(
        self,
        img: Pixels,
        crop_coords: tuple[int, int, int, int],
        transposed: bool,
        flip: int | None,
        angle: float,
        **params: Any,
    ) -> Pixels:
        """Crop, resize, transpose, flip and rotate, in this order."""
        if angle:
            matrix = self._matrix(crop_coords, transposed, flip, math.radians(angle))
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            turned = cv2.warpAffine(
                img, matrix, self.size, flags=flags, borderMode=cv2.BORDER_REFLECT
            )
            return cast(Pixels, turned)
        # Three times as fast as a matrix without rotation.
        img = super().apply(img, crop_coords, **params)
        if transposed:
            img = cast(Pixels, cv2.transpose(img))
        return img if flip is None else cast(Pixels, cv2.flip(img, flip))

    def _matrix(
        self, box: tuple[int, int, int, int], transposed: bool, flip: int | None, radians: float
    ) -> NDArray[np.float64]:
        """Return the matrix from a pixel (x, y, 1) of the result to its source (x, y)."""
        x_min, y_min, x_max, y_max = box
        side = self.size[0]
        sine, cosine = math.sin(radians), math.cos(radians)
        linear = np.array([[cosine, -sine], [sine, cosine]])
        if flip is not None:
            linear = np.diag([1 if flip == 0 else -1, 1 if flip == 1 else -1]) @ linear
        if transposed:
            linear = linear[::-1]
        linear = np.diag([(x_max - x_min) / side, (y_max - y_min) / side]) @ linear
        centre = np.array([x_min + x_max - 1, y_min + y_max - 1]) / 2
        return np.column_stack([linear, centre - linear.sum(1) * (side - 1) / 2])


class _Colour(A.ColorJitter):
    """Brightness, contrast, saturation and hue in random order, as one matrix.

    Each is affine in the colour, so that pixels are changed, rounded and clipped once.
    """

    def apply(
        self,
        img: Pixels,
        brightness: float,
        contrast: float,
        saturation: float,
        hue: float,
        order: list[int],
        **params: Any,
    ) -> Pixels:
        """Return the image with other colours."""
        del params
        matrix = np.eye(3, 4)
        mean = np.array([*cv2.mean(img)[:3], 1.0])
        for number in order:
            if number == 0:
                matrix *= brightness
            elif number == 1:
                grey = _LUMA @ matrix @ mean
                matrix *= contrast
                matrix[:, 3] += (1 - contrast) * grey
            elif number == 2:
                matrix = saturation * matrix + (1 - saturation) * (_LUMA @ matrix)
            else:
                matrix = _hue_matrix(hue) @ matrix
        return cast(Pixels, cv2.transform(img, matrix))


_LUMA = np.array([0.299, 0.587, 0.114])
_AROUND_GREY = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)


def _hue_matrix(turns: float) -> NDArray[np.float64]:
    """Return a rotation of (R, G, B) about the grey axis (Rodrigues' formula), red to yellow."""
    sine, cosine = math.sin(2 * math.pi * turns), math.cos(2 * math.pi * turns)
    return cosine * np.eye(3) + (1 - cosine) / 3 + sine * _AROUND_GREY
