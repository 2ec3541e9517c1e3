"""Explanations of one prediction: any method, any class, the contrast of two, and the figure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.explain.reference_tmme import _forward
from tests.tasks import make_batch, make_network, make_task
from vitatt.explain.methods import METHODS, explain
from vitatt.explain.methods.perturb import perturb_features
from vitatt.inference import Predictor
from vitatt.inference.contrast import ContrastNetwork
from vitatt.models.fusion import FUSIONS
from vitatt.models.fusion.concatenation import Concatenation
from vitatt.types import UsageError

pytestmark = pytest.mark.long

ANSWERS = {"age": 55, "itch": "yes", "region": "NOSE"}
SPECIFIC = [name for name, method in METHODS.items() if method.class_specific]
CLASSLESS = [name for name in METHODS if name not in SPECIFIC]


@pytest.fixture
def image(demo_root):
    return sorted((demo_root / "images").iterdir())[0]


@pytest.fixture
def predictor(save, data) -> Predictor:
    return Predictor.load(save(data), device="cpu")


def batch_of(predictor: Predictor, image):
    """The case as the network takes it."""
    values = predictor._read([image], [ANSWERS])
    (batch,) = predictor.batches([image], predictor.reader.encode(values), slice(1))
    return batch


@pytest.mark.parametrize("method", METHODS)
def test_the_relevance_of_the_method(predictor, image, method):
    found = predictor.explain(image, ANSWERS, method=method)
    network = predictor.ensemble.models[0].network
    expected = explain(network, batch_of(predictor, image), method=method)
    assert np.allclose(found.patches, expected.patches[0, 0], atol=1e-6)
    assert np.allclose(list(found.features.values()), expected.features[0, 0], atol=1e-6)
    assert list(found.features) == list(predictor.features)
    assert found.image_share == pytest.approx(float(expected.image_share[0, 0]))
    assert found.prediction == predictor.predict(image, ANSWERS)
    assert (found.target, found.contrast) == (found.prediction.predicted, None)
    if method != "random":
        asked = {name for name, relevance in found.features.items() if relevance}
        assert asked <= {"age", "itch", "region"}


def test_another_class(predictor, image):
    found = predictor.explain(image, ANSWERS, target="MEL")
    target = torch.tensor([[predictor.classes.index("MEL")]])
    network = predictor.ensemble.models[0].network
    expected = explain(network, batch_of(predictor, image), target)
    assert np.allclose(found.patches, expected.patches[0, 0], atol=1e-6)
    assert list(found.case.maps) == ["TMME: MEL"]
    assert found.target == "MEL"


@pytest.mark.parametrize("method", SPECIFIC)
def test_a_contrast_of_two_classes(predictor, image, method):
    found = predictor.explain(image, ANSWERS, method=method, target="MEL", contrast="NEV")
    assert list(found.case.maps) == [f"{METHODS[method].title}: MEL, not NEV"]
    assert found.contrast == "NEV"
    assert found.patches.min() >= 0
    alone = predictor.explain(image, ANSWERS, method=method, target="MEL")
    assert not np.allclose(found.patches, alone.patches)
    turned = predictor.explain(image, ANSWERS, method=method, target="NEV", contrast="MEL")
    assert not np.allclose(found.patches, turned.patches)


def contrast_by_hand(network, batch, case: int, one: int, other: int) -> torch.Tensor:
    """TMME's row (P + M,) for a difference of logits, by the matrices of all layers."""
    state = {key: value.double() for key, value in network.state_dict().items()}
    logits, layers, num_patches, num_metadata = _forward(network, state, batch, case)
    attention = [layer.attention for layer in layers]
    gradients = torch.autograd.grad(logits[one] - logits[other], attention)
    total = 1 + max(max(layer.tokens) for layer in layers)
    relevance = torch.eye(total, dtype=torch.float64)
    for layer, gradient in zip(layers, gradients, strict=True):
        whole = torch.zeros(total, total, dtype=torch.float64)
        rows, columns = np.ix_(layer.tokens[: gradient.shape[1]], layer.tokens)
        whole[rows, columns] = (layer.attention * gradient).clamp(min=0).mean(0).detach()
        relevance = relevance + whole @ relevance
    return relevance[0, total - num_patches - num_metadata :]


