"""Exported models that predict together by ONNX Runtime, without PyTorch."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitatt.inference.arrays import CaseArrays, check_alike
from vitatt.models.exported import ExportedModel, read_exported
from vitatt.types import LesionTask, UsageError

if TYPE_CHECKING:
    from vitatt.types import LesionBatch


class OnnxModel(NamedTuple):
    """An exported model that is loaded.

    Attributes:
        path: Its folder.
        task: Classes, fitted encoding of the metadata, image size.
        grid_size: Rows and columns of all patches of a case; None without attention.
        session: Of ONNX Runtime.
    """

    path: Path
    task: LesionTask
    grid_size: tuple[int, int] | None
    session: Any

    @property
    def reads_metadata(self) -> bool:
        """Whether the network has metadata input."""
        return bool({"metadata", "missing"} & {one.name for one in self.session.get_inputs()})

    def outputs(self, cases: CaseArrays) -> dict[str, NDArray[np.float32]]:
        """Return all outputs by name, see `run_session`."""
        return run_session(self.session, cases)


def run_session(session: Any, cases: CaseArrays) -> dict[str, NDArray[np.float32]]:
    """Return all outputs of an exported network by name.

    Args:
        session: Of ONNX Runtime.
        cases: As the network reads them; of their arrays it gets those that it has an input for.
    """
    given = {
        "image": cases.pixels,
        "metadata": cases.metadata,
        "missing": cases.missing,
        "absent": cases.absent,
    }
    names = [one.name for one in session.get_outputs()]
    inputs = {one.name: given[one.name] for one in session.get_inputs()}
    return dict(zip(names, session.run(names, inputs), strict=True))


def run_file(path: Path) -> Callable[[CaseArrays], dict[str, NDArray[np.float32]]]:
    """Return a function that runs an ONNX file of `vitatt export` on the CPU, unchecked."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda cases: run_session(session, cases)


class OnnxEnsemble:
    """One exported model, or several of which the mean is taken, on one device.

    Several threads may call `predict`.

    Args:
        models: Of one dataset with the same classes.

    Attributes:
        models: The models.
        runtime: Which library runs them.

    Raises:
        UsageError: If there is no model, or they are of different datasets, classes or views.
    """

    runtime: Literal["onnx"] = "onnx"

    def __init__(self, models: Sequence[OnnxModel]) -> None:
        check_alike(models)
        self.models = tuple(models)

    @classmethod
    def load(cls, folders: Sequence[Path], device: object = None) -> OnnxEnsemble:
        """Return the models of folders of `vitatt export --format onnx`.

        Args:
            folders: Of the models.
            device: ``cpu``, or ``cuda`` or ``cuda:1`` with the package onnxruntime-gpu; by default
                the GPU if that finds one, else the CPU.

        Raises:
            UsageError: If ONNX Runtime is not installed, a model cannot be used, they cannot be
                averaged, or there is no such device.
        """
        return cls([load_onnx(folder, device) for folder in folders])

    def predict(self, cases: Sequence[CaseArrays]) -> NDArray[np.float64]:
        """Return the class probabilities of cases, mean over the models, (B, C).

        Args:
            cases: The same cases for each model, as it reads them.
        """
        rows = [
            _softmax(model.outputs(one)["logits"].astype(np.float64))
            for model, one in zip(self.models, cases, strict=True)
        ]
        return np.mean(rows, axis=0)

    def probabilities(self, batches: Sequence[LesionBatch]) -> NDArray[np.float64]:
        """Return the class probabilities of batches of PyTorch, see `predict`."""
        return self.predict([_arrays(batch) for batch in batches])


def load_onnx(folder: Path, device: object = None) -> OnnxModel:
    """Return the model in a folder, see `OnnxEnsemble.load`."""
    described = read_exported(folder)
    if importlib.util.find_spec("onnxruntime") is None:
        raise UsageError(
            f"The exported model {folder} needs a package: pip install 'vitatt[export]', or "
            "onnxruntime alone."
        )
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(
            str(described.file), providers=_providers(device, onnxruntime.get_available_providers())
        )
    except UsageError:
        raise
    except Exception as error:  # ONNX Runtime has a dozen of its own, without a common base
        raise UsageError(
            f"{described.file} cannot be run by ONNX Runtime {onnxruntime.__version__}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    _check_graph(described, session)
    return OnnxModel(folder, described.task, described.grid_size, session)


def _providers(device: object, available: Sequence[str]) -> list[Any]:
    """What ONNX Runtime runs on, for a device as PyTorch names it."""
    name, _, number = ("" if device is None else str(device)).partition(":")
    has_gpu = "CUDAExecutionProvider" in available
    if name == "cpu" or (not name and not has_gpu):
        return ["CPUExecutionProvider"]
    if name in ("", "cuda") and has_gpu and (not number or number.isdecimal()):
        options = {"device_id": int(number or 0)}
        return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]
    raise UsageError(
        "Expected argument `device` to be one that ONNX Runtime finds on this machine, such as "
        f"cpu, but got '{device}'; it has {', '.join(available)}. A GPU needs onnxruntime-gpu."
    )


def _check_graph(described: ExportedModel, session: Any) -> None:
    """See that the graph has the inputs and outputs of the task.

    Raises:
        UsageError: If it has not.
    """
    task = described.task
    widths: Mapping[str, list[int]] = {
        "image": [3, task.num_views * task.image_size, task.image_size],
        "metadata": [sum(task.cardinalities)],
        "missing": [len(task.features)],
        "absent": [len(task.views)],
        "logits": [len(task.classes)],
    }
    found = {one.name: one.shape for one in (*session.get_inputs(), *session.get_outputs())}
    unknown = {one.name for one in session.get_inputs()} - widths.keys()
    if described.grid_size is not None:
        widths = {**widths, "attention_patches": [math.prod(described.grid_size)]}
    wrong = [name for name, shape in found.items() if _differ(shape[1:], widths.get(name))]
    if unknown or wrong or "logits" not in found:
        name = next(iter([*sorted(unknown), *wrong]), "logits")
        raise UsageError(
            f"{described.file} is no model of the task beside it: its '{name}' has the shape "
            f"{found.get(name)}, but {widths.get(name, 'no such input')} was expected after the "
            "batch. It was changed."
        )


def _differ(found: Sequence[int | str | None], expected: Sequence[int] | None) -> bool:
    """Whether sizes are other than expected; a text names one that may vary."""
    if expected is None:
        return False
    return len(found) != len(expected) or any(
        isinstance(one, int) and one != other for one, other in zip(found, expected, strict=True)
    )


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _arrays(batch: LesionBatch) -> CaseArrays:
    absent = None if batch.image.absent is None else batch.image.absent.numpy()
    return CaseArrays(
        np.ascontiguousarray(batch.image.values.numpy()),
        batch.metadata.numpy(),
        batch.missing.numpy(),
        absent,
        batch.case_id,
    )
