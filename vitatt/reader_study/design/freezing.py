"""The folder of a new study: everything is computed, and then frozen with its digests."""

from __future__ import annotations

import contextlib
import datetime
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from vitatt.files import check_folder, require_empty, write_frame
from vitatt.reader_study.log_reading import create_log
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.study_folder import TOKENS, sha256, write_manifest


def freeze(manifest: Manifest, tokens: Mapping[str, str], folder: Path) -> str:
    """Write plan, digest, log and tokens of a study whose other files are there already.

    Args:
        manifest: Of the study.
        tokens: Of each reader by code, which are written for the operator only.
        folder: Of the study.

    Returns:
        The digest of the manifest.
    """
    write_tokens(tokens, folder)
    digest = write_manifest(manifest, folder)
    create_log(folder, digest, datetime.datetime.now(datetime.UTC))
    return digest


def write_tokens(tokens: Mapping[str, str], folder: Path) -> None:
    """Write ``tokens.csv``: reader, token and path of the address to send to the reader."""
    rows = [(code, token, f"/r/{token}") for code, token in tokens.items()]
    path = folder / TOKENS
    write_frame(pl.DataFrame(rows, schema=["reader", "token", "address"], orient="row"), path)
    path.chmod(0o600)


@contextlib.contextmanager
def new_folder(output: Path, what: str = "--output") -> Iterator[Path]:
    """Yield a temporary folder that becomes `output` when the block ends without an error.

    So there is no study that is half written.

    Args:
        output: Folder that does not exist, or is empty.
        what: Option that names it, for messages.

    Raises:
        UsageError: If it holds anything or cannot be made.
    """
    require_empty(output, what)
    target = output.resolve()
    check_folder(target.parent, what)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        # A subfolder, because the temporary folder itself is readable by its owner only.
        made = Path(temporary) / "study"
        made.mkdir()
        yield made
        require_empty(output, what)
        shutil.rmtree(target, ignore_errors=True)
        made.replace(target)


def with_tokens(manifest: Manifest, tokens: Mapping[str, str]) -> Manifest:
    """Return a plan with the digests of the readers' tokens."""
    readers = tuple(
        reader.model_copy(update={"token_sha256": sha256(tokens[reader.code].encode())})
        for reader in manifest.readers
    )
    return manifest.model_copy(update={"readers": readers})


def opaque_ids(count: int, prefix: str) -> Sequence[str]:
    """Names of cases by their random order, such as ``c001``."""
    width = max(3, len(str(count)))
    return [f"{prefix}{number:0{width}d}" for number in range(1, count + 1)]
