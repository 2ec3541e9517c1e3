"""The commands, and nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

HELP = """usage: vitatt COMMAND [options]

Skin lesion classification from image and metadata by attention fusion (ViTAtt).

commands:
  fit         train a model:  vitatt fit --config conf/pad.yaml --data.root DIR
  validate    metrics on the inner validation part of a checkpoint's fold
  test        metrics, intervals and predictions on the outer fold
  predict     probabilities of new cases, into a CSV file
  ensemble    the same by several models, averaged
  explain     why a model decided as it did: maps, metadata, tests of both, one HTML report
  robustness  what a model is worth when metadata is missing or wrong, or images are spoilt
  embed       where a model puts the cases: t-SNE of the fused class token
  benchmark   every arm on every fold with every seed, and what sets them apart
  report      one HTML file and a model card of a benchmark or a test run
  summarise   figures of several test runs pooled: all folds together
  associate   which metadata features go with the diagnosis, and which give it away
  check-data  what is in a dataset, and what would spoil a training
  demo-data   write a small synthetic dataset with planted evidence

`vitatt COMMAND --help` lists the options of a command.
"""

OWN = (
    "associate",
    "benchmark",
    "check-data",
    "demo-data",
    "embed",
    "ensemble",
    "explain",
    "report",
    "robustness",
    "summarise",
)
"""Commands with a module of their name and a function of its name; the others are Lightning's."""


def main(args: Sequence[str] | None = None) -> int:
    """Run a command, in the shell or in a test.

    Args:
        args: The command and its options; by default those of the shell.

    Returns:
        The exit status: 0; 1 if `check-data` found a problem; 2 for what the user can put right;
        130 after Ctrl-C. Wrong options exit with 2 by themselves.
    """
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    # Imports are slow here (seconds, for torch), so they wait until a command needs them.
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from vitatt.types import UsageError

    try:
        return _run(words, from_shell=args is None)
    except (UsageError, MisconfigurationException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _run(words: list[str], *, from_shell: bool) -> int:
    if words[0] in OWN:
        name = words[0].replace("-", "_")
        command = getattr(importlib.import_module(f"vitatt.commands.{name}"), name)
        status: int = command(words[1:])
        return status
    from vitatt.commands.training import train

    return train(None if from_shell else words)
