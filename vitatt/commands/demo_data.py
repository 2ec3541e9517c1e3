"""demo-data: write a small synthetic dataset with planted evidence."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser

from vitatt.data.synthetic.demo import write_demo
from vitatt.paths import user_path


def demo_data(options: list[str]) -> int:
    """Write the dataset and say what is planted in it."""
    parser = ArgumentParser(prog="vitatt demo-data", description=(__doc__ or "").split(": ")[1])
    parser.add_argument("folder", type=Path, help="where to write it")
    parser.add_function_arguments(write_demo, skip={"folder"})
    config = parser.parse_args(options).as_dict()
    folder = user_path(str(config.pop("folder")), "folder")
    truth = write_demo(folder, **config)
    print(f"Wrote {config['num_cases']} cases in the layout of {config['dataset']} to {folder}")
    print(f"Planted features: {', '.join(truth.planted)}")
    print(f"Planted signs: {', '.join(f'{c} {s}' for c, s in truth.signs.items())}")
    print(f"Where the signs are: {truth.masks}")
    return 0
