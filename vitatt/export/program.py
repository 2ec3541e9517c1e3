"""Trained networks as programs of `torch.export`, with any batch size."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from vitatt.export.graph import PlainGraph
from vitatt.export.made_cases import made_cases
from vitatt.export.parity import Outputs, Runner, as_tensors
from vitatt.files import whole_file
from vitatt.inference.arrays import CaseArrays
from vitatt.types import LesionTask, UsageError

_TRACED = 2
"""Cases that tracing sees: it would take one for a constant."""


def traced(
    graph: PlainGraph, task: LesionTask, name: str, *, any_image_size: bool = False
) -> ExportedProgram:
    """Return the program of a network.

    Args:
        graph: The network.
        task: Of it.
        name: Of the network, for messages.
        any_image_size: Whether height and width of the image may be any multiples of the side of a
            patch, as a CNN allows.

    Raises:
        UsageError: If it cannot be traced, or only for one batch size, or only for one image size
            although any is asked for; the message names the network.
    """
    arguments = as_tensors(graph.inputs, made_cases(task, _TRACED))
    batch: Any = Dim("batch")
    sizes: list[dict[int, Any]] = [{0: batch} for _ in arguments]
    if any_image_size:
        patch = patch_side(graph, task, name)
        longer = arguments[0].repeat(1, 1, 2, 3)  # sides that are equal would be held for one
        arguments = (longer, *arguments[1:])
        sizes[0] |= {2: patch * Dim("rows", min=1), 3: patch * Dim("columns", min=1)}
    shapes = (sizes[0], tuple(sizes[1:]))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of torch about itself; parity is measured afterwards
            return torch.export.export(graph, arguments, dynamic_shapes=shapes)
    except Exception as error:  # torch has many kinds, some of them private
        reason = str(error).strip().splitlines() or [type(error).__name__]
        what, advice = "traced", "Use --format safetensors, which keeps the network as it is."
        if any_image_size:
            what, advice = "traced for any image size", "Leave out `any_image_size`."
        raise UsageError(
            f"{name} cannot be {what}, which the formats onnx and torch_export need: {reason[0]} "
            f"{advice}"
        ) from error


def patch_side(graph: PlainGraph, task: LesionTask, name: str) -> int:
    """Return the side of a patch of a network that takes images of any size, in pixels.

    Raises:
        UsageError: If it takes images of one size only; the message names it and says why.
    """
    encoder = graph.network.encoder
    if encoder is None:
        reason = "it has no image input"
    elif encoder.attends:
        reason = "the positions of its transformer's patches are those of one grid"
    elif encoder.views > 1:
        reason = f"it takes cases of {encoder.views} images, whose patches differ by place"
    else:
        return task.image_size // encoder.grid_size[0]
    raise UsageError(
        f"{name} cannot be exported for any image size: {reason}. This is for CNNs and cases of "
        "one image; leave out `any_image_size`."
    )


def save_program(program: ExportedProgram, path: Path) -> None:
    """Write a program to a file that `torch.export.load` reads."""
    for module in program.graph_module.modules():
        if isinstance(module, GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)  # has paths of this machine
    content = io.BytesIO()  # a file would give its temporary name to a folder in the archive
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, content)
    with whole_file(path) as part:
        part.write_bytes(content.getbuffer())


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
