"""The arrows of the house point down."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vitatt"

ALLOWED = {
    "types": set(),
    "files": {"types"},
    "ranges": {"types"},
    "reading": {"types"},
    "config_files": {"reading", "types"},
    "failures": {"types"},
    "terminal": set(),
    "resuming": {"models", "types"},
    "__main__": {"cli"},
    "data": {"files", "ranges", "types"},
    "models": {"ranges", "types"},
    "explain": {"files", "models", "types"},
    "evaluation": {"explain", "files", "models", "types"},
    "callbacks": {"data", "evaluation", "explain", "files", "models", "ranges", "types"},
    "training": {
        "callbacks",
        "config_files",
        "data",
        "files",
        "models",
        "ranges",
        "resuming",
        "types",
    },
    "benchmark": {
        "callbacks",
        "data",
        "evaluation",
        "files",
        "models",
        "ranges",
        "reading",
        "training",
        "types",
    },
    "commands": {
        "benchmark",
        "callbacks",
        "data",
        "evaluation",
        "explain",
        "files",
        "models",
        "ranges",
        "reading",
        "terminal",
        "training",
        "types",
    },
    "cli": {"commands", "config_files", "failures"},
}
"""What each part may import of the others."""

OWNERS = {"wandb": "callbacks", "albumentations": "data/transforms.py"}
"""The only places that may import a package."""


def imports(place: str, source: str) -> set[str]:
    """Modules that a file, named by its path in the package, imports, in full."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = ["vitatt", *place.split("/")][: -node.level] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def violations(place: str, source: str) -> list[str]:
    """What a file, named by its path in the package, imports and must not."""
    part = place.split("/")[0].removesuffix(".py")
    wrong = []
    for name in imports(place, source):
        words = name.split(".")
        if words[0] == "vitatt" and len(words) > 1:
            other = words[1]
            if other != part and other not in ALLOWED.get(part, set()):
                wrong.append(f"{place} imports vitatt.{other}")
        for owned in set(words) & set(OWNERS):  # also as lightning.pytorch.loggers.wandb
            if OWNERS[owned] not in (place, part):
                wrong.append(f"{place} imports {owned}")
    return wrong


FILES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("place", FILES)
def test_imports_point_down(place):
    assert violations(place, (PACKAGE / place).read_text()) == []


def test_every_part_has_a_place():
    parts = {place.split("/")[0].removesuffix(".py") for place in FILES} - {"__init__"}
    assert parts == set(ALLOWED)
    assert not any(place.endswith("utils.py") for place in FILES)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("data/images.py", "from vitatt.models.fusion import AttentionFusion"),
        ("models/fusion.py", "import vitatt.data.schema"),
        ("explain/tmme.py", "from vitatt.data.table import LesionTable"),
        ("explain/tmme.py", "def late():\n    import wandb"),
        ("explain/tmme.py", "from ..data.table import LesionTable"),
        ("models/baselines/image_only.py", "from ... import data"),
        ("models/fusion.py", "from vitatt import data"),
        ("models/fusion.py", "if TYPE_CHECKING:\n    import vitatt.data.schema as schema"),
        ("evaluation/summary.py", "from vitatt.callbacks import tracking"),
        ("data/datamodule.py", "from vitatt import cli"),
        ("cli.py", "import wandb.sdk"),
        ("commands/training.py", "from lightning.pytorch.loggers.wandb import WandbLogger"),
        ("data/transforms_fast.py", "import albumentations"),
        ("data/images.py", "import albumentations as A"),
        ("types.py", "from vitatt.data import schema"),
    ],
)
def test_the_test_can_fail(place, source):
    assert violations(place, source)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("models/fusion.py", "from vitatt.models.network import LesionNetwork"),
        ("models/fusion.py", "from .network import LesionNetwork\nfrom ..types import LesionTask"),
        ("models/baselines/image_only.py", "from ..network import LesionNetwork"),
        ("callbacks/tracking.py", "import wandb, torch"),
        ("data/transforms.py", "import albumentations as A"),
        ("explain/tmme.py", "import numpy as data"),
    ],
)
def test_the_test_can_pass(place, source):
    assert violations(place, source) == []
