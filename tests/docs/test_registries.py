"""Pages name what the registries and the command line have, all of it and nothing else."""

from __future__ import annotations

import inspect
import re

from tests.docs.blocks import DOCS, ROOT, blocks, command_of, commands
from vitatt.cli import OWN, TRAINER
from vitatt.data.datasets import DATASETS
from vitatt.explain.methods import METHODS
from vitatt.models.fusion import FUSIONS
from vitatt.training import SECTIONS


def first_column(page: str, heading: str) -> list[str]:
    """Code in the first column of the first table with a heading."""
    text = (DOCS / page).read_text(encoding="utf-8")
    table = text.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`(.*?)`", cell)]


def test_networks():
    assert set(first_column("configuration.md", "name")) == set(FUSIONS)


def test_methods():
    assert first_column("explanations.md", "`--methods`") == list(METHODS)


def test_datasets():
    assert sorted(first_column("datasets.md", "`data.dataset`")) == sorted(DATASETS)


def test_sections():
    others = {"trainer", "seed_everything", "ckpt_path"}
    assert set(first_column("configuration.md", "section")) == set(SECTIONS) | others


def test_keys():
    arguments = {
        f"{section}.{name}"
        for section, kind in SECTIONS.items()
        for name in inspect.signature(kind).parameters
    }
    assert set(first_column("configuration.md", "key")) == arguments - {"data.task", "model.task"}


def test_commands():
    readme = [block for block in blocks(ROOT / "README.md") if block.language == "bash"]
    every = [words for block in readme for words in commands(block.text)]
    named = [command_of(words[1:]) for words in every if words[0] == "vitatt"]
    assert sorted(named) == sorted({*TRAINER, *OWN} - {"validate"})
