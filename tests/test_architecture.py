"""The arrows of the house point down."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vitatt"

ALLOWED = {
    "types": set(),
    "data": {"types"},
    "models": {"types"},
    "explain": {"models", "types"},
    "evaluation": {"explain", "models", "types"},
    "callbacks": {"data", "evaluation", "explain", "models", "types"},
    "commands": {"callbacks", "data", "evaluation", "explain", "models", "types"},
    "cli": {"commands", "types"},
}
"""What each part may import of the others."""

OWNERS = {"wandb": "callbacks", "albumentations": "data/transforms.py"}
"""The only places that may import a package."""


def imports(source: str) -> set[str]:
    """Modules that a source imports, in full."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(place: str, source: str) -> list[str]:
    """What a file, named by its path in the package, imports and must not."""
    part = place.split("/")[0].removesuffix(".py")
    wrong = []
    for name in imports(source):
        words = name.split(".")
        if words[0] == "vitatt" and len(words) > 1:
            other = words[1]
            if other != part and other not in ALLOWED.get(part, set()):
                wrong.append(f"{place} imports vitatt.{other}")
        elif words[0] in OWNERS and not place.startswith(OWNERS[words[0]]):
            wrong.append(f"{place} imports {words[0]}")
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
        ("data/images.py", "import albumentations as A"),
        ("types.py", "from vitatt.data import schema"),
    ],
)
def test_the_test_can_fail(place, source):
    assert violations(place, source)
