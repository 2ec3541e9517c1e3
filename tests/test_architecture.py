"""Imports point down, from each folder to those below it, and so in no circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vitatt"

FLOORS = (
    ("types",),
    ("ranges", "files", "reading", "paths", "words", "terminal", "failures", "imports"),
    ("config_files",),
    ("data.images",),
    ("data.datasets", "models.encoders"),
    ("data.metadata", "data.synthetic", "data.download", "models.layers"),
    ("data", "models.fusion"),
    ("data.checks", "models.classical"),
    ("models", "evaluation"),
    ("reader_study",),
    ("reader_study.analysis", "reader_study.simulation"),
    ("reader_study.outcome",),
    ("explain.attention",),
    ("explain.methods",),
    ("explain.checks", "explain"),
    ("plotting",),
    ("inference",),
    ("studies",),
    ("reader_study.design",),
    ("export",),
    ("callbacks",),
    ("resuming",),
    ("training",),
    ("benchmark",),
    ("sweep",),
    ("reports",),
    ("reports.benchmark", "reports.explanations", "reports.reader_study"),
    ("environment", "options", "serving", "hub"),
    ("reader_study.serving",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
"""Folders and single files, the lowest first: each may import what lies on lower floors."""

APART = {
    "data": {"models"},
    "models": {"data"},
    "evaluation": {"data", "models"},
    "explain": {"data"},
    "plotting": {"data", "models"},
}
"""Parts that do not know each other, although floors would allow it."""

OWNERS = {"wandb": "callbacks", "albumentations": "data/images/transforms.py"}
"""The only places that may import a package."""

FLOOR = {unit: number for number, units in enumerate(FLOORS) for unit in units}


def unit_of(module: str) -> str:
    """The folder or single file on a floor that a module, named below the package, is of."""
    words = module.split(".")
    prefixes = [".".join(words[:count]) for count in range(len(words), 0, -1)]
    return next((prefix for prefix in prefixes if prefix in FLOOR), words[0])


def module_of(place: str) -> str:
    return place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


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
    """Imports that a file, named by its path in the package, must not have."""
    unit = unit_of(module_of(place))
    part = place.split("/")[0].removesuffix(".py")
    wrong = []
    for name in sorted(imports(place, source)):
        words = name.split(".")
        if words[0] == "vitatt" and len(words) > 1:
            other = unit_of(".".join(words[1:]))
            lower = FLOOR.get(other, len(FLOORS)) < FLOOR[unit]
            if other != unit and (not lower or other.split(".")[0] in APART.get(part, set())):
                wrong.append(f"{place} imports vitatt.{other}")
        for owned in set(words) & set(OWNERS):  # also as lightning.pytorch.loggers.wandb
            if OWNERS[owned] not in (place, part):
                wrong.append(f"{place} imports {owned}")
    return wrong


FILES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def test_imports_point_down():
    files = [place for place in FILES if place != "__init__.py"]
    assert [line for place in files for line in violations(place, _source(place))] == []


def test_every_folder_has_a_floor():
    folders = {str(Path(place).parent).replace("/", ".") for place in FILES if "/" in place}
    single = {place.removesuffix(".py") for place in FILES if "/" not in place} - {"__init__"}
    assert folders | single == set(FLOOR)
    assert not any(place.endswith("utils.py") for place in FILES)


def test_the_package_itself_imports_nothing_at_once():
    tree = ast.parse(_source("__init__.py"))
    assert not [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)] or all(
        isinstance(node, ast.ImportFrom) and node.module in ("__future__", "typing")
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
    )


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("data/images/cache.py", "from vitatt.models.fusion.vitatt import AttentionFusion"),
        ("data/images/cache.py", "from vitatt.data.fold import FoldData"),
        ("data/datasets/table.py", "from vitatt.data import datamodule"),
        ("models/fusion/vitatt.py", "import vitatt.data.datasets.schema"),
        ("models/layers/map_pool.py", "from vitatt.models.fusion.network import LesionNetwork"),
        ("models/encoders/vit.py", "from vitatt.models.classifier import LesionClassifier"),
        ("explain/methods/tmme.py", "from vitatt.data.datasets.table import LesionTable"),
        ("explain/methods/tmme.py", "from vitatt.explain.checks import sanity"),
        ("explain/methods/tmme.py", "def late():\n    import wandb"),
        ("explain/methods/tmme.py", "from ...data.datasets.table import LesionTable"),
        ("models/fusion/image_only.py", "from ... import data"),
        ("models/fusion/vitatt.py", "from vitatt import data"),
        ("models/fusion/vitatt.py", "if TYPE_CHECKING:\n    import vitatt.data.cases as cases"),
        ("evaluation/summary.py", "from vitatt.callbacks import tracking"),
        ("evaluation/summary.py", "from vitatt.models.metrics import SELECTION"),
        ("reports/page.py", "from vitatt.reports.benchmark.facts import Facts"),
        ("studies/embedding.py", "from vitatt.commands import embed"),
        ("data/datamodule.py", "from vitatt import cli"),
        ("cli.py", "import wandb.sdk"),
        ("commands/training.py", "from lightning.pytorch.loggers.wandb import WandbLogger"),
        ("data/images/transforms_fast.py", "import albumentations"),
        ("data/images/cache.py", "import albumentations as A"),
        ("types.py", "from vitatt.data.datasets import schema"),
    ],
)
def test_the_test_can_fail(place, source):
    assert violations(place, source)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("models/fusion/vitatt.py", "from vitatt.models.fusion.network import LesionNetwork"),
        ("models/fusion/vitatt.py", "from .network import LesionNetwork\nfrom ...types import X"),
        ("models/fusion/film.py", "from ..layers.map_pool import MapPool"),
        ("callbacks/tracking.py", "import wandb, torch"),
        ("data/images/transforms.py", "import albumentations as A"),
        ("explain/methods/tmme.py", "import numpy as data"),
    ],
)
def test_the_test_can_pass(place, source):
    assert violations(place, source) == []


def _source(place: str) -> str:
    return (PACKAGE / place).read_text()
