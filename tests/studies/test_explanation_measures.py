"""Measures of explanations against the functions that compute them, and their summary."""

from __future__ import annotations

import itertools
import math

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from tests.tasks import make_batch, make_network, make_task
from vitatt.evaluation.bootstrap import group_bootstrap, mean
from vitatt.explain.checks.faithfulness import faithfulness
from vitatt.explain.checks.localization import centre_gaussian, localize, upsample
from vitatt.explain.checks.sanity import randomisation, stability
from vitatt.explain.methods import explain, predict
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.network import LesionNetwork
from vitatt.studies.explanation_measures import (
    CENTRE,
    MEASURES,
    measure_faithfulness,
    measure_localization,
    measure_sanity,
    summarise_measures,
)
from vitatt.types import LesionBatch

pytestmark = pytest.mark.long

TASK = make_task()
METHODS = ["tmme", "attention", "random"]
COLUMNS = ["case_id", "group", "method", "measure", "value"]
FAITHFULNESS = [
    *("most_relevant_first", "least_relevant_first", "deletion", "insertion", "seconds"),
    *("stability", "randomised_1", "randomised_2", "randomised_3"),
]
LOCALISATION = ["pointing", "mass", "iou"]


def batches() -> list[LesionBatch]:
    """Three cases and two, no id twice."""
    first, second = make_batch(TASK, 3), make_batch(TASK, 2, seed=1)
    return [first, second._replace(case_id=["case_3", "case_4"])]


GROUPS = {f"case_{n}": f"patient_{n // 2}" for n in range(5)}


def masks(count: int, seed: int = 0) -> Tensor:
    """A rectangle in each, (B, 32, 32)."""
    rng = np.random.default_rng(seed)
    lesions = torch.zeros(count, 32, 32, dtype=torch.bool)
    for lesion, top, left in zip(lesions, *rng.integers(0, 20, (2, count)), strict=True):
        lesion[top : top + 12, left : left + 9] = True
    return lesions


def values(table: pl.DataFrame, method: str, measure: str) -> dict[str, float]:
    part = table.filter((pl.col("method") == method) & (pl.col("measure") == measure))
    assert part["case_id"].is_unique().all()
    return dict(part.select("case_id", "value").iter_rows())


def assert_values(table: pl.DataFrame, method: str, measure: str, expected: Tensor) -> None:
    found = values(table, method, measure)
    assert list(found) == [f"case_{n}" for n in range(len(expected))]
    np.testing.assert_allclose(
        list(found.values()), expected.double(), rtol=1e-6, equal_nan=True, err_msg=measure
    )


@pytest.fixture(scope="module")
def network() -> LesionNetwork:
    return make_network(TASK)


@pytest.fixture(scope="module")
def table(network) -> pl.DataFrame:
    tests = (measure_faithfulness, measure_sanity)
    return pl.concat(test(network, batches(), GROUPS, METHODS) for test in tests)


