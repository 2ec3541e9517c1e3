"""The command `vitatt demo-data`."""

from __future__ import annotations

from vitatt.data.synthetic.demo import DemoDataset, write_demo
from vitatt.paths import user_path


def demo_data(
    folder: str,
    *,
    dataset: DemoDataset = "pad_ufes_20",
    num_cases: int = 240,
    image_size: int = 96,
    seed: int = 0,
) -> int:
    """Write a small synthetic dataset with planted evidence, and print what is planted.

    Args:
        folder: Where to write; absent, empty, or holding this very dataset.
        dataset: Whose published layout to follow.
        num_cases: Number of cases, at least 8 per class.
        image_size: Side of the square images, in pixels, at least 32.
        seed: Seed of images and metadata, at least 0.

    Returns:
        0.

    Raises:
        DataError: If a number is out of its range, or the folder holds anything else.
    """
    place = user_path(folder, "folder")
    truth = write_demo(
        place, dataset=dataset, num_cases=num_cases, image_size=image_size, seed=seed
    )
    print(f"Wrote {num_cases} cases in the layout of {dataset} to {place}")
    print(f"Planted features: {', '.join(truth.planted)}")
    print(f"Planted signs: {', '.join(f'{c} {s}' for c, s in truth.signs.items())}")
    print(f"Where the signs are: {truth.masks}")
    return 0
