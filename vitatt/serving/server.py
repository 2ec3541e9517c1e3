"""The models that are served, the cases in hand, and what is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI

from vitatt.inference.predictor import Predictor
from vitatt.serving.bounds import Bounds
from vitatt.serving.case_store import CaseStore
from vitatt.serving.monitoring import Monitoring
from vitatt.serving.refusals import Refusal
from vitatt.serving.served import ServedModel
from vitatt.serving.worker import Worker
from vitatt.words import did_you_mean


class Server:
    """The models, the cases in hand, and what is counted.

    Args:
        models: Models by name.
        bounds: Limits of requests.
    """

    def __init__(self, models: Mapping[str, Predictor], bounds: Bounds) -> None:
        self.bounds = bounds
        self._worker = Worker()
        self.models = {
            name: ServedModel(name, predictor, self._worker, bounds)
            for name, predictor in models.items()
        }
        self.cases = CaseStore(bounds)
        self.monitoring = Monitoring(self.waiting, lambda: len(self.cases))
        for model in self.models.values():
            model.ran = self.monitoring.batch

    @property
    def first(self) -> ServedModel:
        """The model that is used where none is named."""
        return next(iter(self.models.values()))

    def waiting(self) -> int:
        """Return the number of requests that wait for a model."""
        return sum(model.waiting for model in self.models.values())

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Run the application, and finish what waits at its end."""
        del app
        yield
        for model in self.models.values():
            await model.close()
        self._worker.close()

    def named(self, name: object) -> ServedModel:
        """Return a model by its name, the first one for None.

        Raises:
            Refusal: If there is none.
        """
        if name is None:
            return self.first
        if not isinstance(name, str) or name not in self.models:
            raise Refusal(
                404,
                f"Expected `model` to be among {', '.join(self.models)}, but got "
                f"{str(name)[:80]!r}.{did_you_mean(str(name)[:80], list(self.models))}",
            )
        return self.models[name]
