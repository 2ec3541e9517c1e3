"""Sweeps by W&B: the search is on its server, an agent on this machine runs the trainings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import wandb

from vitatt.types import UsageError


def require_login(offline: str) -> None:
    """See that W&B can search.

    Args:
        offline: A command that searches without W&B, for the message.

    Raises:
        UsageError: If nobody is logged in, or W&B is switched off or cannot be reached.
    """
    mode = os.environ.get("WANDB_MODE") or "online"
    instead = f"or search offline: {offline}"
    if mode not in ("online", "run", "shared"):
        raise UsageError(
            f"A sweep by W&B needs its server, but WANDB_MODE is {mode}: unset it, {instead}"
        )
    try:
        logged_in = wandb.login(prompt=False)
    except wandb.errors.Error as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"W&B cannot be used ({reason}): log in anew, {instead}") from error
    if not logged_in:
        raise UsageError(
            f"A sweep by W&B needs a login: call `wandb login`, or set WANDB_API_KEY, {instead}"
        )


def run_sweep(config: Mapping[str, Any], *, count: int | None) -> None:
    """Create a sweep, and run an agent until the sweep ends.

    Args:
        config: In W&B's format, with the project.
        count: Trainings of this agent; None for as many as the sweep has.
    """
    project = str(config["project"])
    sweep_id = wandb.sweep(dict(config), project=project)
    print(f"Agents on other machines: wandb agent --project {project} {sweep_id}", flush=True)
    wandb.agent(sweep_id, project=project, count=count)
