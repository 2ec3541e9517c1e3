"""Weights of an ONNX file as 8-bit integers, and what that costs."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitatt.export.parity import Runner
from vitatt.inference.arrays import CaseArrays

Mode = Literal["dynamic", "static"]

_LINEAR = ["MatMul", "Gemm"]
_OPTIONS = {"MatMulConstBOnly": True}
"""Weights only: products of two activations, as in attention, stay as they are."""


class LabelledCases(NamedTuple):
    """Cases with their diagnoses.

    Attributes:
        cases: As the network reads them.
        target: Class index of each, (B,); -1 where unknown.
    """

    cases: CaseArrays
    target: NDArray[np.int64]


class Cost(NamedTuple):
    """How far the probabilities of a quantized network are from those of the original.

    Attributes:
        cases: Number of cases.
        labelled: Number of those with a known diagnosis.
        mean_difference: Mean absolute difference of the probabilities.
        largest_difference: The largest one.
        same_prediction: Share of cases whose predicted class is the same.
        balanced_accuracy: Of the original and of the quantized network, the mean of the
            sensitivities of the classes that have cases; None without labels.
    """

    cases: int
    labelled: int
    mean_difference: float
    largest_difference: float
    same_prediction: float
    balanced_accuracy: tuple[float, float] | None


def quantize(source: Path, target: Path, mode: Mode, calibration: Sequence[CaseArrays]) -> None:
    """Write a quantized ONNX file.

    Args:
        source: The original.
        target: The file to write.
        mode: ``dynamic`` for ranges of activations that are computed for every case, of linear
            layers; ``static`` for ranges of the calibration cases, also of convolutions.
        calibration: Batches of training cases, for ``static``.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    settings: dict[str, Any] = {
        "per_channel": True,
        "reduce_range": True,  # processors without VNNI add two products in 16 bits
        "weight_type": QuantType.QInt8,
        "extra_options": _OPTIONS,
    }
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        if mode == "dynamic":
            quantize_dynamic(str(prepared), str(target), op_types_to_quantize=_LINEAR, **settings)
            return
        quantize_static(
            str(prepared),
            str(target),
            _reader(prepared, calibration),
            op_types_to_quantize=[*_LINEAR, "Conv"],
            activation_type=QuantType.QUInt8,
            **settings,
        )


def cost_of(original: Runner, quantized: Runner, parts: Iterable[LabelledCases]) -> Cost:
    """Return the cost of quantization on cases, at least one.

    Args:
        original: Runs the original.
        quantized: Runs the quantized network.
        parts: The cases in batches.
    """
    before, after, targets = [], [], []
    for part in parts:
        before.append(original(part.cases)["probabilities"].astype(np.float64))
        after.append(quantized(part.cases)["probabilities"].astype(np.float64))
        targets.append(part.target)
    one, other, target = np.concatenate(before), np.concatenate(after), np.concatenate(targets)
    known = target >= 0
    accuracies = None
    if known.any():
        accuracies = (
            _balanced_accuracy(one[known], target[known]),
            _balanced_accuracy(other[known], target[known]),
        )
    difference = np.abs(one - other)
    return Cost(
        len(one),
        int(known.sum()),
        float(difference.mean()),
        float(difference.max()),
        float((one.argmax(1) == other.argmax(1)).mean()),
        accuracies,
    )


def _balanced_accuracy(probabilities: NDArray[np.float64], target: NDArray[np.int64]) -> float:
    right = probabilities.argmax(1) == target
    return float(np.mean([right[target == label].mean() for label in np.unique(target)]))


def _reader(model: Path, calibration: Sequence[CaseArrays]) -> Any:
    """Calibration cases as ONNX Runtime asks for them."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    fields = {"image": "pixels"}

    class Reader(CalibrationDataReader):
        """Gives one batch after the other."""

        def __init__(self) -> None:
            self._waiting = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            """Inputs of the next batch by name; None after the last one."""
            case = next(self._waiting, None)
            if case is None:
                return None
            return {name: getattr(case, fields.get(name, name)) for name in names}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress or advice of ONNX Runtime's tools on the screen."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
