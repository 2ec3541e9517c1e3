"""Every limit of the server, broken: it refuses with a message, and goes on."""

from __future__ import annotations

import hmac
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.serving.conftest import encoded, message
from vitatt.cli import main
from vitatt.serving.bounds import Bounds
from vitatt.types import UsageError

pytestmark = pytest.mark.long
SMALL = Bounds(body_bytes=200_000, body_seconds=1.0, answers=50)


@pytest.fixture
def client(start, predictor) -> httpx.Client:
    return start({"model": predictor}, SMALL)


def works(client: httpx.Client, photo: bytes) -> bool:
    return client.post("/v1/predict", files={"image": photo}).status_code == 200


def test_upload_size(client, photo) -> None:
    large = os.urandom(300_000)
    refused = client.post("/v1/predict", files={"image": large})
    assert refused.status_code == 413
    assert "Expected a request of at most 200,000 bytes, but got 300," in message(refused)

    def pieces():
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(30):
            yield os.urandom(10_000)

    kind = {"content-type": "multipart/form-data; boundary=x"}
    refused = client.post("/v1/predict", content=pieces(), headers=kind)  # without a length
    assert refused.status_code == 413
    assert works(client, photo)


def test_a_wrong_length(client) -> None:
    with socket.create_connection(("127.0.0.1", client.base_url.port)) as one:
        one.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n")
        assert b"400" in one.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_pixel_bombs(start, predictor, photo, kind) -> None:
    client = start({"model": predictor}, Bounds(pixels=4_000_000))
    options = {"compression": "tiff_deflate"} if kind == "TIFF" else {}
    bomb = encoded(np.zeros((2100, 2100, 3), np.uint8), kind, **options)
    assert len(bomb) < 100_000
    refused = client.post("/v1/predict", files={"image": bomb})
    assert refused.status_code == 413
    assert message(refused) == (
        "Expected `image` to have at most 4,000,000 pixels, but it has 2100 x 2100."
    )
    assert works(client, photo)


def test_a_bomb_of_a_phone(start, predictor, photo) -> None:
    """A kind of image whose reader comes with another package has the same limit."""
    pytest.importorskip("pillow_heif").register_heif_opener()
    client = start({"model": predictor}, Bounds(pixels=4_000_000))
    bomb = encoded(np.zeros((2100, 2100, 3), np.uint8), "HEIF")
    assert len(bomb) < 100_000
    refused = client.post("/v1/predict", files={"image": bomb})
    assert refused.status_code == 413
    assert "at most 4,000,000 pixels, but it has 2100 x 2100." in message(refused)
    small = encoded(np.zeros((48, 48, 3), np.uint8), "HEIF")
    assert client.post("/v1/predict", files={"image": small}).status_code == 200


# As PostScript may begin, which Pillow would hand to a program, and as a file of a phone does.
DISGUISED = b"%!PSftypheic\n%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nquit\n"


def test_a_bomb_beyond_what_pillow_opens(client, photo) -> None:
    header = bytearray(encoded(np.zeros((8, 8, 3), np.uint8)))
    header[16:24] = (60_000).to_bytes(4, "big") * 2  # width and height of a PNG
    refused = client.post("/v1/predict", files={"image": bytes(header)})
    assert refused.status_code in (413, 422)
    assert works(client, photo)


