"""The commands, and the net below them: no error ends in a traceback."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from importlib import metadata

HELP = """usage: vitatt COMMAND [options]

Skin lesion classification from image and metadata by attention fusion (ViTAtt).

commands:
  fit         train a model:  vitatt fit --config conf/pad.yaml --data.root DIR
  validate    metrics on the inner validation split of a checkpoint's fold
  test        metrics, intervals and predictions on the outer fold
  predict     probabilities of new cases, into a CSV file
  ensemble    the same by several models, averaged
  explain     why a model decided as it did: maps, metadata, tests of both, one HTML report
  robustness  what a model is worth when metadata is missing or wrong, or images are spoilt
  embed       where a model puts the cases: t-SNE of the fused class token
  benchmark   every arm on every fold with every seed, and what sets them apart
  report      one HTML file and a model card of a benchmark or a test run
  summarise   metrics of several test runs pooled: all folds together
  associate   which metadata features go with the diagnosis, and which give it away
  check-data  what is in a dataset, and what would spoil a training
  demo-data   write a small synthetic dataset with planted evidence
  doctor      versions, devices, disk, W&B and caches: what to send with a bug report

`vitatt COMMAND --help` lists the options of a command; `vitatt --version` tells the version.
With --debug, an unexpected error shows its whole traceback at once.
"""

TRAINER = ("fit", "validate", "test", "predict")
"""Commands of Lightning's trainer."""

OWN = (
    "associate",
    "benchmark",
    "check-data",
    "demo-data",
    "doctor",
    "embed",
    "ensemble",
    "explain",
    "report",
    "robustness",
    "summarise",
)
"""Commands with a module of their name and a function of its name."""

_SYNONYMS = {"train": "fit", "evaluate": "test", "summarize": "summarise"}


def main(args: Sequence[str] | None = None) -> int:
    """Run a command, in the shell or in a test.

    Args:
        args: The command and its options; by default those of the shell.

    Returns:
        The exit status: 0; 1 if `check-data` or `doctor` found a problem; 2 for what the user can
        put right; 3 for an error that nobody foresaw; 130 after Ctrl-C. Wrong options exit with 2
        by themselves.
    """
    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        status = _run(words)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `vitatt ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # noqa: BLE001 (the net below all commands)
        # Imports are slow here (seconds, for torch), so they wait until they are needed.
        from vitatt.failures import report_failure

        return report_failure(error, words, debug=debug)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if words[0] == "--version":
        print(f"vitatt {metadata.version('vitatt')}")
        return 0
    if words[0] not in (*TRAINER, *OWN):
        return _unknown(words[0])
    if words[0] in OWN:
        from vitatt.config_files import check_config_files

        check_config_files(words)
        name = words[0].replace("-", "_")
        command = getattr(importlib.import_module(f"vitatt.commands.{name}"), name)
        status: int = command(words[1:])
        return status
    from vitatt.commands.training import train

    return train(words)


def _unknown(word: str) -> int:
    known = sorted((*TRAINER, *OWN))
    close = difflib.get_close_matches(word, [*known, *_SYNONYMS], n=1)
    hint = f" Did you mean `{_SYNONYMS.get(close[0], close[0])}`?" if close else ""
    print(
        f"error: vitatt has no command '{word}'.{hint} It has: {', '.join(known)}.",
        file=sys.stderr,
    )
    return 2
