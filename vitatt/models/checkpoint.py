"""Contents of checkpoints, checked before anything is made from them.

A checkpoint may come from a stranger, so nothing in it chooses what is imported or called: it names
its network by a registered name, and its settings are plain values of the annotated types.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitatt.models.fusion import FUSIONS
from vitatt.models.fusion.naming import class_of, plain_fusion
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.plain_values import as_type, read_arguments
from vitatt.models.weight_checks import require_fitting
from vitatt.ranges import check_ranges
from vitatt.types import LesionTask, UsageError
from vitatt.words import did_you_mean

_FORMER_INSTANTIATOR = "lightning.pytorch.cli.instantiate_module"
"""Written into every checkpoint before 0.1.0; it is not called."""


def read_checkpoint(path: str | Path, *, mmap: bool = True) -> dict[str, Any]:
    """Everything in a checkpoint, on the CPU; empty if the file holds something else than a dict.

    Args:
        path: The checkpoint.
        mmap: Map tensors to the file, which is faster unless all of them are used.

    Raises:
        UsageError: If there is no such file, or it cannot be read as a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"The checkpoint {path} does not exist.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{path} cannot be read as a checkpoint: it is another kind of file, or was cut short "
            f"on its way ({path.stat().st_size} bytes; {first_line}). Copy it again, or use "
            "another one."
        ) from error
    checkpoint = checkpoint if isinstance(checkpoint, dict) else {}
    add_temperature(checkpoint)
    return checkpoint


def add_temperature(checkpoint: dict[str, Any]) -> None:
    """Add the temperature 1 to the weights of a checkpoint from before 0.1.0, which has none."""
    weights = checkpoint.get("state_dict")
    if isinstance(weights, dict) and "network.head.weight" in weights:
        weights.setdefault("network.head.temperature", torch.ones(()))


def read_hyper_parameters(
    path: str | Path, own: type[LesionNetwork] | None = None
) -> dict[str, Any]:
    """Settings of a checkpoint's model: ``task`` and ``fusion`` in plain form, and all others.

    Args:
        path: The checkpoint.
        own: A network class of the user's that it may name, beside the registered ones.

    Raises:
        UsageError: If there is no such file, it is no checkpoint of this package, it names a
            network that is none, or further weights, or its task or network has other values than
            such a task or network takes.
    """
    return check_hyper_parameters(read_checkpoint(path), path, own)


def check_hyper_parameters(
    checkpoint: Mapping[str, Any], path: str | Path, own: type[LesionNetwork] | None = None
) -> dict[str, Any]:
    """Settings of a checkpoint that has been read, see `read_hyper_parameters`."""
    saved = checkpoint.get("hyper_parameters")
    if not isinstance(saved, dict) or "task" not in saved:
        raise UsageError(f"{path} is no checkpoint of `vitatt fit`: it says nothing of its task.")
    task = _read_task(saved["task"], path)
    if not isinstance(checkpoint.get("state_dict"), dict):
        raise UsageError(f"{path} is no checkpoint of `vitatt fit`: it has no weights.")
    instantiator = saved.get("_instantiator", _FORMER_INSTANTIATOR)
    if instantiator != _FORMER_INSTANTIATOR:
        raise UsageError(
            f"The checkpoint {path} asks for its model to be made by {instantiator!r}, as none of "
            "`vitatt fit` does: it was changed. Nothing was imported."
        )
    fusion = _read_fusion(saved.get("fusion") or {"name": "vitatt"}, path, own)
    if saved.get("encoder_weights") is not None:
        raise UsageError(
            f"The checkpoint {path} asks for weights of its encoder from elsewhere "
            f"({saved['encoder_weights']}), as none of `vitatt fit` does: it was changed."
        )
    others = {name: value for name, value in saved.items() if name != "_instantiator"}
    return {**others, "task": task.to_plain(), "fusion": fusion}


def was_divided(path: str | Path) -> bool:
    """Whether the network was divided among processes, which changes the optimizer's state.

    Raises:
        UsageError: If there is no such file, or it is no checkpoint.
    """
    return bool(read_checkpoint(path).get("divided"))


