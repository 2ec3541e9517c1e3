"""Sections of the checks of explanation methods."""

from __future__ import annotations

from collections.abc import Sequence

from vitatt.reports.section import Plot, Section, plain_table
from vitatt.studies.check_result import CheckResult


def check_sections(results: Sequence[CheckResult]) -> list[Section]:
    """One section for each check: text, figure, and table.

    Args:
        results: Of the studies, in the order of the page.
    """
    return [_section(result) for result in results]


def _section(result: CheckResult) -> Section:
    return Section(
        result.title,
        [result.text] if result.text else [],
        tables=[plain_table(result.title, result.columns, result.rows)] if result.columns else [],
        plots=[] if result.figure is None else [Plot(result.figure, result.figure_alt)],
        plots_first=True,
    )