class TestFaithfulness:
    def test_a_row_a_case_method_and_measure(self, table) -> None:
        assert table.columns == COLUMNS
        keys = table.select("case_id", "method", "measure").rows()
        assert sorted(keys) == sorted(itertools.product(GROUPS, METHODS, FAITHFULNESS))
        assert [GROUPS[name] for name in table["case_id"]] == table["group"].to_list()
        assert set(FAITHFULNESS) | set(LOCALISATION) == set(MEASURES)

    @pytest.mark.parametrize("method", METHODS)
    def test_values_are_those_of_the_functions(self, table, network, method) -> None:
        areas: dict[str, list[Tensor]] = {}
        for batch in batches():
            target = predict(network, batch)[:, None]
            relevance = explain(network, batch, target, method=method)
            found = faithfulness(network, batch, target[:, 0], relevance).areas()
            found["stability"] = stability(network, batch, target, relevance, method=method)
            cascade = randomisation(network, batch, target, relevance, method=method, points=3)
            assert len(cascade) == 3
            found |= {f"randomised_{n}": one for n, one in enumerate(cascade.values(), start=1)}
            for name, area in found.items():
                areas.setdefault(name, []).append(area)
        assert set(areas) == set(FAITHFULNESS) - {"seconds"}
        for measure, parts in areas.items():
            assert_values(table, method, measure, torch.cat(parts))

    def test_seconds_are_those_of_the_methods(self, network, monkeypatch) -> None:
        def explain_by(*_, methods):
            found = explain(network, batches()[0], method="random")
            taken = {name: 1.5 * (number + 1) for number, name in enumerate(methods)}
            return {
                name: found._replace(cost=found.cost._replace(seconds=seconds))
                for name, seconds in taken.items()
            }

        monkeypatch.setattr("vitatt.studies.explanation_measures.explain_by", explain_by)
        table = measure_faithfulness(network, batches()[:1], GROUPS, METHODS)
        assert_values(table, METHODS[0], "seconds", torch.full((3,), 0.5))
        assert_values(table, METHODS[1], "seconds", torch.full((3,), 1.0))

    def test_random_relevance_never_notices_the_network(self, table) -> None:
        for measure in FAITHFULNESS[-4:]:
            assert list(values(table, "random", measure).values()) == pytest.approx([1.0] * 5)
        assert min(values(table, "tmme", "randomised_3").values()) < 0.9

    def test_leaves_the_network_as_it_was(self, network) -> None:
        before = {name: value.clone() for name, value in network.state_dict().items()}
        network.train()
        for test in (measure_faithfulness, measure_sanity):
            test(network, batches()[:1], GROUPS, ["tmme"])
            assert network.training
        network.eval()
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class TestLocalization:
    def pairs(self) -> list[tuple[LesionBatch, Tensor]]:
        return [(batch, masks(len(batch.target), n)) for n, batch in enumerate(batches())]

    @pytest.mark.parametrize("arguments", [{}, {"fusion": ImageOnly}], ids=["fusion", "image"])
    def test_values_are_those_of_the_functions(self, arguments) -> None:
        network = make_network(TASK, **arguments)
        table = measure_localization(network, self.pairs(), GROUPS, METHODS)
        assert table.columns == COLUMNS
        keys = table.select("case_id", "method", "measure").rows()
        assert sorted(keys) == sorted(itertools.product(GROUPS, [*METHODS, CENTRE], LOCALISATION))
        assert [GROUPS[name] for name in table["case_id"]] == table["group"].to_list()
        for method in [*METHODS, CENTRE]:
            found = []
            for batch, lesions in self.pairs():
                if method == CENTRE:
                    maps = centre_gaussian((2, 2)).expand(len(lesions), -1, -1)
                else:
                    maps = explain(network, batch, method=method).patches[:, 0]
                found.append(localize(upsample(maps, (32, 32)), lesions))
            for measure in LOCALISATION:
                parts = [getattr(one, measure) for one in found]
                assert_values(table, method, measure, torch.cat(parts))

    def test_the_centre_does_not_depend_on_the_network(self) -> None:
        tables = [
            measure_localization(make_network(TASK, seed=seed), self.pairs(), GROUPS, ["tmme"])
            for seed in (0, 1)
        ]
        for measure in LOCALISATION:
            one, other = (values(table, CENTRE, measure) for table in tables)
            assert one == other
        one, other = (values(table, "tmme", "mass") for table in tables)
        assert one != other

    def test_a_mask_that_is_empty_is_refused(self) -> None:
        batch = batches()[0]
        empty = masks(3) & False
        with pytest.raises(ValueError, match=r"none in \[0, 1, 2\]"):
            measure_localization(make_network(TASK), [(batch, empty)], GROUPS, ["random"])


# The summary.


def rows(measure: str, method: str, numbers: list[float]) -> pl.DataFrame:
    """Of cases 0, 1, ..., two of a group, but for the last group of three."""
    count = len(numbers)
    groups = [f"g{min(n // 2, count // 2 - 1)}" for n in range(count)]
    return pl.DataFrame(
        {
            "case_id": [f"c{n}" for n in range(count)],
            "group": groups,
            "method": method,
            "measure": measure,
            "value": numbers,
        }
    )


def random_numbers(seed: int, count: int = 11) -> list[float]:
    return np.random.default_rng(seed).random(count).tolist()


def row_of(summary: pl.DataFrame, measure: str, method: str) -> dict[str, object]:
    part = summary.filter((pl.col("measure") == measure) & (pl.col("method") == method))
    return part.row(0, named=True)


def expected_interval(numbers: np.ndarray, groups: list[str]) -> tuple[float, float, float]:
    return group_bootstrap(mean, numbers[:, None], np.zeros(len(numbers)), groups)


def test_means_differences_and_their_intervals() -> None:
    numbers = {method: np.array(random_numbers(n)) for n, method in enumerate(METHODS)}
    shuffled = rows("deletion", "attention", list(numbers["attention"])).sample(
        fraction=1, shuffle=True, seed=3
    )
    measured = pl.concat(
        [shuffled, *(rows("deletion", m, list(numbers[m])) for m in ("tmme", "random"))]
    )
    summary = summarise_measures(measured)
    assert summary.height == 3
    groups = rows("deletion", "tmme", random_numbers(0))["group"].to_list()
    for method in METHODS:
        row = row_of(summary, "deletion", method)
        assert row["better"] == "lower"
        assert (row["cases"], row["groups"]) == (11, 5)
        assert row["value"] == pytest.approx(np.mean(numbers[method]), rel=1e-12)
        found = [row[name] for name in ("value", "low", "high")]
        assert found == pytest.approx(expected_interval(numbers[method], groups), rel=1e-12)
        assert row["low"] < row["value"] < row["high"]
        apart = [row[f"difference{part}"] for part in ("", "_low", "_high")]
        if method == "tmme":
            assert apart == [None] * 3
            continue
        difference = numbers[method] - numbers["tmme"]
        assert apart[0] == pytest.approx(np.mean(difference), rel=1e-9)
        assert apart == pytest.approx(expected_interval(difference, groups), rel=1e-9)


