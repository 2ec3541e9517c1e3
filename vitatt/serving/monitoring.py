"""Metrics of the server in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Monitoring:
    """Counts requests, their seconds, and sizes of batches.

    Args:
        waiting: Number of requests that wait.
        cases: Number of cases in hand.
    """

    def __init__(self, waiting: Callable[[], int], cases: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        self._requests = Counter("vitatt_requests", "Requests.", ["path", "status"], registry=own)
        self._seconds = Histogram(
            "vitatt_request_seconds",
            "Seconds of a request.",
            ["path"],
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
            registry=own,
        )
        self._batches = Histogram(
            "vitatt_batch_cases",
            "Cases that ran through a model together.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=own,
        )
        Gauge("vitatt_waiting", "Requests that wait for a model.", registry=own).set_function(
            waiting
        )
        Gauge("vitatt_cases_in_hand", "Cases whose image is kept.", registry=own).set_function(
            cases
        )

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            path: Of the route, without the names in it.
            status: Of the answer.
            seconds: That it took.
        """
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, cases: int) -> None:
        """Count a batch."""
        self._batches.observe(cases)

    def text(self) -> bytes:
        """Return all metrics."""
        return generate_latest(self._registry)
