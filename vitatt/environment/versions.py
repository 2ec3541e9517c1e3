"""Versions of the packages that results depend on, compared with the required ones."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

_NAMES = (
    "torch",
    "torchvision",
    "lightning",
    "timm",
    "torchmetrics",
    "wandb",
    "albumentations",
    "polars",
    "numpy",
    "jsonargparse",
)


def version_lines(problems: list[str]) -> list[str]:
    """One line for each package.

    Args:
        problems: Problems found so far; missing packages and wrong versions are appended.
    """
    lines = [
        f"vitatt {_version('vitatt') or 'is not installed as a package'}",
        f"Python {platform.python_version()}, {sys.executable}",
        platform.platform(),
    ]
    asked = _asked()
    for name in _NAMES:
        version = _version(name)
        specifier = asked.get(name, "")
        if version is None:
            lines.append(f"{name}: not installed, expected {specifier or 'any version'}")
            problems.append(f"{name} is not installed: pip install '{name}{specifier}'.")
        elif specifier and not Requirement(f"{name}{specifier}").specifier.contains(
            version, prereleases=True
        ):
            lines.append(f"{name} {version}, expected {specifier}")
            problems.append(
                f"{name} {version} is not {specifier}: pip install '{name}{specifier}'."
            )
        else:
            lines.append(f"{name} {version}")
    return lines


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _asked() -> dict[str, str]:
    """Required versions by package, without those of extras."""
    asked = {}
    try:
        lines = metadata.requires("vitatt") or []
    except metadata.PackageNotFoundError:
        return {}
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            asked[requirement.name] = str(requirement.specifier)
    return asked
