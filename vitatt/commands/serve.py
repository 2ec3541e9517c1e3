"""The command `vitatt serve`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from vitatt.inference.predictor import Predictor
from vitatt.ranges import Range, check_ranges
from vitatt.types import UsageError
from vitatt.words import as_list

_LOCAL = ("127.0.0.1", "localhost", "::1")
_TOKEN = "VITATT_TOKEN"


def serve(
    *,
    ckpt_path: Sequence[str] | str,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    device: str | None = None,
) -> int:
    """Serve trained models: a page for people, and an API.

    Nothing that is sent is stored. Not a medical device.

    Args:
        ckpt_path: Trained models, each a file, the folder of its run, or `best` or `last`. Several
            are compared side by side; NAME=FILE gives a model a name.
        host: Address to listen at; any other than this machine's own needs a token.
        port: Port to listen at; 0 for any that is free.
        token: What requests must carry; by default that of the environment variable VITATT_TOKEN.
        device: Where the models run, such as cpu or cuda:1; by default a GPU if there is one.

    Returns:
        0, after SIGINT or SIGTERM, when what ran is finished.

    Raises:
        UsageError: If a package is missing, the port is taken, a checkpoint cannot be used, models
            are of different datasets, the token cannot be sent, or others than this machine could
            call without one.
    """
    if lacking := [one for one in ("fastapi", "uvicorn") if importlib.util.find_spec(one) is None]:
        raise UsageError(
            f"`vitatt serve` needs {' and '.join(lacking)}: pip install 'vitatt[serve]'."
        )
    check_ranges({"port": Range(least=0, most=65535)}, {"port": port})
    token = token or os.environ.get(_TOKEN) or None
    if host not in _LOCAL and not token:
        raise UsageError(
            f"Expected `--token` (or {_TOKEN}) with `--host {host}`: others than this machine "
            "could call the server. Choose a long random text."
        )
    if token and not _fits_header(token):
        raise UsageError(
            "Expected a token of letters, digits and other characters of ASCII, as a header of HTTP"
            " can carry, without spaces at its ends."
        )
    from vitatt.serving.listening import listen  # imports FastAPI
    from vitatt.serving.run import run_server

    with listen(host, port) as listening:  # models take longer to load than this to fail
        models = _models(as_list(ckpt_path), device)
        return run_server(models, listening, host=host, token=token)


def _fits_header(token: str) -> bool:
    return token.isascii() and token.isprintable() and token == token.strip()


def _models(given: Sequence[str], device: str | None) -> dict[str, Predictor]:
    """The models by name.

    Raises:
        UsageError: If two have one name, or are of different datasets.
    """
    from vitatt.inference.case_in_hand import require_networks  # imports PyTorch

    models: dict[str, Predictor] = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not equals or Path(one).exists():
            name, path = "", one
        predictor = Predictor.load(path, device=device)
        require_networks(predictor)
        name = name or _name(predictor, list(models))
        if name in models:
            raise UsageError(f"Two models are named '{name}'. Name them as NAME=FILE.")
        models[name] = predictor
    first, *others = models.items()
    for name, other in others:
        for what in ("dataset", "classes", "views"):
            found, expected = (getattr(one.tasks[0], what) for one in (other, first[1]))
            if found != expected:
                raise UsageError(
                    f"Expected models of one dataset, but the {what} of '{name}' is {found}, and "
                    f"that of '{first[0]}' is {expected}."
                )
    return models


def _name(predictor: Predictor, taken: Sequence[str]) -> str:
    """The name of a run's folder, or of a file; with a number if it is taken."""
    path: Path = predictor.ensemble.models[0].path
    name = path.parent.parent.name if path.parent.name == "checkpoints" else path.stem
    number = 2
    found = name or "model"
    while found in taken:
        found = f"{name}-{number}"
        number += 1
    return found
