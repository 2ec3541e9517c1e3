"""Comparison of an exported network with the original, on the same cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vitatt.export.graph import PlainGraph
from vitatt.inference.arrays import CaseArrays
from vitatt.types import UsageError

Outputs = Mapping[str, NDArray[np.floating[Any]]]
Runner = Callable[[CaseArrays], Outputs]
"""From cases to the outputs of a network by name, see `PlainGraph`."""

TOLERANCE = 1e-4
"""Largest difference of an exported network."""


class Parity(NamedTuple):
    """How far an exported network is from the original.

    Attributes:
        cases: Number of cases.
        differences: Largest absolute difference of each output; of logits and embedding, relative
            to the largest absolute value if that is above 1.
    """

    cases: int
    differences: Mapping[str, float]

    @property
    def largest(self) -> float:
        """The largest of the differences."""
        return max(self.differences.values())


def compare(graph: PlainGraph, exported: Runner, batches: Iterable[CaseArrays]) -> Parity:
    """Return the differences between a network and its export.

    Args:
        graph: The original.
        exported: Runs the export.
        batches: Cases, at least one.
    """
    count, found, largest = 0, dict.fromkeys(graph.outputs, 0.0), dict.fromkeys(graph.outputs, 1.0)
    for batch in batches:
        count += len(batch.pixels)
        expected, outputs = run_graph(graph, batch), exported(batch)
        for name, values in expected.items():
            difference = np.abs(values - outputs[name])
            found[name] = float(np.fmax(found[name], difference.max(initial=0)))
            if not np.isfinite(outputs[name]).all():
                found[name] = float("inf")
            largest[name] = max(largest[name], float(np.abs(values).max(initial=0)))
    return Parity(count, {name: found[name] / largest[name] for name in found})


def require_parity(parity: Parity, what: str) -> None:
    """Refuse an export that differs from the original.

    Args:
        parity: Of the export.
        what: It, to begin the message with.

    Raises:
        UsageError: If the largest difference is above `TOLERANCE`.
    """
    if parity.largest <= TOLERANCE:
        return
    name = max(parity.differences, key=parity.differences.__getitem__)
    raise UsageError(
        f"{what} differs from the checkpoint by {parity.largest:.2g} in its {name} on "
        f"{parity.cases} cases, and at most {TOLERANCE:g} is allowed: it was not written. Use "
        "--format safetensors, which keeps the network as it is, and report the encoder, the "
        "fusion and the versions that `vitatt doctor` prints."
    )


def run_graph(graph: PlainGraph, cases: CaseArrays) -> dict[str, NDArray[np.floating[Any]]]:
    """Return the outputs of the original by name."""
    with torch.inference_mode():
        found = graph(*as_tensors(graph.inputs, cases))
    return {name: one.numpy() for name, one in zip(graph.outputs, found, strict=True)}


def as_tensors(inputs: Sequence[str], cases: CaseArrays) -> tuple[torch.Tensor, ...]:
    """Return inputs of a network by name as tensors."""
    given = {
        "image": cases.pixels,
        "metadata": cases.metadata,
        "missing": cases.missing,
        "absent": cases.absent,
    }
    return tuple(torch.from_numpy(given[name]) for name in inputs)
