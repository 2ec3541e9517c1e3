"""Skin lesion classification by attention fusion, explained and honestly evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitatt import explain as explain
    from vitatt.data.datamodule import LesionDataModule as LesionDataModule
    from vitatt.inference import Predictor as Predictor
    from vitatt.models.classifier import LesionClassifier as LesionClassifier

__version__ = "0.1.0"
__all__ = ["LesionClassifier", "LesionDataModule", "Predictor", "__version__", "explain"]

_MODULES = {
    "LesionClassifier": "vitatt.models.classifier",
    "LesionDataModule": "vitatt.data.datamodule",
    "Predictor": "vitatt.inference",
    "explain": "vitatt.explain",
}


def __getattr__(name: str) -> Any:
    """Import a public class, or the package of explanations, when it is first used."""
    import importlib

    from vitatt.imports import without_collection

    if name not in _MODULES:
        raise AttributeError(f"module 'vitatt' has no attribute '{name}'")
    with without_collection():
        module = importlib.import_module(_MODULES[name])
    return module if name == "explain" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
