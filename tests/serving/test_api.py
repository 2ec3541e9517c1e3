"""The API gives what the Predictor gives, and says what is wrong with a request."""

from __future__ import annotations

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from tests.serving.conftest import message
from vitatt.inference import Predictor
from vitatt.models.fusion import FUSIONS
from vitatt.serving.bounds import Bounds

pytestmark = pytest.mark.long
ANSWERS = {"age": 55, "itch": "yes", "region": "NOSE"}


def near(found: dict[str, float], expected: dict[str, float]) -> bool:
    return found == pytest.approx(expected, abs=1e-6)


def test_a_form_and_json_give_what_the_predictor_gives(start, predictor, photo) -> None:
    client = start({"model": predictor})
    expected = predictor.predict(photo, ANSWERS)
    text = base64.b64encode(photo).decode()
    for response in (
        client.post(
            "/v1/predict", files={"image": ("a.jpg", photo)}, data={"answers": json.dumps(ANSWERS)}
        ),
        client.post("/v1/predict", json={"image": text, "answers": ANSWERS}),
        client.post(
            "/v1/predict", json={"image": f"data:image/jpeg;base64,{text}", "answers": ANSWERS}
        ),
    ):
        assert response.status_code == 200, response.text
        found = response.json()
        assert near(found["probabilities"], expected.probabilities)
        assert found["predicted"] == expected.predicted
        assert found["missing"] == list(expected.missing)
        assert found["model"] == "model"
        assert "Not a medical device" in found["notice"]


def test_explanations_are_those_of_the_predictor(start, predictor, photo) -> None:
    client = start({"model": predictor})
    options = {"target": "MEL", "contrast": "NEV", "method": "tmme"}
    expected = predictor.explain(photo, ANSWERS, **options)
    text = base64.b64encode(photo).decode()
    found = client.post("/v1/explain", json={"image": text, "answers": ANSWERS, **options}).json()
    np.testing.assert_allclose(found["maps"]["image"], expected.patches, rtol=1e-4, atol=1e-7)
    assert near(found["features"], dict(expected.features))
    assert found["grid"] == list(expected.patches.shape)
    assert found["pictures"] is None
    drawn = client.post(
        "/v1/explain", json={"image": text, "answers": ANSWERS, "format": "png", **options}
    ).json()
    assert drawn["maps"] is None
    picture = drawn["pictures"]["image"].partition("base64,")[2]
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert image.width == image.height


def test_requests_at_once_run_together(start, predictor, photo) -> None:
    client = start({"model": predictor})
    cases = [{"age": 30 + n} for n in range(24)]
    expected = [predictor.predict(photo, one).probabilities for one in cases]

    def ask(answers):
        return client.post(
            "/v1/predict", files={"image": ("a", photo)}, data={"answers": json.dumps(answers)}
        ).json()["probabilities"]

    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(ask, cases))
    for one, other in zip(found, expected, strict=True):
        assert near(one, other)
    lines = client.get("/metrics").text.splitlines()
    numbers = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(numbers["vitatt_batch_cases_sum"]) == 24
    assert float(numbers["vitatt_batch_cases_count"]) < 24, "some ran together"
    path = 'vitatt_requests_total{path="/v1/predict",status="200"}'
    assert float(numbers[path]) == 24


