"""The demo of two images of each lesion."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitatt.data.datasets import DATASETS
from vitatt.data.datasets.table import LesionTable
from vitatt.data.synthetic.demo import DemoTruth, write_demo

CASES = 80


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoTruth, LesionTable]:
    folder = tmp_path_factory.mktemp("views") / "demo"
    truth = write_demo(folder, dataset="derm7pt", num_cases=CASES, image_size=64)
    return truth, DATASETS["derm7pt"].read(folder, labelled=True)


def has(folder: Path, path: str, ending: str) -> bool:
    mask = np.asarray(Image.open(folder / f"{Path(path).stem}_{ending}.png"))
    return bool((mask > 0).any())


def test_a_sign_is_seen_in_one_view_only(demo: tuple[DemoTruth, LesionTable]) -> None:
    truth, table = demo
    assert table.cases.height == CASES
    assert table.notes == ()
    shown = Counter()
    for images in table.cases["image"]:
        signs = tuple(has(truth.masks, path, "segmentation") for path in images)
        shown[signs] += 1
        assert all(has(truth.decoys, path, "decoy") for path in images)
    assert shown[True, True] == 0
    assert shown[False, False] == round(0.3 * CASES), "lesions that show no sign"
    assert min(shown[True, False], shown[False, True]) > CASES / 5


def test_the_planted_features_distinguish_the_classes_of_a_sign(
    demo: tuple[DemoTruth, LesionTable],
) -> None:
    truth, table = demo
    assert truth.planted == ("elevation", "location")
    raised = {
        name: (part["elevation"].drop_nulls() != "flat").mean()
        for (name,), part in table.cases.group_by("diagnosis")
    }
    assert min(raised[name] for name in ("BCC", "MEL", "SK")) > 0.7
    assert max(raised[name] for name in ("MISC", "NEV")) < 0.3
