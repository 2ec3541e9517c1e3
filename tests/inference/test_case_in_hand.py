"""A case in hand gives what new predictions give, without encoding its image again."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from vitatt.inference import Predictor
from vitatt.inference.case_in_hand import CaseInHand
from vitatt.models.fusion import FUSIONS
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.types import UsageError

pytestmark = pytest.mark.long
ANSWERS = {"age": 55, "itch": "yes", "bleed": False, "region": "NOSE"}


JOINED = functools.partial(AttentionFusion, join_at=2)


@pytest.fixture
def image(demo_root):
    return next((demo_root / "images").iterdir())


@pytest.mark.parametrize("arm", ["vitatt", "film", "image_only", "metadata_only"])
def test_what_a_new_prediction_gives(save, data, image, arm):
    predictor = Predictor.load(save(data, fusion=FUSIONS[arm]), device="cpu")
    case = CaseInHand(predictor, image)
    for answers in ({}, ANSWERS, {**ANSWERS, "itch": "no"}, {"age": 30}):
        expected = predictor.predict(image, answers)
        found = case.predict(answers)
        assert found.missing == expected.missing
        for name, probability in expected.probabilities.items():
            assert found.probabilities[name] == pytest.approx(probability, abs=1e-6)


def test_the_image_is_encoded_once(save, data, image):
    predictor = Predictor.load(save(data), device="cpu")
    case = CaseInHand(predictor, image)
    encoder = predictor.ensemble.models[0].network.encoder
    encoder.embed = lambda pixels: pytest.fail("the encoder ran again")
    case.predict(ANSWERS)
    case.evidence(ANSWERS)
    case.open_questions(ANSWERS)


def test_a_network_without_metadata_asks_nothing(save, data, image):
    predictor = Predictor.load(save(data, fusion=FUSIONS["image_only"]), device="cpu")
    assert predictor.features == ()
    case = CaseInHand(predictor, image)
    assert case.predict({"age": 55}).missing == ()
    assert case.evidence(ANSWERS) == {}
    assert case.open_questions() == []


def test_several_models(save, data, image):
    paths = [save(data, f"{seed}.ckpt", seed=seed, encoder_seed=seed) for seed in (1, 2)]
    predictor = Predictor.load(paths, device="cpu")
    expected = predictor.predict(image, ANSWERS)
    found = CaseInHand(predictor, image).predict(ANSWERS)
    assert list(found.probabilities.values()) == pytest.approx(
        list(expected.probabilities.values()), abs=1e-6
    )


@pytest.mark.parametrize("contrast", [None, "NEV"])
def test_evidence_is_the_change_of_log_odds(save, data, image, contrast):
    predictor = Predictor.load(save(data), device="cpu")
    case = CaseInHand(predictor, image)
    found = case.evidence(ANSWERS, target="MEL", contrast=contrast)
    assert list(found) == [name for name in predictor.features if name in ANSWERS]

    def score(answers):
        p = predictor.predict(image, answers).probabilities
        return math.log(p["MEL"] / (1 - p["MEL"] if contrast is None else p[contrast]))

    for name, value in found.items():
        less = {key: answer for key, answer in ANSWERS.items() if key != name}
        assert value == pytest.approx(score(ANSWERS) - score(less), abs=1e-4)
    assert np.ptp(list(found.values())) > 1e-3
    best = case.predict(ANSWERS).predicted
    assert case.evidence(ANSWERS) == case.evidence(ANSWERS, target=best)


def test_open_questions_are_those_without_an_answer(save, data, image):
    predictor = Predictor.load(save(data), device="cpu")
    case = CaseInHand(predictor, image)
    found = case.open_questions(ANSWERS)
    assert {one.feature for one in found} == {*predictor.features} - {*ANSWERS}
    changes = [one.change for one in found]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 1e-3
    first = found[0]
    before, after = (
        np.array(list(predictor.predict(image, answers).probabilities.values()))
        for answers in (ANSWERS, {**ANSWERS, first.feature: first.answer})
    )
    assert first.change == pytest.approx(np.abs(after - before).sum() / 2, abs=1e-6)
    assert list(first.prediction.probabilities.values()) == pytest.approx(after.tolist(), abs=1e-6)
    assert first.feature not in first.prediction.missing


def test_a_model_whose_metadata_joins_inside_the_encoder(save, data, image):
    predictor = Predictor.load(save(data, fusion=JOINED), device="cpu")
    expected = predictor.predict(image, ANSWERS).probabilities
    found = CaseInHand(predictor, image).predict(ANSWERS).probabilities
    assert list(found.values()) == pytest.approx(list(expected.values()), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "MELL"}, "Expected a class among .*, but got 'MELL'. Did you mean MEL"),
        ({"target": "MEL", "contrast": "MEL"}, "two different classes to contrast, but both are"),
        ({"contrast": "X"}, "but got 'X'"),
    ],
)
def test_wrong_classes(save, data, image, options, message):
    case = CaseInHand(Predictor.load(save(data), device="cpu"), image)
    with pytest.raises(UsageError, match=message):
        case.evidence(ANSWERS, **options)


def test_wrong_answers(save, data, image):
    case = CaseInHand(Predictor.load(save(data), device="cpu"), image)
    with pytest.raises(UsageError, match="has no column 'itches'"):
        case.predict({"itches": True})