def jpeg(**options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return encoded(pixels, "JPEG", **options)


@pytest.mark.parametrize(
    "content",
    [
        jpeg()[:300],
        encoded(np.zeros((64, 64, 3), np.uint8))[:60],
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"%PDF-1.4\n1 0 obj\n",
        b"PK\x03\x04" + b"x" * 90,
        b"\x00" * 90,
        b"GIF89a" + b"\x00" * 90,
        DISGUISED,
        DISGUISED.replace(b"heic", b"    "),
        b"\x00\x00\x00\x18ftypheic" + b"\x00" * 90,
        b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 90,
    ],
    ids=[
        *("cut JPEG", "cut PNG", "PostScript", "SVG", "PDF", "zip", "zeros", "GIF"),
        *("PostScript as HEIC", "PostScript as ftyp", "cut HEIC", "film"),
    ],
)
def test_damaged_and_other_files(client, photo, content) -> None:
    refused = client.post("/v1/predict", files={"image": ("x.jpg", content)})
    assert refused.status_code == 422
    assert "image" in message(refused)
    assert "/tmp" not in refused.text
    assert works(client, photo)


def test_a_file_of_two_kinds_is_an_image_and_nothing_else(client, predictor) -> None:
    plain = jpeg()
    both = plain + b"<script>alert(1)</script>PK\x03\x04/etc/passwd"
    response = client.post("/v1/predict", files={"image": ("<script>.jpg", both)})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "script" not in response.text
    expected = predictor.predict(plain).probabilities
    assert response.json()["probabilities"] == pytest.approx(expected, abs=1e-6)


def test_answers_are_few_and_short(client, photo) -> None:
    many = {f"q{n}": 1 for n in range(10_000)}
    refused = client.post("/v1/predict", files={"image": photo}, data={"answers": json.dumps(many)})
    assert refused.status_code == 422
    assert message(refused) == "Expected at most 50 answers, but got 10,000."
    for answers in ({"age": "9" * 5000}, {"x" * 5000: 1}):
        refused = client.post(
            "/v1/predict", files={"image": photo}, data={"answers": json.dumps(answers)}
        )
        assert refused.status_code == 422
        assert "of at most 200 characters" in message(refused)
        assert len(refused.text) < 400
    nested = "[" * 50_000 + "]" * 50_000
    for body in (nested, '{"image": ' + nested + "}"):
        refused = client.post(
            "/v1/predict", content=body, headers={"content-type": "application/json"}
        )
        assert refused.status_code in (400, 422)
    many_fields = {f"f{n}": "1" for n in range(100)}
    refused = client.post("/v1/predict", files={"image": photo}, data=many_fields)
    assert refused.status_code == 400
    assert "form cannot be read" in message(refused)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b"hello", 415),
        ("application/json", b"{", 400),
        ("application/json", b"\xff\xfe", 400),
        ("application/json", b"[]", 422),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken", 422),
    ],
)
def test_bodies_of_no_sense(client, photo, kind, body, status) -> None:
    refused = client.post("/v1/predict", content=body, headers={"content-type": kind})
    assert refused.status_code == status, refused.text
    assert message(refused)
    assert works(client, photo)


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/static/../../etc/passwd", "/v1/cases/..%2f..%2fetc/what_if", "/%00"],
)
def test_path_tricks(client, path) -> None:
    with socket.create_connection(("127.0.0.1", client.base_url.port)) as one:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := one.recv(4096):
            answer += part
    assert answer.split(b"\r\n")[0].split()[1] in (b"404", b"405", b"400")
    assert b"root:" not in answer


def test_slow_clients(client, photo) -> None:
    port = client.base_url.port
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for one in slow:
        one.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
    start = time.monotonic()
    assert works(client, photo), "others are served meanwhile"
    assert time.monotonic() - start < 5
    for one in slow:
        one.settimeout(10)
        answer = b""
        while part := one.recv(4096):
            answer += part
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"within 1 seconds" in answer
        one.close()


def test_a_hundred_clients_at_once(start, predictor, photo) -> None:
    client = start({"model": predictor})
    expected = predictor.predict(photo).probabilities
    with ThreadPoolExecutor(100) as pool:
        asked = [
            pool.submit(client.post, "/v1/predict", files={"image": photo}) for _ in range(100)
        ]
        found = [one.result() for one in asked]
    assert {one.status_code for one in found} == {200}
    assert all(one.json()["probabilities"] == pytest.approx(expected, abs=1e-6) for one in found)