def read_position(path: str | Path) -> dict[str, int]:
    """Position of a checkpoint's training in its data, see `LesionDataModule.state_dict`.

    Raises:
        UsageError: If there is no such file, or it is no checkpoint.
    """
    return dict(read_checkpoint(path).get("LesionDataModule") or {})


def read_callback(path: str | Path, name: str) -> dict[str, Any]:
    """The state of a callback of a checkpoint's training; empty if it had none.

    Raises:
        UsageError: If there is no such file, or it is no checkpoint.
    """
    callbacks = read_checkpoint(path).get("callbacks") or {}
    return dict(callbacks.get(name, {}))


def check_weights(path: str | Path, network: nn.Module, *, resumes: bool = False) -> None:
    """Check that a checkpoint can be loaded into a model, before any work begins.

    Args:
        path: The checkpoint.
        network: The model as it was made from the checkpoint's settings.
        resumes: Whether a training is resumed from it.

    Raises:
        UsageError: If weights are absent, unknown, of another shape or not finite; or a training is
            to be resumed, and the file holds weights only.
    """
    checkpoint = read_checkpoint(path)
    require_fitting(checkpoint["state_dict"], network, f"The checkpoint {path}")
    if resumes and not checkpoint.get("optimizer_states"):
        raise UsageError(
            f"The checkpoint {path} holds weights alone: no training can go on from it. Name the "
            "last.ckpt of a run."
        )


def _read_task(plain: Any, path: str | Path) -> LesionTask:
    task = LesionTask.from_plain(plain if isinstance(plain, dict) else {})
    try:
        task = as_type(task, LesionTask)
    except ValueError as error:
        raise UsageError(
            f"The task of the checkpoint {path} has values of other types: {error}. It was changed."
        ) from error
    for name in ("dataset", "seen"):  # jsonargparse would read other strings as YAML
        if not re.fullmatch(r"[\w.-]*", value := getattr(task, name)):
            raise UsageError(
                f"Expected `{name}` of the task of the checkpoint {path} to be a word, but got "
                f"{value!r}: it was changed."
            )
    if len(set(task.classes)) != len(task.classes) or len(task.classes) != len(task.class_counts):
        raise UsageError(
            f"Expected the task of the checkpoint {path} to have different classes with one count "
            f"each, but got {task.classes} and {task.class_counts}: it was changed."
        )
    return task


def _read_fusion(saved: Any, path: str | Path, own: type[LesionNetwork] | None) -> dict[str, Any]:
    """Name and checked arguments of a network, which is not imported for it."""
    saved = {"name": saved} if isinstance(saved, str) else saved
    parts = ("name", "class_path", "init_args", "dict_kwargs")
    if not (
        isinstance(saved, Mapping)
        and saved.keys() <= set(parts)
        and all(isinstance(saved.get(part, ""), str) for part in parts[:2])
        and all(isinstance(saved.get(part) or {}, Mapping) for part in parts[2:])
        and (saved.get("name") or saved.get("class_path"))
    ):
        raise UsageError(
            f"Expected `fusion` in the checkpoint {path} to be a name and `init_args`, but got "
            f"{saved!r}: it was changed."
        )
    fusion = plain_fusion(saved)
    network = class_of(fusion["name"], own)
    if network is None:
        raise UsageError(
            f"The checkpoint {path} names '{fusion['name']}' as its network, which is none of "
            f"vitatt's. Nothing was imported. It has: {', '.join(FUSIONS)}."
            f"{did_you_mean(fusion['name'], list(FUSIONS))} If it is your own, name its class as "
            "`--model.fusion`, or pass it to `register_fusion` before you load the checkpoint."
        )
    arguments = read_arguments(
        network,
        fusion["init_args"],
        f"The checkpoint {path}",
        place="fusion.init_args.",
        given=list(inspect.signature(network).parameters)[:2],  # encoder and task
    )
    check_ranges(network.ranges, arguments, f"{path}: fusion.init_args")
    return {"name": fusion["name"], "init_args": arguments}
