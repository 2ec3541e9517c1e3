"""The command line: commands by name, and one line instead of a traceback for every error."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata

TRAINER = {
    "fit": "train a model:  vitatt fit --config conf/pad.yaml --data.root DIR",
    "validate": "metrics on the inner validation split of a checkpoint's fold",
    "test": "metrics, intervals and predictions on the outer fold",
}
"""Commands of Lightning's trainer, with a line of help."""

OWN = {
    "predict": "probabilities of new cases, into a CSV file",
    "ensemble": "the same by several models, averaged",
    "serve": "a page and an API of trained models, on this machine",
    "explain": "maps, relevance of metadata and checks of the methods, in one HTML report",
    "export": "a model as ONNX, safetensors or torch.export, compared with the original",
    "push": "a model with its card to the Hugging Face hub",
    "robustness": "metrics with missing or wrong metadata, or with corrupted images",
    "embed": "t-SNE of the fused class token, and separation of the classes",
    "benchmark": "every arm on every fold with every seed, and the comparison of all",
    "sweep": "search hyperparameters over inner folds, or by a sweep of W&B",
    "report": "one HTML file and a model card of a benchmark or a test run",
    "study design": "plan a reader study: cases, arms, power; frozen with digests",
    "study serve": "the readers' pages of a study, on this machine",
    "study analyse": "results of a study: report, methods, every reading and table",
    "study simulate": "simulated readers of a study, written as real ones",
    "summarise": "metrics of several test runs pooled: all folds together",
    "score": "the official score of an ISIC challenge, from predictions and ground truth",
    "associate": "association of each metadata feature with the diagnosis, and label leaks",
    "describe": "draft the YAML file that describes a table of your own",
    "check-data": "content of a dataset, and anything that would spoil a training",
    "datasets": "published datasets, with licence, size, groups and label leaks",
    "download": "fetch and unpack a published dataset; goes on after a cut",
    "demo-data": "write a small synthetic dataset with planted evidence",
    "doctor": "versions, devices, disk, W&B and caches, for a bug report",
}
"""Commands that are functions, ``check-data`` being `vitatt.commands.check_data.check_data`.

``study design`` is `vitatt.commands.study_design.study_design`.
"""

HELP = """usage: vitatt COMMAND [options]

Skin lesion classification from image and metadata by attention fusion (ViTAtt).

commands:
{commands}

`vitatt COMMAND --help` lists the options of a command; `vitatt --version` prints the version.
With --debug, an unexpected error shows its whole traceback at once.
"""

_SYNONYMS = {"train": "fit", "evaluate": "test", "summarize": "summarise"}


def main(args: Sequence[str] | None = None) -> int:
    """Run a command, from the shell or a test.

    Args:
        args: The command and its options; by default those of the shell.

    Returns:
        The exit status: 0; 1 if `check-data` or `doctor` found a problem; 2 for an error that the
        user can correct; 3 for an unexpected error; 130 after Ctrl-C. Wrong options exit with 2 by
        themselves.
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
    except Exception as error:  # noqa: BLE001 (every command ends here)
        # Imported only now, as below: torch takes seconds.
        from vitatt.failures import report_failure

        return report_failure(error, words, debug=debug)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        lines = [f"  {name:14}  {line}" for name, line in (TRAINER | OWN).items()]
        print(HELP.format(commands="\n".join(lines)), end="")
        return 0
    if words[0] == "--version":
        print(f"vitatt {metadata.version('vitatt')}")
        return 0
    if family := _family(words[0]):
        if len(words) == 1 or words[1] in ("-h", "--help"):
            print(_family_help(words[0], family), end="")
            return 0
        if words[1] not in family:
            return _unknown(words[1], family, f"vitatt {words[0]}")
        words = [" ".join(words[:2]), *words[2:]]
    if words[0] in OWN:
        from vitatt.options import run_command

        name = words[0].replace("-", "_").replace(" ", "_")
        function = getattr(importlib.import_module(f"vitatt.commands.{name}"), name)
        return run_command(function, words[1:], words[0])
    if words[0] in TRAINER:
        from vitatt.commands.training import train

        return train(words)
    return _unknown(words[0], [*TRAINER, *dict.fromkeys(name.split()[0] for name in OWN)])


def _family(word: str) -> dict[str, str]:
    """Second words of the commands that begin with a word, with a line of help."""
    names = [name.split() for name in OWN]
    return {name[1]: OWN[" ".join(name)] for name in names if name[0] == word and len(name) > 1}


def _family_help(word: str, family: dict[str, str]) -> str:
    lines = "\n".join(f"  {name:10}  {line}" for name, line in family.items())
    return (
        f"usage: vitatt {word} COMMAND [options]\n\ncommands:\n{lines}\n\n"
        f"`vitatt {word} COMMAND --help` lists the options of a command.\n"
    )


def _unknown(word: str, names: Iterable[str], of: str = "vitatt") -> int:
    known = sorted(names)
    close = difflib.get_close_matches(word, [*known, *(_SYNONYMS if of == "vitatt" else ())], n=1)
    hint = f" Did you mean `{_SYNONYMS.get(close[0], close[0])}`?" if close else ""
    print(
        f"error: {of} has no command '{word}'.{hint} It has: {', '.join(known)}.",
        file=sys.stderr,
    )
    return 2
