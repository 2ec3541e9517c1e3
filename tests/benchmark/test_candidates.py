"""Tuned arms become candidates to choose from."""

from __future__ import annotations

import re

import pytest

from vitatt.benchmark.candidates import with_candidates
from vitatt.benchmark.plan import Arm
from vitatt.types import UsageError

RATE, DEPTH = "model.learning_rate", "model.fusion.init_args.depth"


def test_every_combination_is_a_candidate():
    film = Arm("FiLM", "Perez", ["film.yaml"], {"seed_everything": 1, RATE: 9.0}, average=2)
    tuned = Arm(**{**vars(film), "tune": {RATE: [1e-4, "1e-3"], DEPTH: [1, 2]}})
    arms, candidates = with_candidates({"plain": Arm("Plain"), "film": tuned})
    assert candidates == ("film-0.0001-1", "film-0.0001-2", "film-1e-3-1", "film-1e-3-2")
    assert list(arms) == ["plain", *candidates, "film"]
    assert arms["film"] == Arm("FiLM", "Perez", choose_from=candidates, average=2)
    for name in candidates:
        _, rate, depth = re.split("-(?=1e|0|[12]$)", name)
        assert arms[name].configs == ["film.yaml"]
        assert not arms[name].tune
        found = arms[name].settings
        assert found["seed_everything"] == 1
        assert (str(found[RATE]), str(found[DEPTH])) == (rate, depth)


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (Arm("X", tune={RATE: []}), r"`arms\.x\.tune` to name options with values to choose from"),
        (Arm("X", tune={RATE: [1]}), r"`arms\.x\.tune` to name options with values to choose from"),
        (Arm("X", tune={RATE: [1, 1]}), r"two arms are named 'x-1'"),
        (Arm("X", tune={RATE: [1, 7]}), r"two arms are named 'x-7'"),
        (Arm("X", tune={RATE: [1, 2]}, choose_from=["y"]), r"`arms\.x` to have `tune` or one of"),
        (Arm("X", tune={RATE: [1, 2]}, classical="gradient_boosting"), "only options of a network"),
    ],
)
def test_what_cannot_be_tuned_is_refused(arm, message):
    with pytest.raises(UsageError, match=message):
        with_candidates({"x-7": Arm("Seven"), "x": arm})
