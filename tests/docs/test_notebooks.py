"""The notebooks run from the first cell to the last, in a kernel of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import DOCS

pytestmark = pytest.mark.long

nbclient = pytest.importorskip("nbclient", reason="the extra `docs` is not installed")
read = pytest.importorskip("myst_nb.core.read", reason="the extra `docs` is not installed")

NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.md"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path: Path, workplace: Path) -> None:
    notebook = read.read_myst_markdown_notebook(path.read_text(encoding="utf-8"), path=path)
    notebook.metadata.kernelspec.name = "python3"
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": workplace}}
    )
    client.execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    shown = [output for cell in cells for output in cell.outputs if "data" in output]
    assert any("image/png" in output.data for output in shown), "no cell shows a figure"