@pytest.mark.parametrize("arguments", [{}, {"join_at": 2}, {"depth": 2}])
def test_tmme_of_a_contrast_by_hand(arguments):
    task = make_task()
    network = make_network(task, **arguments).double()
    batch = make_batch(task, 3, dtype=torch.float64)
    for one, other in ((0, 1), (2, 0)):
        target = torch.full((3, 1), one)
        found = explain(ContrastNetwork(network, other), batch, target)
        for case in range(3):
            row = torch.cat([found.patches[case, 0].flatten(), found.features[case, 0]])
            expected = contrast_by_hand(network, batch, case, one, other)
            assert torch.allclose(row, expected, rtol=1e-9, atol=1e-12)


def test_occlusion_of_a_contrast_is_what_the_difference_loses():
    task = make_task()
    network = make_network(task, fusion=Concatenation).double()
    batch = make_batch(task, 3, dtype=torch.float64)
    found = explain(ContrastNetwork(network, 3), batch, torch.full((3, 1), 1), method="occlusion")

    def difference(features: torch.Tensor) -> torch.Tensor:
        logits = network(perturb_features(network, batch, features)).logits
        return logits[:, 1] - logits[:, 3]

    nothing = torch.zeros(3, len(task.features), dtype=torch.bool)
    for number in range(len(task.features)):
        hidden = nothing.clone()
        hidden[:, number] = True
        lost = (difference(nothing) - difference(hidden)).clamp(min=0)
        assert torch.allclose(found.features[:, 0, number], lost, atol=1e-12)


def test_a_contrast_leaves_the_network_as_it_was():
    network = make_network(make_task())
    contrast = ContrastNetwork(network, 0)
    assert contrast.encoder is network.encoder
    assert contrast.layouts == network.layouts
    assert contrast.last_layer is network.last_layer
    assert contrast.image_blocks == network.image_blocks
    batch = make_batch(make_task())
    logits = network(batch).logits
    assert torch.equal(contrast(batch).logits, logits - logits[:, :1])


def test_the_figure(predictor, image, tmp_path):
    found = predictor.explain(image, ANSWERS)
    figure = found.figure()
    assert isinstance(figure, Image.Image)
    assert figure.width == 1120
    figure.save(tmp_path / "why.png")
    case = found.case
    assert case.case_id == image.name
    assert case.predicted_class == found.prediction.predicted
    assert case.true_class is None
    words = dict(zip(case.feature_labels, case.feature_values, strict=True))
    assert words["age"] == "55 years"
    assert words["itches"] == "yes"
    assert words["grew"] is None
    assert case.image.shape == (32, 32, 3)


def test_features_in_one_token(save, data, image):
    import functools

    fusion = functools.partial(FUSIONS["vitatt"], granularity="joint")
    predictor = Predictor.load(save(data, fusion=fusion), device="cpu")
    found = predictor.explain(image, ANSWERS)
    assert list(found.features) == ["all metadata"]
    assert found.case.feature_values == ["21 features in one token"]
    found.figure()
    by_feature = predictor.explain(image, ANSWERS, method="occlusion")
    assert list(by_feature.features) == list(predictor.features)


def test_a_network_without_metadata(save, data, image):
    predictor = Predictor.load(save(data, fusion=FUSIONS["image_only"]), device="cpu")
    found = predictor.explain(image, ANSWERS)
    assert found.features == {}
    assert found.image_share is None
    found.figure()


def test_a_network_that_a_method_does_not_apply_to(save, data, image):
    predictor = Predictor.load(save(data, fusion=FUSIONS["metadata_only"]), device="cpu")
    with pytest.raises(UsageError, match="MetadataOnly has none: no method applies"):
        predictor.explain(image)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"method": "tmm"}, r"`method` to be among tmme, .* got 'tmm'\. Did you mean tmme"),
        ({"target": "MLE"}, r"`target` to be among ACK, BCC, MEL, .* got 'MLE'\. Did you mean MEL"),
        ({"contrast": "XYZ"}, r"`contrast` to be among ACK"),
        ({"target": "MEL", "contrast": "MEL"}, "`contrast` to be another class .* both are MEL"),
        *[
            ({"method": name, "contrast": "MEL", "target": "NEV"}, "the same for every class")
            for name in CLASSLESS
        ],
    ],
)
def test_what_cannot_be_explained(predictor, image, arguments, said):
    with pytest.raises(UsageError, match=said):
        predictor.explain(image, **arguments)


def test_the_mean_of_several_models_is_not_explained(save, data, image):
    predictor = Predictor.load(save(data, "a.ckpt"), save(data, "b.ckpt", seed=1), device="cpu")
    with pytest.raises(UsageError, match=r"the mean of 2: load one .* Predictor.load\('.*a\.ckpt'"):
        predictor.explain(image)
