"""What a server's answer says of a file: status, place, length and validator (RFC 9110)."""

from __future__ import annotations

import re
from http import HTTPStatus

import requests

from vitatt.types import DataError


class UnreachableError(DataError):
    """The server does not give a file; a person may get it in another way."""


class Cut(Exception):  # noqa: N818 (a state, which is handled)
    """An attempt ended early, for a reason that may pass.

    Attributes:
        reason: Goes on after the name of the file.
        wait: Seconds that the server asked to wait; 0 if it did not.
    """

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


_CONTENT = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


def require_content(answer: requests.Response, name: str) -> None:
    """Check that an answer has content, or says that there is none after the place asked for.

    Raises:
        UnreachableError: If waiting would not help.
        Cut: If it may.
    """
    status = answer.status_code
    said = f"{status} {answer.reason or ''}".strip()
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
        after = answer.headers.get("Retry-After", "")
        raise Cut(f"was answered by {said}", float(after) if after.isdecimal() else 0.0)
    if status not in (*_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        raise UnreachableError(f"The server answers {said} for {name} ({answer.url}).")
    if status in _CONTENT and answer.headers.get("Content-Type", "").lower().startswith(
        "text/html"
    ):
        raise UnreachableError(f"The server sends a web page in place of {name} ({answer.url}).")


def place(answer: requests.Response) -> tuple[int, int | None]:
    """Where the content of an answer begins in the file, and the length of the file if it says so.

    Raises:
        Cut: If the answer is a part, and does not say which.
    """
    span = answer.headers.get("Content-Range", "").strip()
    if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        nothing = re.fullmatch(r"bytes \*/(\d+)", span)
        return 0, int(nothing[1]) if nothing else None
    if answer.status_code == HTTPStatus.PARTIAL_CONTENT:
        some = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", span)
        if not some:
            raise Cut("was answered with a part that does not say where it begins")
        return int(some[1]), None if some[2] == "*" else int(some[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() and not _coded(answer) else None


def validator(answer: requests.Response) -> str:
    """What ``If-Range`` may name: a strong ETag or, without one, the time of the last change."""
    if _coded(answer):
        return ""  # places in the coded content are not those in the file
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")


def reason_of(error: requests.RequestException) -> str:
    """Why a request failed, in a few words."""
    text = str(error)
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted here"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not let it through"
    if isinstance(error, requests.Timeout) or "Read timed out" in text:
        return "the server is silent"
    if "NameResolutionError" in text or "getaddrinfo" in text:
        return "the name of the server is not known here"
    return "the connection was refused" if "refused" in text else "the connection broke"


def _coded(answer: requests.Response) -> bool:
    """Whether the content is compressed on its way."""
    return answer.headers.get("Content-Encoding", "identity") != "identity"
