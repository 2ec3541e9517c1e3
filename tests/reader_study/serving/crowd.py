"""Many readers at once, as programs that do what the page does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx


class Crowd(NamedTuple):
    """What many readers did.

    Attributes:
        seconds: Of each request, by its kind.
        answered: Confidence of each submission in its order, by reader.
    """

    seconds: dict[str, list[float]]
    answered: dict[str, list[int]]


def read_together(address: str, readers: int, cases: int) -> Crowd:
    """Let all readers answer cases at the same time, without a pause for thought.

    Args:
        address: Of the server.
        readers: ``r01`` and so on, with tokens of a made study.
        cases: That each answers, without practice.
    """
    seconds: dict[str, list[float]] = {}
    codes = [f"r{number:02d}" for number in range(1, readers + 1)]

    def read(code: str) -> list[int]:
        base = f"/r/token-{code}"
        answered = []
        with httpx.Client(base_url=address, timeout=60, verify=False) as client:  # no TLS

            def ask(kind: str, method: str, path: str, body: Any = None) -> httpx.Response:
                start = time.perf_counter()
                response = client.request(method, path, json=body)
                seconds.setdefault(kind, []).append(time.perf_counter() - start)
                assert response.status_code == 200, response.text
                return response

            ask("page", "GET", base)
            ask("step", "POST", f"{base}/consent", {"version": "1", "language": "en"})
            while len(answered) < cases:
                now = ask("step", "POST", f"{base}/now").json()
                if now["stage"] == "profile":
                    ask("step", "POST", f"{base}/profile", {"experience": "low"})
                    continue
                case = now["case"]
                for image in case["images"]:
                    for path in filter(None, (image["address"], image["map"])):
                        ask("image", "GET", path)
                confidence = (7 * len(answered) + int(code[1:])) % 101
                body = {
                    "item": case["item"],
                    "submission_id": f"{code}-{now['stage']}-{len(answered)}-{case['item'][:8]}",
                    "diagnosis": "MEL",
                    "confidence": confidence,
                    "management": "biopsy",
                    "trust": 3 if case["shows_ai"] else None,
                    "seconds": 0.0,
                }
                body["submission_id"] = body["submission_id"].replace("_", "-")
                ask("submission", "POST", f"{base}/answers", body)
                if now["stage"] == "case":
                    answered.append(confidence)
        return answered

    with ThreadPoolExecutor(readers) as pool:
        return Crowd(seconds, dict(zip(codes, pool.map(read, codes), strict=True)))