def test_several_models(start, save, data, photo) -> None:
    models = {
        name: Predictor.load(save(data, f"{name}.ckpt", fusion=FUSIONS[name]), device="cpu")
        for name in ("vitatt", "metadata_only")
    }
    client = start(models)
    for name, predictor in models.items():
        response = client.post("/v1/predict", files={"image": photo}, data={"model": name})
        assert near(response.json()["probabilities"], predictor.predict(photo).probabilities)
    cards = client.get("/v1/model").json()["models"]
    assert [card["name"] for card in cards] == ["vitatt", "metadata_only"]
    assert cards[0]["methods"][0] == "tmme"
    assert cards[1]["methods"] == []
    refused = client.post("/v1/predict", files={"image": photo}, data={"model": "vitat"})
    assert refused.status_code == 404
    assert message(refused) == (
        "Expected `model` to be among vitatt, metadata_only, but got 'vitat'. Did you mean vitatt?"
    )
    case = client.post("/v1/cases", files={"image": photo}).json()["case"]
    found = client.post(f"/v1/cases/{case}/what_if", json={"answers": ANSWERS}).json()["models"]
    for one, (name, predictor) in zip(found, models.items(), strict=True):
        assert one["prediction"]["model"] == name
        expected = predictor.predict(photo, ANSWERS)
        assert near(one["prediction"]["probabilities"], expected.probabilities)


def test_the_card_of_a_model(start, predictor) -> None:
    (card,) = start({"model": predictor}).get("/v1/model").json()["models"]
    assert card["dataset"] == "PAD-UFES-20"
    assert [one["name"] for one in card["classes"]] == list(predictor.classes)
    features = {one["name"]: one for one in card["features"]}
    assert features["age"]["unit"] == "years"
    assert (features["age"]["least"], features["age"]["most"]) == (0, 120)
    assert features["itch"]["categories"] == ["False", "True"]
    assert set(predictor.features) == {name for name, one in features.items() if one["used"]}


def test_a_case_in_hand(start, predictor, photo) -> None:
    client = start({"model": predictor})
    case = client.post("/v1/cases", files={"image": photo}).json()["case"]
    place = f"/v1/cases/{case}"
    (one,) = client.post(f"{place}/what_if", json={"answers": ANSWERS}).json()["models"]
    assert set(one["evidence"]) == set(ANSWERS)
    assert one["target"] == one["prediction"]["predicted"]
    found = client.post(f"{place}/open_questions", json={"answers": ANSWERS}).json()["questions"]
    assert {q["feature"] for q in found} == {*predictor.features} - {*ANSWERS}
    mapped = client.post(f"{place}/explain", json={"answers": ANSWERS, "target": "MEL"}).json()
    expected = predictor.explain(photo, ANSWERS, target="MEL").patches
    np.testing.assert_allclose(mapped["maps"]["image"], expected, rtol=1e-4, atol=1e-7)
    assert client.delete(place).json() == {"status": "forgotten"}
    refused = client.post(f"{place}/what_if", json={"answers": {}})
    assert refused.status_code == 404
    assert message(refused) == "This case is not kept any more. Send its image again."


def test_cases_in_hand_are_few_and_for_a_while(start, predictor, photo) -> None:
    client = start({"model": predictor}, Bounds(cases=2, case_seconds=0.5))
    names = [client.post("/v1/cases", files={"image": photo}).json()["case"] for _ in range(3)]
    status = [
        client.post(f"/v1/cases/{name}/what_if", json={"answers": {}}).status_code for name in names
    ]
    assert status == [404, 200, 200]
    import time

    time.sleep(0.7)
    for name in names:
        assert client.post(f"/v1/cases/{name}/what_if", json={}).status_code == 404
    assert "vitatt_cases_in_hand 0.0" in client.get("/metrics").text


