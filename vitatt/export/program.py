"""Trained networks as programs of `torch.export`, with any batch size."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from vitatt.export.graph import PlainGraph
from vitatt.export.made_cases import made_cases
from vitatt.export.parity import Outputs, Runner, as_tensors
from vitatt.inference.arrays import CaseArrays
from vitatt.types import LesionTask, UsageError

_TRACED = 2
"""Cases that tracing sees: it would take one for a constant."""


def traced(graph: PlainGraph, task: LesionTask, name: str) -> ExportedProgram:
    """Return the program of a network.

    Args:
        graph: The network.
        task: Of it.
        name: Of the network, for messages.

    Raises:
        UsageError: If it cannot be traced, or only for one batch size; the message names it.
    """
    arguments = as_tensors(graph.inputs, made_cases(task, _TRACED))
    batch: Any = Dim("batch")
    sizes: list[dict[int, Any]] = [{0: batch} for _ in arguments]
    shapes = (sizes[0], tuple(sizes[1:]))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of torch about itself; parity is measured afterwards
            return torch.export.export(graph, arguments, dynamic_shapes=shapes)
    except Exception as error:  # torch has many kinds, some of them private
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"{name} cannot be traced, which the formats onnx and torch_export need: {reason[0]} "
            "Use --format safetensors, which keeps the network as it is."
        ) from error


def save_program(program: ExportedProgram, path: Path) -> None:
    """Write a program to a file that `torch.export.load` reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path)


def run_program(path: Path, graph: PlainGraph) -> Runner:
    """Return a function that runs the program in a file.

    Args:
        path: The file.
        graph: The original, for the names of inputs and outputs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def run(cases: CaseArrays) -> Outputs:
        with torch.inference_mode():
            found = module(*as_tensors(graph.inputs, cases))
        return {name: one.numpy() for name, one in zip(graph.outputs, found, strict=True)}

    return run
