"""The report of explanations: an overview, checks of the methods, and a gallery of cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vitatt.explain.cases import ExplainedCase
from vitatt.reports.explanations.gallery import make_gallery
from vitatt.reports.page import write_page
from vitatt.reports.section import Section

_SUBTITLE = (
    "Relevance of image regions and metadata features to the predicted class. Research only: not a "
    "medical device."
)


def write_report(
    path: Path,
    cases: Iterable[ExplainedCase],
    *,
    title: str,
    facts: Mapping[str, str],
    sections: Sequence[Section],
) -> None:
    """Write the report; an earlier one stays until the new one is complete.

    Args:
        path: The HTML file; its folder is made if it is missing.
        cases: One at a time: their pixels are not kept.
        title: Heading of the page.
        facts: Short values by name, shown below the heading.
        sections: Shown before the cases.

    Raises:
        ValueError: If there is no case, an id comes twice, or a case or section is malformed.
    """
    write_page(
        path,
        title=title,
        subtitle=_SUBTITLE,
        facts=facts,
        sections=sections,
        gallery=make_gallery(cases),
    )
