"""Fetch one file over HTTP: it goes on after a cut, and no two versions are glued together."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from http import HTTPStatus
from importlib import metadata
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from vitatt.data.datasets.publications import RemoteFile
from vitatt.data.download.answers import (
    Cut,
    UnreachableError,
    place,
    reason_of,
    require_content,
    validator,
)
from vitatt.data.download.part import Part, find_part
from vitatt.types import DataError

Say = Callable[[str], None]
"""Prints a line for the user."""

_PIECE = 1 << 14
"""Bytes received at once; urllib3 drops those of a piece that a cut ends."""
_LONGEST_WAIT = 60.0


class Patience(NamedTuple):
    """How long a server is waited for.

    Attributes:
        tries: Attempts in a row that bring nothing new.
        wait: Seconds before the second attempt, doubled before each further one.
        connect: Seconds for a connection.
        read: Seconds without a byte that count as a cut.
    """

    tries: int = 5
    wait: float = 2.0
    connect: float = 20.0
    read: float = 60.0


PATIENCE = Patience()


def fetch(file: RemoteFile, target: Path, say: Say, patience: Patience = PATIENCE) -> Part:
    """Fetch a file, going on where an earlier call was cut.

    Args:
        file: The file.
        target: Where it will be; its folder exists.
        say: Told what is unusual.
        patience: How long to wait.

    Returns:
        The file under the name of its part, so that its content can be checked before it takes its
        name.

    Raises:
        UnreachableError: If the server refuses, has another kind of content, or does not answer.
        DataError: If the file is longer or shorter than the server says, or than is known for
            sure; or the disk is full. What there is of it is kept, unless it cannot be used.
    """
    part = find_part(target, file.url)
    most, failures = part.have, 0
    with requests.Session() as session:
        session.headers["User-Agent"] = f"vitatt/{metadata.version('vitatt')}"
        # Compressed on its way, a file would have another length and other places.
        session.headers["Accept-Encoding"] = "identity"
        while not part.whole:
            try:
                part = _attempt(session, file, part, say, patience)
                break
            except Cut as cut:
                part = find_part(target, file.url)
                failures = 1 if part.have > most else failures + 1
                most = max(most, part.have)
                if failures >= patience.tries:
                    raise _given_up(file, part, cut, patience) from cut
                pause = min(cut.wait or patience.wait * 2 ** (failures - 1), _LONGEST_WAIT)
                say(f"{file.name} {cut.reason}; trying again in {pause:.0f} s.")
                time.sleep(pause)
        if part.have != file.size:
            _require_end(session, file, part, patience)
    return part


def _attempt(
    session: requests.Session, file: RemoteFile, part: Part, say: Say, patience: Patience
) -> Part:
    """Ask for a file, or for the rest of it, and receive what comes.

    Returns:
        The part, which the server says is whole.

    Raises:
        Cut: If it is not, and another attempt may help.
    """
    have = part.have if part.validator else 0
    if part.have and not have:
        say(
            f"{file.name}: the server does not tell whether it changed since, so it starts anew; "
            f"{part.have:,} bytes are dropped."
        )
    headers = {"Range": f"bytes={have}-", "If-Range": part.validator} if have else {}
    timeout = (patience.connect, patience.read)
    try:
        with session.get(file.url, headers=headers, stream=True, timeout=timeout) as answer:
            require_content(answer, file.name)
            begin, total = _place_in(file, part, have, answer)
            if have and not begin:
                same = validator(answer) == part.validator
                why = "the server cannot go on in the middle" if same else "it has changed"
                say(f"{file.name}: {why}, so it starts anew; {have:,} bytes are dropped.")
            new = Part(part.target, file.url, part.validator if begin else validator(answer), total)
            _check_total(file, new, say)
            _require_room(file, new, begin)
            if part.have and not begin:
                part.discard()  # first, so that a note never stands beside bytes of another file
            new.note()
            _receive(answer, file, new, begin)
    except requests.exceptions.SSLError as error:
        server = urlsplit(file.url).netloc
        raise UnreachableError(
            f"No safe connection to {server} for {file.name}: {reason_of(error)}."
        ) from error
    except (requests.TooManyRedirects, ValueError) as error:
        # ValueError: an address, of the server or a proxy, that is none, such as file:///.
        raise UnreachableError(f"{file.name} cannot be had from {file.url}: {error}.") from error
    except requests.RequestException as error:
        raise Cut(f"was cut, since {reason_of(error)}") from error
    if new.total is not None and new.have < new.total:
        raise Cut(f"was cut after {new.have:,} of {new.total:,} bytes")
    if new.total is not None and new.have > new.total:
        new.discard()
        raise Cut(f"came with more than the {new.total:,} bytes that the server said; dropped")
    return new


def _place_in(
    file: RemoteFile, part: Part, have: int, answer: requests.Response
) -> tuple[int, int | None]:
    """Where the content of an answer begins in the file, and the length of the file.

    Raises:
        Cut: If it does not fit what is there, which is dropped.
        DataError: If the file ends before the place where the server said that it would.
    """
    begin, total = place(answer)
    if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.discard()
        if total == have and part.total is not None:
            raise DataError(
                f"The server said that {file.name} has {part.total:,} bytes, but it ends after "
                f"{have:,}. What was fetched may be incomplete and was removed. Run the command "
                "again later."
            )
        raise Cut("has become shorter than what was fetched, which is dropped")
    if not begin:
        return begin, total
    # Some servers send the rest without heed to the condition.
    found = validator(answer)
    if begin != have or (found and found != part.validator):
        part.discard()
        raise Cut("has changed since its beginning was fetched, which is dropped")
    if None not in (part.total, total) and part.total != total:
        part.discard()
        raise Cut(
            f"has {total:,} bytes by what the server says now, and {part.total:,} by what it said "
            "before; what was fetched is dropped"
        )
    return begin, total if total is not None else part.total


def _receive(answer: requests.Response, file: RemoteFile, part: Part, begin: int) -> None:
    """Append the content of an answer to the part, from a place on.

    Raises:
        DataError: If the disk is full.
    """
    bar = tqdm(
        total=part.total, initial=begin, desc=file.name, unit="B", unit_scale=True, leave=False
    )
    try:
        with part.path.open("ab", buffering=0) as out, bar:
            for piece in answer.iter_content(_PIECE):
                rest = memoryview(piece)
                while rest:
                    rest = rest[out.write(rest) :]
                bar.update(len(piece))
            os.fsync(out.fileno())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(
            f"The disk of {part.path.parent} is full: {part.have:,} bytes of {file.name} are "
            "kept. Make room and run the command again, which goes on from there."
        ) from error


def _check_total(file: RemoteFile, part: Part, say: Say) -> None:
    """Compare the length that the server says with the known one, before anything is received."""
    if part.total is None:
        say(f"{file.name}: the server does not say how long it is.")
    elif file.size is not None and part.total != file.size:
        found = f"{file.name} should have {file.size:,} bytes, but the server says {part.total:,}"
        if file.confirmed:
            raise DataError(f"{found}. It was not fetched: the publication may have changed.")
        say(f"WARNING: {found}. The expected length was never confirmed, so it is fetched.")


def _require_room(file: RemoteFile, part: Part, begin: int) -> None:
    rest = (part.total or 0) - begin
    free = shutil.disk_usage(part.path.parent).free
    if rest > free:
        raise DataError(
            f"{file.name} needs {rest / 1e9:.2f} GB more, but the disk of {part.path.parent} has "
            f"{free / 1e9:.2f} GB free. Make room, or name another folder."
        )


def _require_end(
    session: requests.Session, file: RemoteFile, part: Part, patience: Patience
) -> None:
    """Check that a file ends where the server said.

    If it says too small a length, every HTTP client stops there. So the byte after the last one is
    asked for, and there must be none.

    Raises:
        DataError: If the file goes on.
    """
    have = part.have
    headers = {"Range": f"bytes={have}-{have}"}
    timeout = (patience.connect, patience.read)
    try:
        with session.get(file.url, headers=headers, stream=True, timeout=timeout) as answer:
            begin, total = place(answer)
    except (requests.RequestException, Cut):
        return  # nothing is learned
    goes_on = begin == have and (total is None or total > have)  # some send an empty part
    if answer.status_code == HTTPStatus.PARTIAL_CONTENT and goes_on:
        part.discard()
        raise DataError(
            f"The server said that {file.name} has {have:,} bytes, but it goes on after them"
            f"{f', to {total:,}' if total else ''}. What was fetched is incomplete and was "
            "removed. Run the command again later."
        )


def _given_up(file: RemoteFile, part: Part, cut: Cut, patience: Patience) -> UnreachableError:
    times = f"{patience.tries} times in a row"
    if part.total is not None and 0 < part.have < part.total:
        return UnreachableError(
            f"The server says that {file.name} has {part.total:,} bytes, but {part.have:,} are all "
            f"that came, {times}: it {cut.reason}. They are kept in {part.path.name}; the same "
            "command later goes on from there."
        )
    return UnreachableError(f"{file.name} {cut.reason}, {times} ({file.url}).")
