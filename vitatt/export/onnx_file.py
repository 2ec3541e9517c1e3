"""Trained networks as ONNX files."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.export import ExportedProgram

from vitatt.export.graph import PlainGraph
from vitatt.files import whole_file
from vitatt.types import UsageError

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_LIMIT = 1.8e9
"""Bytes of weights in one file: protobuf allows 2 GiB."""


def require_onnx() -> None:
    """Check that the packages of the export are installed.

    Raises:
        UsageError: If one is not.
    """
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise UsageError(
            f"The format onnx needs {' and '.join(absent)}: pip install 'vitatt[export]'."
        )


def require_one_file(graph: PlainGraph) -> None:
    """Check that the weights fit into one ONNX file.

    Raises:
        UsageError: If they do not.
    """
    every = (*graph.parameters(), *graph.buffers())
    size = sum(one.numel() * one.element_size() for one in every)
    if size > _LIMIT:
        raise UsageError(
            f"The weights take {size / 1e9:.1f} GB, and an ONNX file holds at most 2 GB. Use "
            "--format safetensors or torch_export."
        )


def save_onnx(program: ExportedProgram, graph: PlainGraph, path: Path, name: str) -> None:
    """Write a program as ONNX.

    Args:
        program: Of the network.
        graph: The network, for the names of inputs and outputs.
        path: The file.
        name: Of the network, for messages.

    Raises:
        UsageError: If an operation has no counterpart in ONNX; the message names the network.
    """
    try:
        # The exporter prints its progress, and warns of its own parts.
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            _quiet("torch.onnx", "onnxscript", "onnx_ir"),
        ):
            warnings.simplefilter("ignore")
            made = torch.onnx.export(
                program,
                args=(),
                dynamo=True,
                verbose=False,
                input_names=graph.inputs,
                output_names=graph.outputs,
                external_data=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()
        raise UsageError(
            f"{name} cannot be written as ONNX: {reason[0] if reason else type(error).__name__} "
            "Use --format safetensors or torch_export."
        ) from error
    assert made is not None, "dynamo=True returns a program"
    for node in made.model.graph.all_nodes():
        node.metadata_props.clear()  # traces of the code, with paths of this machine
        node.doc_string = None
    for value in (*made.model.graph.inputs, *made.model.graph.outputs):
        value.metadata_props.clear()
    with whole_file(path) as part:
        made.save(part, external_data=False)


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Loggers that report errors only."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
