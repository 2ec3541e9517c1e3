"""Differences are measured on every output, and a network that differs is not exported."""

from __future__ import annotations

import numpy as np
import pytest

from tests.export.test_every_network import VIEWS, make, task_of
from vitatt.export.graph import PlainGraph
from vitatt.export.made_cases import in_batches, made_cases, made_rows
from vitatt.export.parity import Parity, compare, require_parity, run_graph
from vitatt.types import UsageError


@pytest.fixture(scope="module")
def graph() -> PlainGraph:
    return PlainGraph(*make("vitatt", "test_vit"))


@pytest.fixture(scope="module")
def cases():
    return made_cases(task_of(), 5)


def test_no_difference_to_itself(graph, cases):
    found = compare(graph, lambda part: run_graph(graph, part), in_batches(cases, (2, 3)))
    assert found.cases == 5
    assert found.largest == 0


@pytest.mark.parametrize("output", ["logits", "embedding", "attention_patches"])
def test_the_largest_difference_of_any_output(graph, cases, output):
    def other(part):
        found = run_graph(graph, part)
        changed = found[output].copy()
        changed[0, 0] += 0.01
        return {**found, output: changed}

    found = compare(graph, other, [cases])
    scale = max(1.0, float(np.abs(run_graph(graph, cases)[output]).max()))
    assert found.differences[output] == pytest.approx(0.01 / scale, rel=1e-3)
    assert all(not value for name, value in found.differences.items() if name != output)
    with pytest.raises(UsageError, match=rf"^It differs .* by .* in its {output} on 5 cases"):
        require_parity(found, "It")


def test_what_is_no_number_differs(graph, cases):
    def broken(part):
        return {name: np.full_like(one, np.nan) for name, one in run_graph(graph, part).items()}

    assert compare(graph, broken, [cases]).largest == float("inf")


def test_what_is_allowed():
    require_parity(Parity(1, {"logits": 1e-4}), "It")
    with pytest.raises(UsageError, match=r"at most 0.0001 is allowed: it was not written"):
        require_parity(Parity(1, {"logits": 1.1e-4}), "It")


def test_made_cases_are_complete_empty_and_between():
    task = task_of(views=VIEWS)
    cases, again = made_cases(task, 40), made_cases(task, 40)
    assert all(np.array_equal(one, other) for one, other in zip(cases[:4], again[:4], strict=True))
    assert not cases.missing[0].any()
    assert cases.missing[1].all()
    assert 0.1 < cases.missing[2:].mean() < 0.5
    assert not cases.absent[0].any()
    assert cases.absent.any()
    assert not cases.absent.all(axis=1).any()
    assert cases.pixels.shape == (40, 3, 64, 32)
    rows = made_rows(task, 40)
    missing = [[row[feature.name] is None for feature in task.features] for row in rows]
    assert np.array_equal(missing, cases.missing)
