"""The command `vitatt report`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from vitatt.files import check_writable, write_text
from vitatt.paths import user_path
from vitatt.reports.benchmark.model_card import is_card, model_card
from vitatt.reports.benchmark.sections import report_sections
from vitatt.reports.benchmark.source import Source, read_benchmark, read_run
from vitatt.reports.page import is_page, write_page
from vitatt.types import UsageError


def report(folder: str, *, output: str | None = None) -> int:
    """Write a benchmark or a test run as one HTML page, and a model card in Markdown.

    Args:
        folder: Folder of `vitatt benchmark`, or of a run of `vitatt test`.
        output: The HTML file; by default report.html in that folder. The model card
            (model_card.md) is written beside it.

    Returns:
        0.

    Raises:
        UsageError: If the folder is neither of a benchmark nor of a test run, is not finished or
            was changed, or a file cannot be written or is of something else.
    """
    place = user_path(folder, "folder")
    path = place / "report.html" if output is None else user_path(output, "--output")
    card = path.with_name("model_card.md")
    reader = _reader(place)
    _check_output(path, card)
    source = reader(place)
    facts = source.facts
    kind = "Test run" if facts.one_model else "Benchmark"
    write_page(
        path,
        title=f"{kind}: {facts.title}",
        subtitle="Metrics with 95 % intervals, on cases that no model was trained on. "
        "Research only: not a medical device.",
        facts=_short_facts(source),
        sections=report_sections(facts, source.predictions, source.tables),
    )
    write_text(model_card(facts, source.tables), card)
    print(f"Report: {path}\nModel card: {card}")
    return 0


def _reader(folder: Path) -> Callable[[Path], Source]:
    """The function that reads this kind of folder.

    Raises:
        UsageError: If it is neither of a benchmark nor of a test run.
    """
    if os.path.exists(folder / "protocol.json"):  # noqa: PTH110 (it may be forbidden to look)
        return read_benchmark
    if os.path.exists(folder / "config.yaml"):  # noqa: PTH110
        return read_run
    raise UsageError(
        f"Expected {folder} to be the output folder of `vitatt benchmark`, with protocol.json, or "
        "the run folder of `vitatt test`, with config.yaml and predictions.parquet, but it holds "
        "neither."
    )


def _check_output(path: Path, card: Path) -> None:
    """Check that page and card can be written, and overwrite only those of an earlier report.

    Raises:
        UsageError: If they cannot, or another file is there.
    """
    for file, what, is_own in ((path, "--output", is_page), (card, "the model card", is_card)):
        check_writable(file, what, again=True)
        if os.path.lexists(file) and not is_own(file):
            raise UsageError(
                f"{file} exists already and is no {'report' if is_own is is_page else 'model card'}"
                " of vitatt, so that it is not written over. Name another --output, or remove it."
            )


def _short_facts(source: Source) -> dict[str, str]:
    """Values shown below the heading of the page, by name."""
    facts = source.facts
    shown = {
        "dataset": facts.title,
        "cases": f"{facts.cases:,}",
        f"{facts.group}s": f"{facts.groups:,}",
    }
    if facts.one_model:
        shown["outer fold"] = f"{facts.fold} (of {facts.num_folds})"
    else:
        shown |= {"arms": f"{len(facts.arms)}", "outer folds": f"{facts.num_folds}"}
    if facts.seeds:
        name = "seeds" if len(facts.seeds) > 1 else "seed"
        shown[name] = ", ".join(map(str, facts.seeds))
    if facts.encoder:
        shown["encoder"] = facts.encoder
    return shown
