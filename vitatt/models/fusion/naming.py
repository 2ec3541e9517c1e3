"""Names of network classes: registered ones, and import paths of older versions.

Nothing here imports a module: a path is only compared with those of classes in memory.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from typing import Any

from vitatt.models.fusion import FUSIONS
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import UsageError

_PACKAGE = "vitatt.models.fusion"


def class_path(network: type[LesionNetwork]) -> str:
    """Module and name of a class, as ``module.Class``."""
    return f"{network.__module__}.{network.__qualname__}"


def name_of(path: str) -> str:
    """The registered name of the class with an import path; any other path as it is."""
    return next((name for name, network in FUSIONS.items() if _is_path_of(path, network)), path)


def class_of(name: str, own: type[LesionNetwork] | None = None) -> type[LesionNetwork] | None:
    """The network class of a name, or None.

    Args:
        name: A registered name, or an import path of `own`.
        own: A class that the user passed, registered or not.
    """
    if own is not None and _is_path_of(name, own):
        return own
    return FUSIONS.get(name)


def plain_fusion(fusion: Any) -> dict[str, Any]:
    """Name and arguments of a network, ``{"name": ..., "init_args": ...}``, for a checkpoint.

    Args:
        fusion: A class, alone or in a `functools.partial` with keywords; or its description with
            ``init_args`` and ``name`` or ``class_path``, from a checkpoint or a configuration.

    Raises:
        UsageError: If it is another function, which no checkpoint could name.
    """
    if isinstance(fusion, Mapping):
        arguments = {**(fusion.get("init_args") or {}), **(fusion.get("dict_kwargs") or {})}
        return {"name": name_of(fusion.get("name") or fusion["class_path"]), "init_args": arguments}
    arguments = {}
    if isinstance(fusion, functools.partial) and not fusion.args:
        fusion, arguments = fusion.func, dict(fusion.keywords)
    if not isinstance(fusion, type):
        raise UsageError(
            "Expected argument `fusion` to be a network class or a functools.partial of one with "
            f"keywords, so that checkpoints can name it, but got {fusion!r}."
        )
    return {"name": name_of(class_path(fusion)), "init_args": arguments}


def _is_path_of(path: str, network: type[LesionNetwork]) -> bool:
    """Whether an import path, today's or that of an older version, means a class."""
    if path in (class_path(network), *_former_paths(network)):
        return True
    module, _, attribute = path.rpartition(".")
    return module in sys.modules and vars(sys.modules[module]).get(attribute) is network


def _former_paths(network: type[LesionNetwork]) -> tuple[str, ...]:
    """Where a class of this package was before 0.1.0."""
    package, _, module = network.__module__.rpartition(".")
    if package != _PACKAGE:
        return ()
    return (
        f"{_PACKAGE}.{network.__name__}",
        f"vitatt.models.baselines.{module}.{network.__name__}",
    )
