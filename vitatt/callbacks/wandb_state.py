"""Settings of W&B on this machine, read without a network and without its service."""

from __future__ import annotations

import contextlib
import netrc
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import wandb
from pydantic import ValidationError
from wandb.errors import Error as WandbError


class WandbState(NamedTuple):
    """Weights & Biases on this machine.

    Attributes:
        mode: Value of ``WANDB_MODE`` or of the settings files; None without one.
        address: Address of the server.
        login: File or variable that holds the key; None if nobody is logged in.
        waiting: Folders of offline runs that were not sent yet.
        problem: Problem of the settings or the file of keys; empty without one.
    """

    mode: str | None
    address: str
    login: str | None
    waiting: list[Path]
    problem: str


def wandb_state(runs: Path) -> WandbState:
    """The state of W&B.

    Args:
        runs: Folder of the runs.
    """
    problem = ""
    settings = wandb.Settings()
    try:
        with contextlib.suppress(RuntimeError):  # no home folder
            config = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
            settings.settings_system = str(Path(config).expanduser() / "settings")
            settings.update_from_system_settings()
        settings.update_from_env_vars(dict(os.environ))
    except (AttributeError, OSError, UnicodeDecodeError, ValidationError, WandbError) as error:
        problem = f"W&B's settings cannot be read: {' '.join(str(error).split())}"
    address = str(settings.base_url)
    login, wrong = _login(address)
    named = os.environ.get("WANDB_MODE")
    mode = named or (settings.mode if settings.mode != "online" else None)
    return WandbState(mode, address, login, _waiting(runs), problem or wrong)


def _login(address: str) -> tuple[str | None, str]:
    """File or variable that holds the key, and the problem of that file."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        if os.environ.get(name):
            return name, ""
    names = [urlsplit(address).netloc]
    if ".forge." in names[0]:  # a server that forwards to W&B's own
        names.append("api.wandb.ai")
    try:
        files = [Path(os.environ.get("NETRC") or "~/.netrc").expanduser()]
        if "NETRC" not in os.environ:
            files.append(Path("~/_netrc").expanduser())
    except RuntimeError:  # no home folder
        return None, ""
    for file in files:
        try:
            logins = netrc.netrc(str(file))
        except FileNotFoundError:
            continue
        except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
            return None, f"The file of logins {file} cannot be read: {error}"
        if any(found and found[2] for found in map(logins.authenticators, names)):
            return str(file), ""
    return None, ""


def _waiting(runs: Path) -> list[Path]:
    """Offline runs without the file by which W&B marks those that it has sent."""
    try:
        folders = sorted((runs / "wandb").glob("offline-run-*"))
        return [one for one in folders if not any(one.glob("*.wandb.synced"))]
    except OSError:
        return []