def test_differences_are_paired() -> None:
    tmme = np.array(random_numbers(0))
    measured = pl.concat([rows("iou", "tmme", list(tmme)), rows("iou", "random", list(tmme - 0.1))])
    row = row_of(summarise_measures(measured), "iou", "random")
    apart = [row[f"difference{part}"] for part in ("", "_low", "_high")]
    assert apart == pytest.approx([-0.1] * 3)
    assert row["high"] - row["low"] > 0.1, "cases differ far more than the methods"


def test_another_reference_and_none() -> None:
    measured = pl.concat(rows("iou", method, random_numbers(n)) for n, method in enumerate(METHODS))
    summary = summarise_measures(measured, reference="attention")
    assert row_of(summary, "iou", "attention")["difference"] is None
    expected = np.mean(random_numbers(0)) - np.mean(random_numbers(1))
    assert row_of(summary, "iou", "tmme")["difference"] == pytest.approx(expected)
    without = summarise_measures(measured.filter(pl.col("method") != "tmme"))
    assert without.columns == summary.columns
    for part in ("difference", "difference_low", "difference_high"):
        assert without[part].null_count() == 2
        assert summarise_measures(measured.filter(pl.col("method") == "tmme"))[part][0] is None


@pytest.mark.parametrize(
    ("measure", "better", "order"),
    [
        ("deletion", "lower", ["attention", "tmme", "random"]),
        ("insertion", "higher", ["random", "tmme", "attention"]),
        ("randomised_2", "nearer to 0", ["random", "tmme", "attention"]),
    ],
)
def test_the_best_comes_first(measure, better, order) -> None:
    middle = {"tmme": 0.3, "attention": -0.6, "random": 0.1}
    if better != "nearer to 0":
        middle = {"tmme": 0.3, "attention": 0.1, "random": 0.6}
    measured = pl.concat(
        rows(measure, method, [value - 0.05, value + 0.05]) for method, value in middle.items()
    )
    summary = summarise_measures(measured)
    assert summary["method"].to_list() == order
    assert summary["better"].unique().to_list() == [better]


def test_measures_stay_in_their_order() -> None:
    names = ["mass", "deletion", "stability"]
    measured = pl.concat(rows(name, "tmme", [0.1, 0.2]) for name in names)
    assert summarise_measures(measured)["measure"].to_list() == names


def test_values_that_are_not_defined_are_left_out() -> None:
    one, tmme = np.array(random_numbers(1)), np.array(random_numbers(0))
    one[[0, 1, 4]] = np.nan  # the whole of the first group
    tmme[5] = np.nan
    measured = pl.concat([rows("mass", "random", list(one)), rows("mass", "tmme", list(tmme))])
    summary = summarise_measures(measured)
    row = row_of(summary, "mass", "random")
    assert (row["cases"], row["groups"]) == (8, 4)
    assert row["value"] == pytest.approx(np.nanmean(one))
    assert row["difference"] == pytest.approx(np.nanmean(one - tmme))
    assert (row_of(summary, "mass", "tmme")["cases"]) == 10
    assert all(math.isfinite(row[name]) for name in ("low", "high", "difference_low"))


def test_the_mass_of_a_map_without_relevance_is_left_out(monkeypatch) -> None:
    def explain_by(network, batch, *, methods):
        found = explain(network, batch, method="random")
        found.patches[1] = 0
        return {"tmme": found}

    monkeypatch.setattr("vitatt.studies.explanation_measures.explain_by", explain_by)
    batch = batches()[0]
    table = measure_localization(make_network(TASK), [(batch, masks(3))], GROUPS, ["tmme"])
    found = values(table, "tmme", "mass")
    assert math.isnan(found["case_1"])
    row = row_of(summarise_measures(table), "mass", "tmme")
    assert row["cases"] == 2
    assert row["value"] == pytest.approx((found["case_0"] + found["case_2"]) / 2)


@pytest.mark.parametrize("measure", ["mass", "deletion", "randomised_1"])
def test_a_method_without_any_value_comes_last(measure) -> None:
    nothing = rows(measure, "attention", [math.nan] * 4)
    others = [rows(measure, name, random_numbers(n, 4)) for n, name in enumerate(("tmme", CENTRE))]
    for order in itertools.permutations([nothing, *others]):
        summary = summarise_measures(pl.concat(order))
        assert summary["method"][2] == "attention"
        row = row_of(summary, measure, "attention")
        assert (row["cases"], row["groups"]) == (0, 0)
        assert math.isnan(row["value"])
        assert math.isnan(row["difference"])