def test_openapi_has_bodies_and_examples(start, predictor) -> None:
    plain = start({"model": predictor}).get("/openapi.json").json()
    body = plain["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
    fields = body["application/json"]["schema"]["properties"]
    assert fields["answers"]["example"] == {"age": 55, "itch": "yes"}
    assert plain["paths"]["/v1/explain"]["post"]["responses"]["422"]


@pytest.mark.parametrize(
    ("path", "body", "status", "expected"),
    [
        ("/v1/predict", {}, 422, "Expected an image as the file `image`, but got none."),
        ("/v1/predict", {"image": "?!"}, 422, "Expected `image` to be base64 text: "),
        ("/v1/predict", {"image": 3}, 422, "Expected `image` to be base64 text, but got a number."),
        ("/v1/predict", {"image": "IMG", "answers": [1]}, 422, "to be an object, but got a list"),
        ("/v1/predict", {"image": "IMG", "answers": {"agee": 1}}, 422, "Did you mean age"),
        (
            "/v1/predict",
            {"image": "IMG", "answers": {"age": "old"}},
            422,
            "to be a number in years",
        ),
        ("/v1/predict", {"image": "IMG", "answers": {"age": [1]}}, 422, "but got a list"),
        ("/v1/predict", {"image": "IMG", "answers": {"age": True}}, 422, "but got 'True'"),
        (
            "/v1/predict",
            {"image": "IMG", "answer": {}},
            422,
            "but got 'answer'. Did you mean answers",
        ),
        ("/v1/predict", {"image": {"derm": "IMG"}}, 422, "but got images by name (derm)"),
        ("/v1/explain", {"image": "IMG", "method": "lime"}, 422, "Expected argument `method`"),
        ("/v1/explain", {"image": "IMG", "target": "XXX"}, 422, "Expected argument `target`"),
        ("/v1/explain", {"image": "IMG", "target": 3}, 422, "Expected `target` to be text"),
        (
            "/v1/explain",
            {"image": "IMG", "format": "svg"},
            422,
            "to be numbers or png, but got 'svg'",
        ),
        (
            "/v1/cases/none/what_if",
            {"image": "IMG"},
            422,
            "than answers, contrast, target, but got",
        ),
        ("/v1/cases", {"image": "IMG", "answers": {}}, 422, "no other fields than image, but got"),
        ("/v1/predict", {"image": "IMG", "answers": {"age": "\ud800"}}, 422, "but got '\ud800'"),
        ("/v1/predict", {"image": "IMG", "\ud800": 1}, 422, "but got '\ud800'"),
        ("/v1/predict", {"image": {"\ud800": "IMG"}}, 422, "images by name (\ud800)"),
        ("/v1/cases/none/what_if", {}, 404, "This case is not kept any more"),
        ("/v2/predict", {}, 404, "There is no '/v2/predict'. There are /healthz"),
        ("/healthz", {}, 405, "POST is not possible at '/healthz'."),
    ],
)
def test_what_is_wrong(start, predictor, photo, path, body, status, expected) -> None:
    text = base64.b64encode(photo).decode()
    filled = json.loads(json.dumps(body).replace("IMG", text))
    headers = {"content-type": "application/json"}
    response = start({"model": predictor}).post(path, content=json.dumps(filled), headers=headers)
    assert response.status_code == status, response.text
    assert expected in message(response)


def test_a_field_that_is_given_twice(start, predictor, photo) -> None:
    """One of them would have no effect."""
    client = start({"model": predictor})
    text = base64.b64encode(photo).decode()
    headers = {"content-type": "application/json"}
    for body in (
        f'{{"image": "{text}", "answers": {{"age": 5, "age": 70}}}}',
        f'{{"image": "{text}", "age": 1, "age": 2}}',
    ):
        refused = client.post("/v1/predict", content=body, headers=headers)
        assert refused.status_code == 400
        assert message(refused) == "Expected one 'age', but got several."
    answers = [("answers", (None, '{"age": 5}')), ("answers", (None, '{"age": 70}'))]
    for more, name in (
        (answers, "answers"),
        ([("image", photo)], "image"),
        ([("image.a", photo)], "image"),
        ([("image.a", photo), ("image.a", photo)], "image.a"),
    ):
        refused = client.post("/v1/predict", files=[("image", photo), *more])
        assert refused.status_code == 400
        assert message(refused) == f"Expected one '{name}', but got several."


def test_head(start, predictor) -> None:
    """As monitors and previews of links ask."""
    client = start({"model": predictor})
    for path in ("/", "/healthz"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
    assert client.head("/v1/predict").status_code == 405
