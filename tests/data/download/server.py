"""A server on this machine that does to a download what networks and publishers do."""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from vitatt.data.datasets.publications import RemoteFile
from vitatt.data.download.fetch import Patience

QUICK = Patience(tries=3, wait=0.01, connect=2.0, read=0.3)

Action = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """Serves one content at every path.

    Attributes:
        content: What is served.
        tag: Its ETag; empty for none.
        script: What to do at the next requests; afterwards they are answered honestly.
        asked: Headers of the requests.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = bytes(range(256)) * 400
        self.tag = '"one"'
        self.script: list[Action] = []
        self.asked: list[dict[str, str]] = []
        self.over = threading.Event()

    def file(
        self, name: str = "data.bin", *, known: bool = False, confirmed: bool = False
    ) -> RemoteFile:
        """The file as a publication has it, with its size and digest if they are known."""
        url = f"http://127.0.0.1:{self.server_address[1]}/{name}"
        digest = f"sha256:{hashlib.sha256(self.content).hexdigest()}"
        size = len(self.content)
        return RemoteFile(name, url, *((size, digest, confirmed) if known else ()))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))
        action = self.server.script.pop(0) if self.server.script else honest
        action(self)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        self.send_header("Connection", "close")
        self.end_headers()

    @property
    def begin(self) -> int:
        """Where the request wants to begin: 0 if its condition is not met."""
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range", self.server.tag)
        return int(wanted[1]) if wanted and condition == self.server.tag else 0


def honest(request: Handler, *, most: int | None = None) -> None:
    """Answer as RFC 9110 says; close the connection after `most` bytes."""
    content, begin = request.server.content, request.begin
    if begin >= len(content):
        request.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
        return
    span = {"Content_Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
    request.head(206 if begin else 200, Content_Length=len(content) - begin, **span)
    request.wfile.write(content[begin:][:most])


def cut(after: int) -> Action:
    return lambda request: honest(request, most=after)


def stall(after: int) -> Action:
    """Send some bytes, and then nothing."""

    def act(request: Handler) -> None:
        honest(request, most=after)
        request.wfile.flush()
        request.server.over.wait(20)

    return act


def status(code: int, **headers: object) -> Action:
    return lambda request: request.head(code, Content_Length=0, **headers)


def whole(request: Handler) -> None:
    """Ignore the range."""
    request.head(200, Content_Length=len(request.server.content))
    request.wfile.write(request.server.content)


def heedless(request: Handler) -> None:
    """Heed the range, but not its condition."""
    del request.headers["If-Range"]
    honest(request)


def promising(length: int, send: int | None = None) -> Action:
    """Say another length than the content has."""

    def act(request: Handler) -> None:
        request.head(200, Content_Length=length)
        request.wfile.write(request.server.content[:send])

    return act


def compressed(request: Handler) -> None:
    """Compress, although that was not asked for."""
    content = gzip.compress(request.server.content)
    request.head(200, Content_Length=len(content), Content_Encoding="gzip")
    request.wfile.write(content)


def overflowing(request: Handler) -> None:
    """Send more than the rest."""
    content, begin = request.server.content, request.begin
    span = f"bytes {begin}-{len(content) - 1}/{len(content)}"
    request.head(206, Content_Length=len(content) - begin + 3, Content_Range=span)
    request.wfile.write(content[begin:] + b"abc")


def silent_about_length(request: Handler) -> None:
    request.head(200)
    request.wfile.write(request.server.content)


def moved(address: str) -> Action:
    return lambda request: request.head(302, Location=address, Content_Length=0)


def page(request: Handler) -> None:
    request.head(200, Content_Type="Text/HTML; charset=utf-8", Content_Length=2)
    request.wfile.write(b"hi")


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()
