"""Upload of a folder to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub

from vitatt.types import UsageError


def upload(folder: Path, repository: str, *, private: bool) -> str:
    """Upload a folder as a model, which is made if it does not exist.

    Args:
        folder: With everything that is to be there.
        repository: ``OWNER/NAME``.
        private: Whether a new model is visible to its owner alone.

    Returns:
        Its address.

    Raises:
        UsageError: If it could not be uploaded.
    """
    api = huggingface_hub.HfApi()
    try:
        made = api.create_repo(repository, private=private, repo_type="model", exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id,
            folder_path=folder,
            repo_type="model",
            commit_message="Upload a model of vitatt",
        )
    except Exception as error:  # no network, no login, no right, a name that cannot be, ...
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"The model could not be uploaded to '{repository}' ({type(error).__name__}: "
            f"{reason[0]}). Log in by `hf auth login`, and look at the name and the network. With "
            "--output, the folder is kept, and `hf upload` uploads it later."
        ) from error
    return str(made)
