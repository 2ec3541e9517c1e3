"""The JSON file beside an exported model: all that a program needs to prepare its inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from vitatt.data.datasets import recorded_dataset
from vitatt.export.graph import PlainGraph
from vitatt.export.parity import Parity
from vitatt.export.provenance import weights_source
from vitatt.files import write_text
from vitatt.models.exported import CONFIG, FILES, SEAL, Format, digest, seal
from vitatt.types import LesionTask

_MEANINGS = {
    "image": "RGB pixels of the square image, 0 to 255, not normalised; the views of a case one "
    "below the other, black where absent",
    "metadata": "soft one-hot vectors of all features side by side, uniform where missing; see "
    "`features`",
    "missing": "true where a feature was not observed",
    "absent": "true where a case lacks a view",
    "logits": "calibrated, of each class",
    "probabilities": "calibrated, of each class",
    "embedding": "input of the last linear layer",
    "attention_patches": "attention of the class token to patches in the last layer, mean over "
    "heads, row by row of `grid_size`",
    "attention_metadata": "attention of the class token to features (or to the token that they "
    "share) in the last layer, mean over heads",
}


def describe(
    graph: PlainGraph,
    task: LesionTask,
    settings: Mapping[str, Any],
    *,
    format: Format,
    checkpoint: Path,
) -> dict[str, Any]:
    """Return the description of an exported network in plain types.

    Args:
        graph: The network.
        task: Of it.
        settings: Of the network, by name: encoder, number of frozen blocks, fusion.
        format: Of the export.
        checkpoint: Whose network it is.
    """
    network = graph.network
    attends = bool(network.layouts)
    return {
        "vitatt": metadata.version("vitatt"),
        "format": format,
        "file": FILES[format],
        "checkpoint": {"name": checkpoint.name, "sha256": digest(checkpoint)},
        "classes": list(task.classes),
        "image_size": task.image_size,
        "views": list(task.views),
        "inputs": _ports(graph.inputs, graph, task),
        "outputs": _ports(graph.outputs, graph, task),
        "grid_size": list(network.grid_size) if attends else None,
        "features": _features(task),
        "smoothing": task.smoothing,
        "task": task.to_plain(),
        "network": dict(settings),
        "encoder_weights": weights_source(checkpoint, str(settings.get("encoder"))),
    }


def as_plain(parity: Parity) -> dict[str, Any]:
    """Return measured differences in plain types."""
    return {"cases": parity.cases, "largest_difference": dict(parity.differences)}


def write_description(folder: Path, plain: Mapping[str, Any], file: Path) -> None:
    """Write the description of the model in a folder.

    Args:
        folder: For the description.
        plain: See `describe`.
        file: The model, whose digest is added, beside that of the description itself.
    """
    whole = json.loads(json.dumps({**plain, "sha256": digest(file)}))  # as it will be read
    text = json.dumps({**whole, SEAL: seal(whole)}, indent=2, ensure_ascii=False)
    write_text(text + "\n", folder / CONFIG)


def _ports(names: list[str], graph: PlainGraph, task: LesionTask) -> list[dict[str, Any]]:
    """Name, type, shape and meaning of inputs or outputs."""
    network, size = graph.network, task.image_size
    shapes: dict[str, tuple[str, list[int]]] = {
        "image": ("uint8", [3, task.num_views * size, size]),
        "metadata": ("float32", [sum(task.cardinalities)]),
        "missing": ("bool", [len(task.features)]),
        "absent": ("bool", [len(task.views)]),
        "logits": ("float32", [len(task.classes)]),
        "probabilities": ("float32", [len(task.classes)]),
        "embedding": ("float32", [network.head.in_features]),
    }
    if network.layouts:
        rows, columns = network.grid_size
        shapes["attention_patches"] = ("float32", [rows * columns])
        shapes["attention_metadata"] = ("float32", [network.layouts[-1].metadata])
    return [
        {
            "name": name,
            "type": shapes[name][0],
            "shape": ["batch", *shapes[name][1]],
            "meaning": _MEANINGS[name],
        }
        for name in names
    ]


def _features(task: LesionTask) -> list[dict[str, Any]]:
    """Each feature with its columns in the soft one-hot vector and the spellings of answers."""
    spec = recorded_dataset(task.dataset, task.description, "the task of a checkpoint").spec
    published = {feature.name: feature for feature in spec.features}
    found, start = [], 0
    for feature in task.features:
        of_dataset = published.get(feature.name)
        spellings = {} if of_dataset is None else dict(of_dataset.spellings)
        plausible = None if of_dataset is None else of_dataset.plausible
        found.append(
            {
                "name": feature.name,
                "label": feature.label,
                "kind": feature.kind,
                "unit": feature.unit,
                "columns": [start, start + feature.cardinality],
                "categories": list(feature.categories),
                "centres": list(feature.centres),
                "published_categories": [] if of_dataset is None else list(of_dataset.categories),
                "spellings": spellings,
                "plausible": None if plausible is None else str(plausible),
            }
        )
        start += feature.cardinality
    return found
