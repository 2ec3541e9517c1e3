"""Checkpoints: where they are, what they say about themselves, and whether they can be used."""

from __future__ import annotations

import contextlib
import importlib
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionTask, UsageError

Name = Literal["best", "last"]

_SAVED = {"best": ("best.ckpt",), "last": ("last.ckpt", "interrupted.ckpt")}
_ARMS = "vitatt.models."


def find_checkpoint(asked: str | Path, runs: Path, *, prefer: Name = "best") -> Path:
    """The file that a user means.

    Args:
        asked: A file; the folder of a run, or its ``checkpoints``; or ``best`` or ``last``, of the
            run that saved one latest.
        runs: Folder of the runs, in which ``best`` and ``last`` are looked for.
        prefer: The checkpoint of a folder; of ``last.ckpt`` and ``interrupted.ckpt``, the later
            one is meant.

    Raises:
        UsageError: If there is no such file.
    """
    path = Path(asked).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        found = _latest([*_in(path, prefer), *_in(path / "checkpoints", prefer)])
        if found is None:
            raise UsageError(
                f"The folder {path} has no checkpoints/{prefer}.ckpt: it is no run of `vitatt "
                "fit`, or its training ended before the first epoch did."
            )
        return found
    if asked in ("best", "last"):
        name: Name = "best" if asked == "best" else "last"
        found = _latest([file for run in runs.glob("*") for file in _in(run / "checkpoints", name)])
        if found is None:
            raise UsageError(
                f"No run below {runs} has a checkpoints/{asked}.ckpt: name a checkpoint's file, or "
                "the folder of a run."
            )
        return found
    raise UsageError(
        f"The checkpoint {path} does not exist. Name a file, the folder of a run, or `best` or "
        "`last` for that of the latest run."
    )


def read_hyper_parameters(path: str | Path) -> dict[str, Any]:
    """The settings a checkpoint's model was made with, among them the plain form of its task.

    Raises:
        UsageError: If there is no such file, it is no checkpoint of this package, or it names a
            network that is none, or further weights.
    """
    checkpoint = _read(Path(path))
    saved = checkpoint.get("hyper_parameters")
    if not isinstance(saved, dict) or "task" not in saved:
        raise UsageError(f"{path} is no checkpoint of `vitatt fit`: it says nothing of its task.")
    LesionTask.from_plain(saved["task"])
    if not isinstance(checkpoint.get("state_dict"), dict):
        raise UsageError(f"{path} is no checkpoint of `vitatt fit`: it has no weights.")
    check_network_class(saved.get("fusion"), path)
    if saved.get("encoder_weights") is not None:
        raise UsageError(
            f"The checkpoint {path} asks for weights of its encoder from elsewhere "
            f"({saved['encoder_weights']}), as none of `vitatt fit` does: it was changed."
        )
    return dict(saved)


def was_divided(path: str | Path) -> bool:
    """Whether the network was divided among processes: its optimizer's state is in other order.

    Raises:
        UsageError: If there is no such file, or it is no checkpoint.
    """
    return bool(_read(Path(path)).get("divided"))


def read_position(path: str | Path) -> dict[str, int]:
    """Where in its data a checkpoint's training was, see `LesionDataModule.state_dict`.

    Raises:
        UsageError: If there is no such file, or it is no checkpoint.
    """
    return dict(_read(Path(path)).get("LesionDataModule") or {})


def read_callback(path: str | Path, name: str) -> dict[str, Any]:
    """The state of a callback of a checkpoint's training; empty if it had none.

    Raises:
        UsageError: If there is no such file, or it is no checkpoint.
    """
    callbacks = _read(Path(path)).get("callbacks") or {}
    return dict(callbacks.get(name, {}))


