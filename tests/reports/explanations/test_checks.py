from __future__ import annotations

import numpy as np

from vitatt.evaluation.bootstrap import Interval
from vitatt.reports.explanations.checks import check_sections
from vitatt.reports.section import check_sections as check
from vitatt.studies.check_result import CheckResult

FIGURE = np.zeros((40, 1280, 3), dtype=np.uint8)
RESULTS = [
    CheckResult(
        "Pointing game",
        "Higher is better.",
        ["method", "mean [95 %]", "minus TMME [95 %]"],
        [
            ["TMME", Interval(0.61234, 0.5, 0.7), None],
            ["random", Interval(0.1, 0.05, 0.2), Interval(-0.5, -0.6, -0.4)],
        ],
        FIGURE,
        "Pointing game, by method",
    ),
    CheckResult("Metadata agreement", "All features share one token: nothing to rank."),
    CheckResult("Words", "", ["feature", "n"], [["age", 3]]),
]


def test_each_result_is_a_section_with_its_text_figure_and_table() -> None:
    sections = check_sections(RESULTS)
    check(sections)
    assert [section.title for section in sections] == [result.title for result in RESULTS]
    first = sections[0]
    assert first.paragraphs == ["Higher is better."]
    (plot,) = first.plots
    assert plot.pixels is FIGURE
    assert plot.alt == "Pointing game, by method"
    assert plot.size == (640, 20)
    (table,) = first.tables
    assert [column.title for column in table.columns] == RESULTS[0].columns
    assert [column.number for column in table.columns] == [False, True, True]
    assert [[str(cell) for cell in row] for row in table.rows] == [
        ["TMME", "0.612 [0.500, 0.700]", "–"],
        ["random", "0.100 [0.050, 0.200]", "−0.500 [−0.600, −0.400]"],
    ]
    assert table.rows[0][1].value == 0.61234  # sorted by the full value


def test_what_a_check_does_not_give_is_left_out() -> None:
    _, alone, words = check_sections(RESULTS)
    assert (alone.tables, alone.plots) == ([], [])
    assert words.paragraphs == []
    assert [[cell.text for cell in row] for row in words.tables[0].rows] == [["age", "3"]]
