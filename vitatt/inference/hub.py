"""Models on the Hugging Face hub, as folders on this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vitatt.models.exported import CONFIG, FILES, format_of
from vitatt.types import UsageError

PREFIX = "hf:"
"""Before the name of a repository, where a checkpoint may be named."""


def downloaded(name: str) -> Path:
    """Return the folder of a model of the hub, which is downloaded unless it is there.

    Only the files of an export are fetched, and nothing in them is executed.

    Args:
        name: ``hf:OWNER/NAME``, or ``hf:OWNER/NAME@REVISION``.

    Raises:
        UsageError: If huggingface_hub is not installed, the name is malformed, the model cannot be
            fetched, or the repository holds no model of vitatt.
    """
    require_hub()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    try:
        folder = Path(
            str(
                snapshot_download(
                    repository, revision=revision or None, allow_patterns=[CONFIG, *FILES.values()]
                )
            )
        )
    except HFValidationError as error:
        raise UsageError(
            f"Expected a model of the hub as hf:OWNER/NAME, but got '{name}': {error}"
        ) from error
    except (
        Exception
    ) as error:  # no network, no such repository, no right to read it, disk full, ...
        raise UsageError(
            f"The model '{name}' could not be fetched ({type(error).__name__}: "
            f"{str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}). "
            "Look at its name and the network; a private model needs `hf auth login`. A folder "
            "that was downloaded elsewhere can be named as it is."
        ) from error
    if format_of(folder) is None:
        raise UsageError(
            f"The repository '{name}' holds no model of `vitatt push`: it has no {CONFIG} of "
            "vitatt."
        )
    return folder


def require_hub() -> None:
    """Check that huggingface_hub is installed.

    Raises:
        UsageError: If it is not.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        raise UsageError(
            "Models of the Hugging Face hub need a package: pip install 'vitatt[hub]'."
        )
