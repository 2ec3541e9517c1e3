"""The small demo dataset of the tests of commands."""

from tests.commands.conftest import demo_copy, demo_root

__all__ = ["demo_copy", "demo_root"]