def test_a_full_queue(start, predictor, photo, monkeypatch) -> None:
    slow = threading.Event()
    usual = predictor.ensemble.probabilities

    def waits(batches):
        slow.wait(20)
        return usual(batches)

    monkeypatch.setattr(predictor.ensemble, "probabilities", waits)
    client = start({"model": predictor}, Bounds(queue=2, batch=1))
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(client.post, "/v1/predict", files={"image": photo}) for _ in range(8)]
        while sum(one.done() for one in asked) < 5:  # one runs, two wait
            time.sleep(0.01)
        assert client.get("/healthz").status_code == 200
        slow.set()
        found = [one.result() for one in asked]
    refused = [one for one in found if one.status_code == 503]
    assert len(refused) == 5
    assert refused[0].headers["retry-after"] == "1"
    assert message(refused[0]).startswith("2 requests are waiting, as many as this server takes.")
    assert [one.status_code for one in found].count(200) == 3
    assert works(client, photo)


def test_no_stack_trace_leaves_the_server(start, predictor, photo, monkeypatch, capfd) -> None:
    def fails(batches):
        raise RuntimeError("secret of /home/somebody")

    monkeypatch.setattr(predictor.ensemble, "probabilities", fails)
    response = start({"model": predictor}).post("/v1/predict", files={"image": photo})
    assert response.status_code == 500
    text = message(response)
    assert "The server failed unexpectedly. Its log has the reason, as error" in text
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    logged = capfd.readouterr().err
    assert "secret of /home/somebody" in logged
    assert text.rstrip(".").rsplit(" ", 1)[1] in logged


def test_names_and_places_in_exif_never_come_back(client) -> None:
    exif = Image.Exif()
    exif[0x013B], exif[0x010E] = "Jane Doe", "Jane Doe, born 1970"
    exif.get_ifd(0x8825)[1], exif.get_ifd(0x8825)[2] = "N", (52.0, 31.0, 12.0)
    photo = jpeg(exif=exif)
    assert b"Jane Doe" in photo
    for path in ("/v1/predict", "/v1/explain"):
        response = client.post(path, files={"image": ("Jane Doe 1970.jpg", photo)})
        assert response.status_code == 200
        assert "Jane" not in response.text + str(response.headers)
    broken = client.post("/v1/predict", files={"image": ("Jane Doe.jpg", photo[:400])})
    assert broken.status_code == 422
    assert "Jane" not in broken.text


def test_nothing_is_written(start, predictor, monkeypatch, tmp_path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    noise = np.random.default_rng(0).integers(0, 255, (1200, 1200, 3), dtype=np.uint8)
    large = encoded(noise)
    assert len(large) > 4_000_000
    written: list[str] = []
    usual = tempfile.SpooledTemporaryFile.rollover
    monkeypatch.setattr(
        tempfile.SpooledTemporaryFile, "rollover", lambda self: written.append("x") or usual(self)
    )
    client = start({"model": predictor})
    assert client.post("/v1/predict", files={"image": large}).status_code == 200
    case = client.post("/v1/cases", files={"image": large}).json()["case"]
    assert client.post(f"/v1/cases/{case}/what_if", json={}).status_code == 200
    assert written == []
    assert list(folder.iterdir()) == []


def test_a_page_of_another_name_cannot_call_it(client, photo) -> None:
    refused = client.post(
        "/v1/predict", files={"image": photo}, headers={"host": "evil.example:8000"}
    )
    assert refused.status_code == 421
    assert "but the request was for 'evil.example'" in message(refused)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("[::1]", 200), ("[::1]:80", 200), ("LOCALHOST:", 200), ("127.0.0.1", 200)),
        *(("127.0.0.1:1:1", 421), ("[::2]", 421), ("localhost@evil.example", 421), ("", 421)),
    ],
)
def test_names_of_this_machine(client, host, status) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == status


