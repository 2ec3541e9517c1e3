"""report: a benchmark or a test run as one HTML page, and a model card in Markdown."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser

from vitatt.commands.report_source import Source, read_benchmark, read_run
from vitatt.evaluation.benchmark_report import report_sections
from vitatt.evaluation.model_card import model_card
from vitatt.evaluation.report_page import write_page
from vitatt.types import UsageError


def report(options: list[str]) -> int:
    """Write ``report.html`` and ``model_card.md``."""
    parser = ArgumentParser(prog="vitatt report", description=(__doc__ or "").split(": ")[1])
    parser.add_argument(
        "folder", type=Path, help="of `vitatt benchmark`, or of a run of `vitatt test`"
    )
    parser.add_argument(
        "--output",
        type=Path | None,
        default=None,
        help="the HTML file; by default report.html in that folder. The model card goes beside it",
    )
    settings = parser.parse_args(options)
    source = _read(settings.folder)
    facts = source.facts
    path = settings.output or settings.folder / "report.html"
    if path.is_dir():
        raise UsageError(f"Expected `output` to be a file, but got the folder {path}.")
    kind = "Test run" if facts.one_model else "Benchmark"
    try:
        write_page(
            path,
            title=f"{kind}: {facts.title}",
            subtitle="Figures with 95 % intervals, on cases that no model was trained on. "
            "Research only: not a medical device.",
            facts=_short_facts(source),
            sections=report_sections(facts, source.predictions, source.tables),
        )
        card = path.with_name("model_card.md")
        card.write_text(model_card(facts, source.tables), encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"Could not write the report to {path}: {error}") from error
    print(f"Report: {path}\nModel card: {card}")
    return 0


def _read(folder: Path) -> Source:
    """What the folder holds.

    Raises:
        UsageError: If it is neither of a benchmark nor of a test run, or incomplete.
    """
    if (folder / "protocol.json").is_file():
        return read_benchmark(folder)
    if (folder / "config.yaml").is_file():
        return read_run(folder)
    raise UsageError(
        f"Expected {folder} to be the output folder of `vitatt benchmark`, with protocol.json, or "
        "the run folder of `vitatt test`, with config.yaml and predictions.parquet, but it holds "
        "neither."
    )


def _short_facts(source: Source) -> dict[str, str]:
    facts = source.facts
    return {
        "dataset": facts.title,
        "cases": f"{facts.cases:,}",
        f"{facts.group}s": f"{facts.groups:,}",
        **({} if facts.one_model else {"arms": f"{len(facts.arms)}"}),
        **(
            {"outer fold": f"{facts.fold} (of {facts.num_folds})"}
            if facts.one_model
            else {"outer folds": f"{facts.num_folds}"}
        ),
        "seeds" if len(facts.seeds) > 1 else "seed": ", ".join(map(str, facts.seeds)),
        **({"encoder": facts.encoder} if facts.encoder else {}),
    }
