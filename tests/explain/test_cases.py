"""A batch as explained cases: whose maps, whose bars, whose words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tasks import make_batch, make_network, make_task
from vitatt.explain.cases import ExplainedCase, figure_names
from vitatt.explain.explain_cases import explain_cases
from vitatt.explain.methods import METHODS, explain, predict
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.network import LesionNetwork
from vitatt.plotting.case import case_figure
from vitatt.types import LesionBatch

TASK = make_task()
LABELS = [feature.label for feature in TASK.features]
RIGHT, UNKNOWN = [1, 4], 5
WRONG = [0, 2, 3]


@pytest.fixture(scope="module")
def network() -> LesionNetwork:
    return make_network(TASK)


def mixed(network: LesionNetwork) -> tuple[LesionBatch, torch.Tensor]:
    """Six cases, right and wrong in turns, the last of unknown diagnosis; and their prediction."""
    batch = make_batch(TASK, 6)
    predicted = predict(network, batch)
    target = predicted.clone()
    target[WRONG] = (predicted[WRONG] + torch.tensor([1, 2, 3])) % 4
    target[UNKNOWN] = -1
    return batch._replace(target=target), predicted


def words(count: int = 6) -> list[list[str | None]]:
    return [[f"value {n}.{k}" for k in range(4)] for n in range(count)]


def explained(network: LesionNetwork, **settings) -> list[ExplainedCase]:
    batch, predicted = mixed(network)
    return explain_cases(network, batch, predicted, TASK, words(), **settings)


def close(one, other) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)


def test_order_is_kept_where_right_and_wrong_mix(network) -> None:
    batch, predicted = mixed(network)
    cases = explained(network)
    assert [case.case_id for case in cases] == [f"case_{n}" for n in range(6)]
    probabilities = explain(network, batch).logits.softmax(1)
    for number, case in enumerate(cases):
        np.testing.assert_array_equal(case.image, batch.pixels[number].permute(1, 2, 0))
        assert list(case.probabilities) == list(TASK.classes)
        close(list(case.probabilities.values()), probabilities[number])
        assert case.predicted_class == TASK.classes[predicted[number]]
        known = number != UNKNOWN
        assert case.true_class == (TASK.classes[batch.target[number]] if known else None)
        given = [
            None if gap else f"value {number}.{k}" for k, gap in enumerate(batch.missing[number])
        ]
        assert list(case.feature_values) == given
        assert list(case.feature_labels) == LABELS
    assert {value is None for case in cases for value in case.feature_values} == {True, False}


def test_maps_and_bars_of_the_true_class_only_where_wrong(network) -> None:
    for number, case in enumerate(explained(network)):
        verdicts = [f"predicted {case.predicted_class}"]
        if number in WRONG:
            verdicts.append(f"true {case.true_class}")
            assert case.true_class != case.predicted_class
        titles = ["attention", *(f"TMME: {verdict}" for verdict in verdicts)]
        assert list(case.maps) == titles
        assert list(case.map_features) == titles
        assert list(case.feature_relevance) == verdicts


def test_relevance_is_that_of_explain(network) -> None:
    batch, predicted = mixed(network)
    attention = explain(network, batch, method="attention")
    of_predicted = explain(network, batch, predicted[:, None])
    of_true = explain(network, batch, batch.target.clamp(min=0)[:, None])
    for number, case in enumerate(explained(network)):
        expected = {"attention": attention, f"TMME: predicted {case.predicted_class}": of_predicted}
        if number in WRONG:
            expected[f"TMME: true {case.true_class}"] = of_true
        assert set(case.maps) == set(expected)
        for title, relevance in expected.items():
            close(case.maps[title], relevance.patches[number, 0])
            close(case.map_features[title], relevance.features[number, 0])
        bars = list(case.feature_relevance.values())
        close(bars[0], of_predicted.features[number, 0])
        if number in WRONG:
            close(bars[1], of_true.features[number, 0])
            observed = not batch.missing[number].all()
            assert np.allclose(bars[0], bars[1], rtol=1e-2) != observed
        assert case.image_share == pytest.approx(
            float(of_predicted.image_share[number, 0]), rel=1e-4
        )


@pytest.mark.parametrize("kind", [RIGHT, WRONG, [UNKNOWN]], ids=["right", "wrong", "unknown"])
def test_a_batch_of_one_kind(network, kind) -> None:
    batch, predicted = mixed(network)
    texts = [words()[number] for number in kind]
    cases = explain_cases(network, batch.cases(kind), predicted[kind], TASK, texts)
    assert [case.case_id for case in cases] == [f"case_{number}" for number in kind]
    assert {len(case.maps) for case in cases} == {3 if kind is WRONG else 2}
    together = explained(network)
    for case, number in zip(cases, kind, strict=True):
        for title, relevance in case.maps.items():
            close(relevance, together[number].maps[title])


@pytest.mark.parametrize(
    ("methods", "titles", "main"),
    [
        (["grad_cam", "tmme"], ["Grad-CAM", "TMME"], "tmme"),
        (["tmme", "grad_cam", "random"], ["TMME", "Grad-CAM", "random"], "grad_cam"),
        (["random", "rollout", "attention"], ["random", "rollout", "attention"], "attention"),
        (["attention", "random"], ["attention", "random"], "random"),
        (["random"], ["random"], "random"),
        (list(METHODS), None, "occlusion"),
    ],
)
@pytest.mark.long
def test_maps_in_the_order_asked_for_and_the_bars_of_the_last(
    network, methods, titles, main
) -> None:
    batch, predicted = mixed(network)
    relevance = explain(network, batch, predicted[:, None], method=main)
    for number, case in enumerate(explained(network, methods=methods)):
        found = list(dict.fromkeys(title.split(":")[0] for title in case.maps))
        assert titles is None or found == titles
        assert len(found) == len(methods)
        assert sum(case.probabilities.values()) == pytest.approx(1)
        assert case.predicted_class == TASK.classes[predicted[number]]
        close(
            case.feature_relevance[f"predicted {case.predicted_class}"],
            relevance.features[number, 0],
        )


def test_features_in_one_token() -> None:
    network = make_network(TASK, granularity="joint")
    for case in explained(network):
        assert list(case.feature_labels) == ["all metadata"]
        assert list(case.feature_values) == ["4 features in one token"]
        assert {relevance.shape for relevance in case.map_features.values()} == {(1,)}
        assert {relevance.shape for relevance in case.feature_relevance.values()} == {(1,)}
        assert 0 < case.image_share <= 1
        assert case_figure(case).ndim == 3


def test_a_network_without_metadata() -> None:
    network = make_network(TASK, fusion=ImageOnly)
    for number, case in enumerate(explained(network)):
        assert not case.feature_labels
        assert not case.feature_values
        assert case.feature_relevance is None
        assert case.image_share is None
        assert len(case.maps) == (3 if number in WRONG else 2)
        assert {relevance.shape for relevance in case.map_features.values()} == {(0,)}
        assert case_figure(case).ndim == 3


def test_no_share_where_nothing_is_relevant(network, monkeypatch) -> None:
    def nothing(network, batch, target, *, methods):
        found = explain(network, batch, target)
        found.patches.zero_()
        found.features.zero_()
        return {"tmme": found}

    monkeypatch.setattr("vitatt.explain.explain_cases.explain_by", nothing)
    for case in explained(network, methods=["tmme"]):
        assert case.image_share is None
        assert not case.feature_relevance[f"predicted {case.predicted_class}"].any()


def test_a_method_that_does_not_apply_is_refused(network) -> None:
    batch, predicted = mixed(network)
    tokens = batch.with_tokens(torch.zeros(6, 5, 64))
    with pytest.raises(ValueError, match="Expected pixels"):
        explain_cases(network, tokens, predicted, TASK, words())


def test_too_few_words_are_refused(network) -> None:
    batch, predicted = mixed(network)
    with pytest.raises(ValueError, match="zip"):
        explain_cases(network, batch, predicted, TASK, [text[:3] for text in words()])


def test_the_prediction_is_the_one_that_was_explained(network) -> None:
    """Another batch size or precision may tip a case that is nearly a tie."""
    batch, predicted = mixed(network)
    tipped = (predicted + 1) % len(TASK.classes)
    for number, case in enumerate(explain_cases(network, batch, tipped, TASK, words())):
        name = TASK.classes[tipped[number]]
        assert case.predicted_class == name
        assert case.probability == case.probabilities[name]
        assert f"TMME: predicted {name}" in case.maps


@pytest.mark.parametrize(
    ("case_ids", "names"),
    [
        (["PAT_1.png", "ISIC_2.JPG", "patient.1"], ["PAT_1", "ISIC_2", "patient.1"]),
        (["a/1.png", "b/1.png", "1.jpg"], ["1", "1-2", "1-3"]),
        (["1.png", "1-2", "1.jpg"], ["1", "1-2", "1-3"]),
    ],
)
def test_files_of_cases_have_their_names_and_never_one_for_two(
    case_ids: list[str], names: list[str]
) -> None:
    assert figure_names(case_ids) == names
