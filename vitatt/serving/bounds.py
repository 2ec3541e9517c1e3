"""Limits of what the server takes from a client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """Limits; beyond each the server refuses a request, and goes on.

    Attributes:
        body_bytes: Size of a request.
        pixels: Width times height of an image.
        answers: Number of answers of a case.
        answer_length: Characters of an answer.
        body_seconds: Time in which a request must have arrived.
        queue: Requests that wait for a model; further ones are told to come again.
        batch: Requests that run through a model at once.
        cases: Cases in hand, whose image is kept in memory; the one unused for longest goes first.
        case_seconds: Time after which an unused case in hand is forgotten.
        connections: Connections at a time.
    """

    body_bytes: int = 20_000_000
    pixels: int = 60_000_000
    answers: int = 200
    answer_length: int = 200
    body_seconds: float = 20.0
    queue: int = 128
    batch: int = 16
    cases: int = 64
    case_seconds: float = 1800.0
    connections: int = 512
