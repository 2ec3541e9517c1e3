"""The command `vitatt study analyse`."""

from __future__ import annotations

import datetime
from pathlib import Path

from vitatt.files import check_folder, write_frame, write_text
from vitatt.paths import user_path
from vitatt.reader_study.outcome.record import read_record
from vitatt.reader_study.outcome.study_outcome import analyse_study
from vitatt.reports.page import is_page
from vitatt.reports.reader_study.findings import primary_sentence, warnings
from vitatt.reports.reader_study.methods import study_methods
from vitatt.reports.reader_study.page import write_study_page
from vitatt.reports.reader_study.tables import study_tables
from vitatt.types import UsageError

_PAGE = "report.html"


def study_analyse(study: str, *, output: str | None = None, interim: bool = False) -> int:
    """Analyse a reader study as its plan specifies: a report, methods, and every table.

    Plan, files and log are verified first; a file or line that was changed is named, and nothing is
    analysed.

    Args:
        study: Folder of a study.
        output: Folder for report.html, methods.md, readings.csv and tables; by default `analysis`
            in the folder of the study.
        interim: Analyse although the study is not over, which unblinds whoever reads the results.

    Returns:
        0.

    Raises:
        UsageError: If the folder is no study, was changed, is not over, has too few readings, or
            the output cannot be written.
    """
    record = read_record(user_path(study, "study"))
    now = datetime.datetime.now(datetime.UTC)
    if not interim and not record.is_over(now):
        raise UsageError(
            f"{record.folder} is not over: {record.readings.height:,} of "
            f"{record.manifest.stopping.readings:,} readings. Results before its end unblind "
            "whoever sees them. To look at them nevertheless, add --interim; the report will say "
            "so."
        )
    place = record.folder / "analysis" if output is None else user_path(output, "--output")
    _check_output(place)
    outcome = analyse_study(record, now)
    check_folder(place, "--output")
    check_folder(place / "tables", "--output")
    write_frame(record.readings, place / "readings.csv")
    for name, table in study_tables(outcome).items():
        write_frame(table, place / "tables" / f"{name}.csv")
    write_text(study_methods(outcome), place / "methods.md")
    write_study_page(place / _PAGE, outcome)
    print("\n".join([*warnings(outcome), primary_sentence(outcome)]))
    print(f"Report: {place / _PAGE}\nMethods: {place / 'methods.md'}\nTables: {place / 'tables'}")
    return 0


def _check_output(folder: Path) -> None:
    """Check that a folder holds nothing, or an earlier report.

    Raises:
        UsageError: If it holds anything else, or is no folder.
    """
    if folder.is_dir() and any(folder.iterdir()) and not is_page(folder / _PAGE):
        raise UsageError(
            f"Expected --output to be a new folder, an empty one, or that of an earlier analysis, "
            f"but {folder} holds other files."
        )
