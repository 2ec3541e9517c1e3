"""A Predictor by its address gives what the Predictor on the server gives."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vitatt.inference import Predictor
from vitatt.inference.remote import RemotePredictor
from vitatt.types import UsageError

pytestmark = pytest.mark.long
ANSWERS = {"age": np.float64(55), "itch": "yes", "bleed": None}


def near(found, expected) -> bool:
    return dict(found) == pytest.approx(dict(expected), abs=1e-6)


def test_the_same_answers(start, predictor, photo, tmp_path) -> None:
    client = start({"model": predictor})
    remote = RemotePredictor(str(client.base_url))
    assert remote.classes == predictor.classes
    assert set(remote.features) == set(predictor.features)
    path = tmp_path / "a.jpg"
    path.write_bytes(photo)
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    for one in (photo, path, str(path), image, np.asarray(image)):
        expected = predictor.predict(one, ANSWERS)
        found = remote.predict(one, ANSWERS)
        assert near(found.probabilities, expected.probabilities)
        assert found.missing == expected.missing
    many = remote.predict_batch([photo] * 5, [{"age": 30 + n} for n in range(5)])
    for n, one in enumerate(many):
        assert near(one.probabilities, predictor.predict(photo, {"age": 30 + n}).probabilities)
    assert isinstance(Predictor.load(str(client.base_url)), RemotePredictor)
    explained = remote.explain(photo, ANSWERS, target="MEL")
    expected = predictor.explain(photo, ANSWERS, target="MEL")
    np.testing.assert_allclose(explained.patches, expected.patches, rtol=1e-4, atol=1e-7)
    assert near(explained.features, expected.features)
    assert explained.image_share == pytest.approx(expected.image_share, abs=1e-5)
    np.testing.assert_array_equal(explained.case.image, expected.case.image)
    assert explained.figure().width == expected.figure().width


def test_what_is_wrong(start, predictor, photo, monkeypatch) -> None:
    client = start({"model": predictor}, token="right", hosts=None)
    address = str(client.base_url)
    with pytest.raises(UsageError, match="refuses the request: Expected the token"):
        RemotePredictor(address)
    remote = RemotePredictor(address, token="right")
    for answers, message in (
        ({"agee": 3}, "has no column 'agee'"),
        ({"age": object()}, "Expected answers to be text, numbers or None: got a object"),
    ):
        with pytest.raises(UsageError, match=message):
            remote.predict(photo, answers)
    with pytest.raises(UsageError, match=r"has no model 'x'\. It has: model"):
        RemotePredictor(address, token="right", model="x")
    with pytest.raises(UsageError, match=r"does not answer \(ConnectionError\)\. Start one with"):
        RemotePredictor("http://127.0.0.1:9")
    with pytest.raises(UsageError, match="The image file gone does not exist"):
        remote.predict("gone")
    monkeypatch.setenv("VITATT_TOKEN", "right")
    assert Predictor.load(address).classes == predictor.classes
    with pytest.raises(UsageError, match="Expected one server, or models of this machine"):
        Predictor.load(address, "best")
    with pytest.raises(UsageError, match="for each of 1 images, but got 2"):
        remote.predict_batch([photo], [None, None])
