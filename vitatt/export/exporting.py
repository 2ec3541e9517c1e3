"""Export of a checkpoint to a folder, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from vitatt.data.datamodule import LesionDataModule
from vitatt.export.description import as_plain, describe, write_description
from vitatt.export.graph import PlainGraph
from vitatt.export.made_cases import in_batches, made_cases
from vitatt.export.onnx_file import require_one_file, require_onnx, save_onnx
from vitatt.export.parity import Parity, Runner, compare, require_parity, run_graph
from vitatt.export.program import run_program, save_program, traced
from vitatt.export.quantization import Cost, LabelledCases, Mode, cost_of, quantize
from vitatt.export.real_cases import real_cases
from vitatt.files import whole_file
from vitatt.inference.arrays import CaseArrays
from vitatt.inference.onnx_models import run_file
from vitatt.models.build import TrainedNetwork, load_network
from vitatt.models.checkpoint import read_hyper_parameters
from vitatt.models.exported import FILES, Format
from vitatt.types import UsageError

_CASES = 16
_SIZES = (1, 3, 12)
"""Batches of made cases: their size must be free."""

_REAL = 100
_CALIBRATION = 100


class Exported(NamedTuple):
    """An export that was written.

    Attributes:
        file: The model.
        made: Differences on made cases; None for safetensors, which hold the weights themselves.
        real: Differences on real cases; None without data.
        cost: Of quantization; None without.
    """

    file: Path
    made: Parity | None
    real: Parity | None
    cost: Cost | None


def export_checkpoint(
    checkpoint: Path,
    folder: Path,
    format: Format,
    *,
    quantization: Mode | None = None,
    any_image_size: bool = False,
    data: LesionDataModule | None = None,
) -> Exported:
    """Write the network of a checkpoint and its description to an empty folder.

    The export is run and compared with the checkpoint before it gets its name, so that a folder
    holds a model that was checked, or none.

    Args:
        checkpoint: File of `vitatt fit`.
        folder: Empty folder.
        format: ``onnx``, ``safetensors`` or ``torch_export``.
        quantization: Write 8-bit weights, of the format ``onnx``.
        any_image_size: Let the exported graph take images of other sizes too, as CNNs allow.
        data: The checkpoint's data: real cases to compare on, to calibrate with and to measure the
            cost of quantization on.

    Raises:
        UsageError: If the checkpoint cannot be used or its network not be exported to this format,
            the export differs by more than `vitatt.export.parity.TOLERANCE`, or a package is not
            installed.
    """
    if quantization is not None and format != "onnx":
        raise UsageError(
            f"Expected `quantize` with the format onnx alone, but got the format {format}."
        )
    if quantization == "static" and data is None:
        raise UsageError(
            "Expected `data.root` with `quantize` static: its ranges are those of training images."
        )
    if any_image_size and format == "safetensors":
        raise UsageError(
            "Expected `any_image_size` with the formats onnx and torch_export, whose graphs have "
            "sizes, but got the format safetensors."
        )
    if format == "onnx":
        require_onnx()
    model, settings = load_network(checkpoint), network_settings(checkpoint)
    graph = PlainGraph(model.network, model.task).eval()
    plain = describe(graph, model.task, settings, format=format, checkpoint=checkpoint)
    target = folder / FILES[format]
    with whole_file(target) as part:
        if format == "safetensors":
            # Copies, as tensors that share memory or have gaps cannot be written.
            weights = {
                f"network.{name}": one.clone(memory_format=torch.contiguous_format)
                for name, one in model.network.state_dict().items()
            }
            # `save_file` would make a file that its owner alone may read.
            part.write_bytes(save(weights))
            found = Exported(target, None, None, None)
        else:
            name = f"the network '{settings['fusion']['name']}' of {checkpoint}"
            found = _write_traced(
                model,
                graph,
                part,
                format,
                name,
                quantization=quantization,
                any_image_size=any_image_size,
                data=data,
            )
        measured = {
            "parity": None if found.made is None else as_plain(found.made),
            "parity_on_real_cases": None if found.real is None else as_plain(found.real),
            "quantization": None
            if found.cost is None
            else {"mode": quantization, **found.cost._asdict()},
        }
        free = {"any_image_size": any_image_size}
        write_description(folder, {**plain, **free, **measured}, part)
    return found._replace(file=target)


def network_settings(checkpoint: Path) -> dict[str, Any]:
    """Settings that a checkpoint's network is made from, in plain types."""
    saved = read_hyper_parameters(checkpoint)
    return {key: saved[key] for key in ("encoder", "freeze_encoder", "fusion") if key in saved}


def _write_traced(
    model: TrainedNetwork,
    graph: PlainGraph,
    path: Path,
    format: Format,
    name: str,
    *,
    quantization: Mode | None,
    any_image_size: bool,
    data: LesionDataModule | None,
) -> Exported:
    """Write a traced network and compare it with the original."""
    named = f"{name[0].upper()}{name[1:]}"
    if quantization == "dynamic":
        _require_linear(graph, named)
    if format == "onnx":
        require_one_file(graph)
    program = traced(graph, model.task, named, any_image_size=any_image_size)
    if format == "onnx":
        save_onnx(program, graph, path, named)
        exported: Runner = run_file(path)
    else:
        save_program(program, path)
        exported = run_program(path, graph)
    made = in_batches(made_cases(model.task, _CASES), _SIZES)
    if any_image_size:
        made += [_enlarged(one) for one in made[:2]]
    parity, real = compare(graph, exported, made), None
    require_parity(parity, f"The export of {name}")
    if data is not None:
        cases = (part.cases for part in real_cases(data, "test", most=_REAL))
        real = compare(graph, exported, cases)
        require_parity(real, f"The export of {name}")
    if quantization is None:
        return Exported(path, parity, real, None)
    calibration = []
    if quantization == "static":
        assert data is not None, "checked before"
        calibration = [one.cases for one in real_cases(data, "train", most=_CALIBRATION)]
    if any_image_size:
        made = made[:-2]
    with whole_file(path) as smaller:
        quantize(path, smaller, quantization, calibration)
        parts = (
            [LabelledCases(one, _unknown(one)) for one in made]
            if data is None
            else real_cases(data, "test")
        )
        cost = cost_of(lambda cases: run_graph(graph, cases), run_file(smaller), parts)
    return Exported(path, parity, real, cost)


def _require_linear(graph: PlainGraph, name: str) -> None:
    """Refuse dynamic quantization of a network of convolutions.

    Raises:
        UsageError: If the encoder is one.
    """
    encoder = graph.network.encoder
    if encoder is not None and not encoder.attends:
        raise UsageError(
            f"{name} has a CNN as encoder, whose convolutions `quantize` dynamic leaves as they "
            "are. Use static, with `data.root`."
        )


def _enlarged(cases: CaseArrays) -> CaseArrays:
    """The cases with images of another height and width."""
    return cases._replace(pixels=np.tile(cases.pixels, (1, 1, 1, 2)))


def _unknown(cases: CaseArrays) -> NDArray[np.int64]:
    return np.full(len(cases.pixels), -1)
