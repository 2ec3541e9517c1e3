"""Checkpoints by the names that they have in W&B."""

from __future__ import annotations

import re
from pathlib import Path

import requests
import wandb

from vitatt.callbacks.model_artifacts import artifact_name
from vitatt.types import UsageError

_WAIT = 20
"""Seconds that W&B may take to answer a question; a download may take longer."""

PREFIX = "wandb:"
"""Before the name of a checkpoint in W&B, where a checkpoint may be named."""

_NAME = re.compile(r"(?P<project>[^/:]+/[^/:]+|[^/:]+)/(?P<run>[^/:]+)(?::(?P<alias>[^/:]+))?")


def local_checkpoint(name: str, runs: Path = Path("runs")) -> str:
    """A checkpoint as a file on this machine; one of W&B is downloaded unless it is there.

    Args:
        name: What ``--ckpt_path`` names. It is returned as it is, unless it is
            ``wandb:ENTITY/PROJECT/RUN:ALIAS`` or, of the user's own entity,
            ``wandb:PROJECT/RUN:ALIAS``. RUN is the name of the run's folder; ALIAS is ``best``
            (the default), ``last`` or a version such as ``v0``.
        runs: Folder of all runs, in which downloads are kept.

    Raises:
        UsageError: If the name is malformed, or there is no such checkpoint or no access to it.
    """
    if not name.startswith(PREFIX):
        return name
    match = _NAME.fullmatch(name.removeprefix(PREFIX))
    if match is None:
        raise UsageError(
            f"Expected a checkpoint of W&B as wandb:ENTITY/PROJECT/RUN:best, but got '{name}'."
        )
    project, run, alias = match["project"], match["run"], match["alias"] or "best"
    full = f"{project}/{artifact_name(run)}:{alias}"
    try:
        artifact = wandb.Api(timeout=_WAIT).artifact(full, type="model")
        place = runs / "wandb" / "downloads" / project.replace("/", "-") / run / artifact.version
        folder = Path(artifact.download(root=str(place.absolute())))
    except (wandb.errors.Error, ValueError, OSError, requests.RequestException) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"The checkpoint '{name}' could not be fetched as the artifact {full} ({reason}). Look "
            "at its name in W&B, the network, and `wandb login`."
        ) from error
    found = sorted(folder.glob("*.ckpt"))
    if len(found) != 1:
        raise UsageError(
            f"Expected one checkpoint in the artifact {full}, but it has {len(found)}."
        )
    return str(found[0])
