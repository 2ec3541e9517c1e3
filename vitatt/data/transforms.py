"""albumentations pipelines; the only place that imports albumentations."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would look for updates online
import albumentations as A

Augmentation = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]


class TrainingAugmentation:
    """Random changes that leave a lesion's diagnosis as it is: position, scale, light, lens.

    A skin lesion has no up or left, so flips and quarter turns are free. Colour changes are mild,
    because colour is evidence.

    Args:
        image_size: Side of the square image, in pixels.
    """

    def __init__(self, image_size: int) -> None:
        self._pipeline = A.Compose(
            [
                A.RandomResizedCrop(
                    (image_size, image_size), scale=(0.6, 1.0), ratio=(0.8, 1.25), p=1.0
                ),
                A.D4(p=1.0),
                A.Rotate(limit=30, border_mode=2, p=0.5),  # 2: reflect, so that no black corners
                A.ColorJitter(
                    brightness=(0.8, 1.2),
                    contrast=(0.8, 1.2),
                    saturation=(0.8, 1.2),
                    hue=(-0.03, 0.03),
                ),
                A.GaussianBlur(blur_limit=(3, 5), p=0.1),
            ],
            seed=0,
        )

    def __repr__(self) -> str:
        return repr(self._pipeline)

    def __call__(self, image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """The image (H, W, 3), changed as the seed says: the same seed gives the same change."""
        self._pipeline.set_random_seed(seed)
        return cast(NDArray[np.uint8], self._pipeline(image=image)["image"])
