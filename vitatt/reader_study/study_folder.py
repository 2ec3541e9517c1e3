"""The folder of a reader study: its manifest and digests, which show every change of a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from vitatt.files import whole_file, write_text
from vitatt.reader_study.frozen_model import first_problem
from vitatt.reader_study.manifest import Manifest
from vitatt.reading import read_text
from vitatt.types import UsageError

MANIFEST = "study.json"
"""The frozen plan."""

MANIFEST_DIGEST = "manifest.sha256"
"""Digest of the frozen plan, in the format of ``sha256sum``."""

TOKENS = "tokens.csv"
"""Readers' tokens, for the operator alone."""


class TamperingError(UsageError):
    """A file of a study is not as it was written; the message names it and, of a log, the line."""


def sha256(data: bytes) -> str:
    """Return the SHA-256 digest of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def write_manifest(manifest: Manifest, folder: Path) -> str:
    """Write ``study.json`` and its digest, and return the digest."""
    text = manifest.model_dump_json(indent=1) + "\n"
    Manifest.model_validate_json(text)  # copies with other values have not been checked
    write_text(text, folder / MANIFEST)
    digest = sha256(text.encode())
    write_text(f"{digest}  {MANIFEST}\n", folder / MANIFEST_DIGEST)
    return digest


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Return the plan of a study and its digest, without a look at the other files.

    Raises:
        TamperingError: If ``study.json`` no longer has its digest.
        UsageError: If a file is missing or unreadable, or the content is no plan of a study.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(
            f"{folder} is no folder of a reader study: it has no {MANIFEST}. `vitatt study design` "
            "makes one."
        )
    data = read_text(path).encode()
    stated = read_text(folder / MANIFEST_DIGEST).split()
    digest = sha256(data)
    if stated[:1] != [digest]:
        raise TamperingError(
            f"{path} was changed: its SHA-256 is {digest}, but {MANIFEST_DIGEST} states "
            f"{stated[0] if stated else 'none'}. Restore both from a backup."
        )
    try:
        return Manifest.model_validate_json(data), digest
    except ValidationError as error:
        place, found = first_problem(error)
        raise UsageError(
            f"{path} is no plan of a reader study of this version: {place or 'the whole'}: "
            f"{found['msg']}."
        ) from error


def check_files(manifest: Manifest, folder: Path) -> None:
    """Check that every file of a study is there with its digest.

    Raises:
        TamperingError: If one is missing or changed; the message names the first.
    """
    for name, digest in manifest.files().items():
        path = folder / name
        try:
            found = sha256(path.read_bytes())
        except OSError as error:
            raise TamperingError(
                f"{path}, which {MANIFEST} lists, cannot be read ({error.strerror}). Restore it "
                "from a backup."
            ) from error
        if found != digest:
            raise TamperingError(
                f"{path} was changed: its SHA-256 is {found}, but {MANIFEST} states {digest}. "
                "Restore it from a backup."
            )


def write_bytes(data: bytes, path: Path) -> str:
    """Write a file of a study, whole or not at all, and return its digest."""
    with whole_file(path, settle=False) as part:
        part.write_bytes(data)
    return sha256(data)
