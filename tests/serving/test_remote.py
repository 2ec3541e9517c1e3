"""A Predictor by its address gives what the Predictor on the server gives."""

from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from PIL import Image

from vitatt.cli import main
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


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "Expected an image as a path, bytes, .* but got a NoneType"),
        (np.zeros((4, 4), np.uint8), r"Expected an array of RGB pixels .* got shape \(4, 4\)"),
        ("nowhere.jpg", "The image file nowhere.jpg does not exist"),
        ({"scope": "nowhere.jpg"}, "The image file nowhere.jpg does not exist"),
        (b"no image", "refuses the request: Expected `image` to be an image"),
    ],
)
def test_what_is_no_image(start, predictor, image, message) -> None:
    remote = RemotePredictor(str(start({"model": predictor}).base_url))
    with pytest.raises(UsageError, match=message):
        remote.predict(image)


def test_networks_are_on_the_server_alone(start, predictor, capsys) -> None:
    address = str(start({"model": predictor}).base_url)
    for what in ("ensemble", "tasks", "spec", "reader"):
        with pytest.raises(UsageError, match=f"models of {address} are on that server alone"):
            getattr(RemotePredictor(address), what)
    assert main(["serve", f"--ckpt_path={address}", "--port=0"]) == 2
    assert "Name their checkpoints for everything else." in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"models": []}', b"<html>"])
def test_another_server(content) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *given) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(UsageError, match="is no server of vitatt"):
            Predictor.load(f"http://127.0.0.1:{server.server_port}")
        thread.join()
