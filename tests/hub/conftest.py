"""The fixtures of the tests of inference: small demo data, and checkpoints that nobody trained."""

from __future__ import annotations

from tests.inference.conftest import data, demo_root, make_data, save

__all__ = ["data", "demo_root", "make_data", "save"]