def check_network_class(fusion: Any, path: str | Path) -> None:
    """See that a checkpoint names a network of this package, or one that is imported already.

    A file from a stranger must not decide what is imported or called.

    Args:
        fusion: ``class_path`` and ``init_args``, or the path alone; None for a default.
        path: The checkpoint, for the message.

    Raises:
        UsageError: If it names anything else.
    """
    name = fusion.get("class_path") if isinstance(fusion, Mapping) else fusion
    if name is None:
        return
    module, _, attribute = str(name).rpartition(".")
    if module.startswith(_ARMS):
        with contextlib.suppress(ModuleNotFoundError):  # then it is refused below
            importlib.import_module(module)
    found = getattr(sys.modules.get(module), attribute, None)
    if not (isinstance(found, type) and issubclass(found, LesionNetwork)):
        raise UsageError(
            f"The checkpoint {path} names '{name}' as its network, which is none of vitatt's. "
            "Nothing was imported. If it is your own, name it as `--model.fusion`, or import it "
            "before you load the checkpoint."
        )


def check_weights(path: str | Path, network: nn.Module, *, resumes: bool = False) -> None:
    """See that a checkpoint can be loaded into a model, before any work begins.

    Args:
        path: The checkpoint.
        network: The model as it was made from the checkpoint's settings.
        resumes: Whether a training is to go on from it.

    Raises:
        UsageError: If weights are absent, unknown, of another shape or no finite numbers; or the
            file holds no more than weights, and a training is to go on.
    """
    checkpoint = _read(Path(path))
    require_fitting(checkpoint["state_dict"], network, f"The checkpoint {path}")
    if resumes and not checkpoint.get("optimizer_states"):
        raise UsageError(
            f"The checkpoint {path} holds weights alone: no training can go on from it. Name the "
            "last.ckpt of a run."
        )


def require_fitting(weights: Mapping[str, Any], network: nn.Module, what: str) -> None:
    """Refuse weights that are not those of a network, or are no finite numbers.

    Args:
        weights: By name.
        network: The network.
        what: Has the weights, to begin the message with.

    Raises:
        UsageError: If any are absent, unknown, of another shape or not finite; the message names
            the first.
    """
    own = network.state_dict()
    differing = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    for found, names in (
        ("lacks", [name for name in own if name not in weights]),
        ("has unknown", [name for name in weights if name not in own]),
        ("has of another shape", differing),
    ):
        if names:
            raise UsageError(
                f"{what} does not fit its model: it {found} {len(names)} of {len(own)} weights, "
                f"the first being {names[0]}. It was changed, or written by another version of "
                "vitatt or of timm."
            )
    require_finite(weights, what)


def require_finite(weights: Mapping[str, Any], what: str) -> None:
    """Refuse weights that are no finite numbers: every prediction with them would be none.

    Args:
        weights: By name.
        what: Has them, to begin the message with.

    Raises:
        UsageError: If there are any; the message names the first.
    """
    for name, value in weights.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not is_finite(value):
            raise UsageError(
                f"{what} has weights that are no finite numbers, the first being {name}: the "
                "training diverged. Lower `model.learning_rate`, and use a checkpoint from before."
            )


def is_finite(value: Tensor) -> bool:
    """Whether all numbers are finite; their sum tells it in one pass, unless it overflows."""
    value = value.detach()
    total = value.sum(dtype=torch.float64 if value.device.type == "cpu" else torch.float32)
    return bool(total.isfinite()) or bool(value.isfinite().all())


def _in(folder: Path, name: Name) -> list[Path]:
    return [folder / file for file in _SAVED[name] if (folder / file).is_file()]


def _latest(files: list[Path]) -> Path | None:
    return max(files, key=lambda file: file.stat().st_mtime_ns, default=None)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"The checkpoint {path} does not exist.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{path} cannot be read as a checkpoint: it is another kind of file, or was cut short "
            f"on its way ({path.stat().st_size} bytes; {first_line}). Copy it again, or use "
            "another one."
        ) from error
    return checkpoint if isinstance(checkpoint, dict) else {}
