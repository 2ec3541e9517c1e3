"""Who waits for a model, for whom the work is not done, and who goes first."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from vitatt.serving.batching import Batcher
from vitatt.serving.worker import Worker

pytestmark = pytest.mark.long


@pytest.fixture
def held_up(predictor, monkeypatch):
    """Explanations of the predictor last until the event is set; returns it and their targets."""
    go_on = threading.Event()
    ran: list[str | None] = []
    usual = predictor.explain

    def waits(image, answers, **options):
        ran.append(options["target"])
        go_on.wait(20)
        return usual(image, answers, **options)

    monkeypatch.setattr(predictor, "explain", waits)
    return go_on, ran


def waiting(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("vitatt_waiting "))


def until(condition) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_what_if_goes_before_maps_that_wait(start, predictor, photo, held_up) -> None:
    go_on, ran = held_up
    client = start({"model": predictor})
    case = client.post("/v1/cases", files={"image": photo}).json()["case"]
    done: list[str] = []

    def ask(question, name, target):
        answer = client.post(f"/v1/cases/{case}/{question}", json={"target": target})
        assert answer.status_code == 200
        done.append(name)

    with ThreadPoolExecutor(8) as pool:
        asked = []
        for number, target in enumerate(predictor.classes[:4]):
            asked.append(pool.submit(ask, "explain", f"map {number}", target))
            until(lambda number=number: (len(ran), waiting(client)) >= (1, max(0, number - 1)))
        asked.append(pool.submit(ask, "what_if", "what if", "MEL"))
        until(lambda: waiting(client) >= 2)
        time.sleep(0.1)
        go_on.set()
        for one in asked:
            one.result()
    assert done.index("what if") <= 1, "after the map that ran, and no other"
    assert len(ran) == 4


def test_nothing_runs_for_a_client_that_went_away(start, predictor, photo, held_up) -> None:
    go_on, ran = held_up
    client = start({"model": predictor})
    case = client.post("/v1/cases", files={"image": photo}).json()["case"]
    sockets = []
    for number in range(6):
        body = json.dumps({"target": predictor.classes[number % 2]}).encode()
        one = socket.create_connection(("127.0.0.1", client.base_url.port))
        one.sendall(
            f"POST /v1/cases/{case}/explain HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        sockets.append(one)
    until(lambda: len(ran) == 1 and waiting(client) >= 4)
    for one in sockets:
        one.close()
    path = 'path="/v1/cases/{case}/explain",status="499"'
    until(lambda: f"vitatt_requests_total{{{path}}} 6.0" in client.get("/metrics").text)
    assert waiting(client) == 0, "their places are free"
    go_on.set()
    assert client.post(f"/v1/cases/{case}/what_if", json={}).status_code == 200
    assert len(ran) == 1, "that which ran already"
    assert client.post(f"/v1/cases/{case}/explain", json={}).status_code == 200


def test_turns() -> None:
    """Urgent turns first, others in order; a turn that nobody waits for is left out."""

    async def run() -> list[str]:
        worker, order = Worker(), []

        async def work(name: str, *, urgent: bool) -> None:
            async with worker.turn(urgent=urgent):
                order.append(name)
                assert await worker.run(threading.get_ident) != threading.get_ident()

        async with worker.turn():
            names = {"a": False, "b": False, "c": True, "gone": True, "d": True}
            tasks = {
                name: asyncio.create_task(work(name, urgent=urgent))
                for name, urgent in names.items()
            }
            await asyncio.sleep(0.01)
            tasks.pop("gone").cancel()
        await asyncio.gather(*tasks.values())
        worker.close()
        return order

    assert asyncio.run(run()) == ["c", "d", "a", "b"]


def test_a_batch_of_cancelled_items_does_not_run() -> None:
    async def run() -> list[int]:
        worker, ran = Worker(), []
        batcher = Batcher(lambda items: ran.extend(items) or items, worker, batch=2, queue=9)
        async with worker.turn():
            tasks = [asyncio.create_task(batcher(number)) for number in range(5)]
            await asyncio.sleep(0.01)
            for number in (0, 1, 3):
                tasks[number].cancel()
        assert [await tasks[2], await tasks[4]] == [2, 4]
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await batcher.close()
        worker.close()
        return ran

    assert asyncio.run(run()) == [2, 4]
