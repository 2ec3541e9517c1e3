"""Serve a study until the server is told to stop."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from vitatt.reader_study.event_log import EventLog
from vitatt.reader_study.serving.app import BOUNDS, create_study_app
from vitatt.reader_study.serving.tokens import check_tokens, operator_token
from vitatt.reader_study.study_folder import TOKENS, check_files, read_manifest
from vitatt.serving.listening import LOCAL, address_of, listen, run_app
from vitatt.types import UsageError

_LOCK = "serve.lock"


def run_study(folder: Path, *, host: str, port: int) -> int:
    """Serve a study, and return 0 after SIGINT or SIGTERM, when what ran is finished.

    Args:
        folder: Of the study.
        host: Address to listen at.
        port: Port to listen at; 0 for any that is free.

    Raises:
        TamperingError: If the plan, the log, a file or a token of the study was changed.
        UsageError: If the folder is no study, another server runs it, or the port is taken.
    """
    manifest, digest = read_manifest(folder)
    check_files(manifest, folder)
    check_tokens(manifest, folder)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError) as error:
        raise UsageError(
            f"{folder} is served already, or the folder cannot be written: {folder / _LOCK} cannot "
            "be locked. A study has one server, which knows what each reader has answered."
        ) from error
    with lock, EventLog(folder, digest) as log:
        token = operator_token(folder)
        hosts = LOCAL if host in LOCAL else None
        app = create_study_app(folder, manifest, log, operator_token=token, hosts=hosts)
        listening = listen(host, port)
        address = address_of(host, listening)
        if log.torn is not None:
            print(
                f"An entry that was cut off when the server last stopped is in {log.torn}; it was "
                "never acknowledged, and its page sends it again."
            )
        print(f"Serving the study {manifest.name} at {address}  (Ctrl-C ends it)", flush=True)
        print(f"Readers: {address}/r/TOKEN, each with a token of {folder / TOKENS}", flush=True)
        print(f"Operator: {address}/operator, with the last token of that file", flush=True)
        run_app(app, listening, BOUNDS.connections)
    return 0
