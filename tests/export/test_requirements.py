"""What an export needs, and what is too large for it."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from tests.export.test_every_network import make
from vitatt.export.graph import PlainGraph
from vitatt.export.onnx_file import require_one_file, require_onnx
from vitatt.inference.onnx_models import load_onnx
from vitatt.models import exported
from vitatt.types import UsageError


def test_packages_that_are_not_installed(monkeypatch, tmp_path):
    real = importlib.util.find_spec
    absent = {"onnx", "onnxruntime"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in absent else real(name)
    )
    with pytest.raises(UsageError, match=r"onnx and onnxruntime: pip install 'vitatt\[export\]'"):
        require_onnx()
    found = exported.ExportedModel(tmp_path, "onnx", make("film", "test_vit")[1], {})
    monkeypatch.setattr("vitatt.inference.onnx_models.read_exported", lambda folder: found)
    with pytest.raises(UsageError, match=r"needs a package: pip install 'vitatt\[export\]'"):
        load_onnx(tmp_path)


def test_weights_beyond_the_limit_of_a_file():
    network, task = make("film", "test_vit")
    require_one_file(PlainGraph(network, task))
    with torch.device("meta"):
        network.more = torch.nn.Parameter(torch.empty(500_000_000))
    with pytest.raises(UsageError, match=r"weights take 2\.0 GB, .* --format safetensors or torch"):
        require_one_file(PlainGraph(network, task))


@pytest.mark.parametrize("device", ["mps", "cuda:x", "gpu", "cuda:0"])
def test_a_device_that_onnx_runtime_has_not(device):
    from vitatt.inference.onnx_models import _providers

    with pytest.raises(UsageError, match=f"`device` .* got '{device}'; it has CPUExecution"):
        _providers(device, ["CPUExecutionProvider"])


def test_devices():
    from vitatt.inference.onnx_models import _providers

    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert _providers(None, both[1:]) == _providers("cpu", both) == both[1:]
    assert _providers(None, both)[0] == ("CUDAExecutionProvider", {"device_id": 0})
    assert _providers(torch.device("cuda:1"), both)[0] == (both[0], {"device_id": 1})
