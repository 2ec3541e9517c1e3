"""Description of an exported model, in a JSON file beside its weights; PyTorch is not needed.

Such a folder may come from a stranger: its values are checked as those of a checkpoint are, and
nothing in it chooses what is imported or called.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from vitatt.models.plain_values import as_type
from vitatt.types import LesionTask, UsageError

Format = Literal["onnx", "safetensors", "torch_export"]

FILES: Mapping[Format, str] = {
    "onnx": "model.onnx",
    "safetensors": "model.safetensors",
    "torch_export": "model.pt2",
}
"""File of the model in a folder, by format."""

CONFIG = "config.json"
"""File of the description in a folder."""

_KEY = "vitatt"

SEAL = "sha256_of_description"
"""Key of the digest of all other entries of the description."""


class ExportedModel(NamedTuple):
    """An exported model.

    Attributes:
        path: Its folder.
        format: Of its file.
        task: Classes, fitted encoding of the metadata, image size.
        plain: Everything in the description.
    """

    path: Path
    format: Format
    task: LesionTask
    plain: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The model's file."""
        return self.path / FILES[self.format]

    @property
    def grid_size(self) -> tuple[int, int] | None:
        """Rows and columns of all patches of a case; None without attention."""
        found = self.plain.get("grid_size")
        return None if found is None else (found[0], found[1])


def format_of(path: Path) -> Format | None:
    """Return the format of the export that a folder holds, None if it holds none or is no folder.

    Raises:
        UsageError: If its description cannot be read, or names an unknown format.
    """
    if not (path / CONFIG).is_file():
        return None
    from vitatt.reading import read_json  # imports Polars, which checkpoints do not need

    found = read_json(path / CONFIG)
    if _KEY not in found:
        return None
    for known in FILES:
        if found.get("format") == known:
            return known
    raise UsageError(
        f"Expected `format` in {path / CONFIG} to be among {', '.join(FILES)}, but got "
        f"{found.get('format')!r}: it was changed, or written by another version of vitatt."
    )


def read_exported(path: Path) -> ExportedModel:
    """Return the description of the model in a folder.

    Args:
        path: The folder.

    Raises:
        UsageError: If it holds no export, its file is missing, file or description was changed
            since, or its task has other values than such a task takes.
    """
    from vitatt.reading import read_json

    kind = format_of(path)
    if kind is None:
        raise UsageError(f"The folder {path} holds no model of `vitatt export`: no {CONFIG} of it.")
    plain = read_json(path / CONFIG)
    task = plain.get("task")
    try:
        read = as_type(LesionTask.from_plain(task if isinstance(task, dict) else {}), LesionTask)
    except ValueError as error:
        if isinstance(error, UsageError):
            raise UsageError(f"{path / CONFIG}: {error}") from error
        raise UsageError(
            f"The task in {path / CONFIG} has values of other types: {error}. It was changed."
        ) from error
    try:
        as_type(plain.get("grid_size"), tuple[int, int] | None)
    except ValueError as error:
        raise UsageError(f"`grid_size` in {path / CONFIG} is wrong: {error}.") from error
    if not isinstance(plain.get("network"), dict):
        raise UsageError(f"{path / CONFIG} says nothing of its network: it was changed.")
    model = ExportedModel(path, kind, read, plain)
    if not model.file.is_file():
        raise UsageError(f"The folder {path} lacks {model.file.name}: copy the whole folder again.")
    if plain.get("sha256") != digest(model.file):
        raise UsageError(
            f"{model.file} is not the file that {CONFIG} beside it describes: it was changed, or "
            "cut short on its way. Copy the whole folder again."
        )
    # Classes or categories in another order would fit the weights as well, and mean others.
    if plain.get(SEAL) != seal(plain):
        raise UsageError(
            f"{path / CONFIG} is not as `vitatt export` wrote it: it was changed. Copy the whole "
            "folder again, or export the checkpoint again."
        )
    return model


def seal(plain: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description, in hexadecimal, however it is laid out.

    Args:
        plain: The description; its own entry `SEAL` does not count.
    """
    others = {key: value for key, value in plain.items() if key != SEAL}
    text = json.dumps(others, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
