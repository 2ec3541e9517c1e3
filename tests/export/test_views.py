"""Exports of models on cases of several images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.inference.test_views import VIEWS, case_inputs, data
from vitatt.commands.export import export
from vitatt.inference import Predictor
from vitatt.types import UsageError

__all__ = ["data"]
pytestmark = pytest.mark.long


@pytest.fixture
def folder(save, data, tmp_path) -> Path:
    path = save(data)
    assert export(ckpt_path=str(path), output=str(tmp_path / "onnx")) == 0
    return tmp_path / "onnx"


def test_the_same_with_and_without_a_view(folder, data, tmp_path):
    images, answers = case_inputs(data)
    images, answers = images[:9], answers[:9]
    images[1] = {VIEWS[1]: images[1][VIEWS[1]]}
    images[4] = {**images[4], VIEWS[1]: None}
    original, exported = (
        Predictor.load(tmp_path / "best.ckpt", device="cpu"),
        Predictor.load(folder),
    )
    expected, found = (one.predict_batch(images, answers) for one in (original, exported))
    for one, other in zip(expected, found, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    with pytest.raises(UsageError, match="by the names of its views"):
        exported.predict(images[0][VIEWS[0]])
    one, other = (
        model.explain(images[1], answers[1], method="attention") for model in (original, exported)
    )
    assert np.allclose(one.patches, other.patches, atol=1e-5)
    assert (other.patches[:2] == 0).all()
    assert one.case.view_shares == pytest.approx(other.case.view_shares, abs=1e-4)
    assert np.array_equal(one.case.image, other.case.image)


def test_views_need_no_torch_either(folder):
    code = (
        "import sys; sys.modules['torch'] = None; from vitatt import Predictor; "
        "found = Predictor.load(sys.argv[1]); print(found.spec.name, found.features)"
    )
    words = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("derm7pt (")