def test_a_token(start, predictor, photo, monkeypatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    usual = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or usual(a, b))
    client = start({"model": predictor}, hosts=None, token="right")
    assert client.get("/healthz").status_code == 200
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic right"}):
        refused = client.post("/v1/predict", files={"image": photo}, headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "right" not in refused.text.replace("copyright", "")
    assert (b"right", b"wrong") in compared, "in constant time"
    for headers in ({"authorization": "Bearer right"}, {"cookie": "vitatt_token=right"}):
        found = client.post("/v1/predict", files={"image": photo}, headers=headers)
        assert found.status_code == 200


def test_other_machines_need_a_token(save, data, capsys, monkeypatch) -> None:
    monkeypatch.delenv("VITATT_TOKEN", raising=False)
    assert main(["serve", f"--ckpt_path={save(data)}", "--host=0.0.0.0"]) == 2
    said = capsys.readouterr().err
    assert "Expected `--token` (or VITATT_TOKEN) with `--host 0.0.0.0`" in said


@pytest.mark.parametrize("token", ["gehe\u00efm", "\u043f", " x", "x\n", "a\tb", " "])
def test_a_token_that_no_header_carries(token, capsys, monkeypatch) -> None:
    monkeypatch.delenv("VITATT_TOKEN", raising=False)
    assert main(["serve", "--ckpt_path=none.ckpt", f"--token={token}"]) == 2
    said = capsys.readouterr().err
    assert "Expected a token of letters, digits and other characters of ASCII" in said


def test_a_taken_port(capsys) -> None:
    """It is said before a model is loaded, which takes seconds."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--ckpt_path=none.ckpt", f"--port={port}"]) == 2
    assert f"The server cannot listen at 127.0.0.1, port {port}" in capsys.readouterr().err


def test_sigterm_finishes_what_runs(save, data, photo, tmp_path) -> None:
    words = ["serve", f"--ckpt_path={save(data)}", "--port=0"]
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys, time\n"
        "from vitatt.inference.ensemble import Ensemble\n"
        "usual = Ensemble.probabilities\n"
        "def slow(self, batches):\n"
        "    print('running', flush=True)\n"
        "    time.sleep(2)\n"
        "    return usual(self, batches)\n"
        "Ensemble.probabilities = slow\n"
        "from vitatt.cli import main\n"
        f"sys.exit(main({words!r}))\n"
    )
    words = [sys.executable, str(script)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split(" at ")[1].split()[0]
            server.stdout.readline()
            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(
                    httpx.post, f"{address}v1/predict", files={"image": photo}, timeout=30
                )
                assert server.stdout.readline() == "running\n"
                server.send_signal(signal.SIGTERM)
                assert asked.result().status_code == 200
            assert server.wait(20) == 0
        finally:
            server.kill()


def test_a_clipped_upload_is_forgotten(client, photo) -> None:
    """A client that goes away in the middle costs nothing."""
    port = client.base_url.port
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            )
    assert works(client, photo)


def test_pixels_of_a_phone(start, predictor) -> None:
    """A photograph of 48 million pixels is no attack."""
    client = start({"model": predictor})
    photo = encoded(np.full((6000, 8000, 3), 128, np.uint8), "JPEG", quality=40)
    content = io.BytesIO(photo).getvalue()
    assert client.post("/v1/predict", files={"image": content}).status_code == 200


def test_a_name_that_has_an_equals_sign(save, data) -> None:
    one = save(data, "a=b.ckpt")
    from vitatt.commands.serve import _models

    assert list(_models([str(one), f"x={one}"], "cpu")) == ["a=b", "x"]


def test_an_onnx_export_is_refused_by_one_message(save, data, tmp_path, capsys) -> None:
    from vitatt.commands.export import export
    from vitatt.inference import Predictor
    from vitatt.inference.case_in_hand import CaseInHand

    export(ckpt_path=str(save(data)), output=str(tmp_path / "onnx"))
    assert main(["serve", f"--ckpt_path={tmp_path / 'onnx'}", "--port=0"]) == 2
    said = capsys.readouterr().err
    assert "is an ONNX export, whose images cannot be encoded by themselves" in said
    with pytest.raises(UsageError) as refused:
        CaseInHand(Predictor.load(tmp_path / "onnx"), b"")
    assert str(refused.value) in said


def test_two_models_of_one_name_are_refused(save, data, capsys) -> None:
    one = save(data, "a.ckpt")
    assert main(["serve", "--ckpt_path", f"x={one}", f"x={one}", "--port=0"]) == 2
    assert "Two models are named 'x'. Name them as NAME=FILE." in capsys.readouterr().err
