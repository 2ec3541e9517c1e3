"""A model that is served: predictions in batches, explanations and cases in hand in turn."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import torch

from vitatt.data.metadata.encoding import EncodedMetadata
from vitatt.inference.images import CaseInput
from vitatt.inference.predictor import Predictor
from vitatt.inference.results import Prediction
from vitatt.serving.batching import Batcher
from vitatt.serving.bounds import Bounds
from vitatt.serving.worker import Worker
from vitatt.types import LesionBatch, Pixels

Result = TypeVar("Result")


class _Ready(NamedTuple):
    """A case that can run: a batch of one for each network, and its encoded answers."""

    batches: list[LesionBatch]
    encoded: Sequence[EncodedMetadata]


class ServedModel:
    """A model under a name.

    Args:
        name: Of the model, in requests and on the page.
        predictor: The model, or the mean of several.
        worker: In which models run.
        bounds: Limits.

    Attributes:
        ran: Called with the number of cases of each batch.
    """

    def __init__(self, name: str, predictor: Predictor, worker: Worker, bounds: Bounds) -> None:
        self.name = name
        self.predictor = predictor
        self.ran: Callable[[int], None] = lambda count: None
        self._readers = ThreadPoolExecutor(os.cpu_count() or 1, "images")
        self._predictions: Batcher[_Ready, Prediction] = Batcher(
            self._run, worker, batch=bounds.batch, queue=bounds.queue
        )
        self._calls, self._urgent_calls = (
            Batcher[Callable[[], Any], Any](
                _each, worker, batch=1, queue=bounds.queue, urgent=urgent
            )
            for urgent in (False, True)
        )

    @property
    def waiting(self) -> int:
        """Number of requests that wait for this model."""
        return sum(one.waiting for one in self._queues)

    async def predict(self, image: CaseInput, answers: Mapping[str, object]) -> Prediction:
        """Return a prediction, which runs together with others that wait.

        Raises:
            UsageError: If the image cannot be read, or an answer is not possible.
            Refusal: If too many requests wait.
        """
        loop = asyncio.get_running_loop()
        ready = await loop.run_in_executor(self._readers, self._prepared, image, answers)
        return await self._predictions(ready)

    async def call(self, function: Callable[[], Result], *, urgent: bool = False) -> Result:
        """Return the result of a function that runs networks.

        Args:
            function: Without arguments.
            urgent: Whether a person waits for it at this moment, so that it goes first; for what is
                fast.

        Raises:
            Refusal: If too many requests wait.
        """
        calls = self._urgent_calls if urgent else self._calls
        result, error = await calls(function)
        if error is not None:
            raise error
        found: Result = result
        return found

    async def close(self) -> None:
        """Stop, after what waits has run."""
        for one in self._queues:
            await one.close()
        self._readers.shutdown()

    @property
    def _queues(self) -> Sequence[Batcher[Any, Any]]:
        return self._predictions, self._calls, self._urgent_calls

    def _prepared(self, image: CaseInput, answers: Mapping[str, object]) -> _Ready:
        reader = self.predictor.reader
        encoded = reader.encode([reader.read(answers)])
        return _Ready(self.predictor.batches([image], encoded, slice(1)), encoded)

    def _run(self, items: Sequence[_Ready]) -> list[Prediction]:
        self.ran(len(items))
        batches = [_joined(parts) for parts in zip(*(one.batches for one in items), strict=True)]
        rows = self.predictor.ensemble.probabilities(batches).tolist()
        return [
            self.predictor.prediction(row, one.encoded, 0)
            for row, one in zip(rows, items, strict=True)
        ]


def _each(calls: Sequence[Callable[[], Any]]) -> list[tuple[Any, BaseException | None]]:
    return [_caught(call) for call in calls]


def _caught(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """The result of a call or its error, which is that request's alone."""
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 (raised where it was called)
        return None, error


def _joined(parts: Sequence[LesionBatch]) -> LesionBatch:
    """Batches of one case as one batch."""
    absent = [one.image.absent for one in parts if one.image.absent is not None]
    return LesionBatch(
        Pixels(torch.cat([one.pixels for one in parts]), torch.cat(absent) if absent else None),
        torch.cat([one.metadata for one in parts]),
        torch.cat([one.missing for one in parts]),
        torch.cat([one.target for one in parts]),
        [name for one in parts for name in one.case_id],
    )
