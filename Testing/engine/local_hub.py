"""A small Hugging Face hub on 127.0.0.1: one file of one repository, and the accidents of a network."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_PIECE = 1 << 20


@dataclass
class LocalHub:
    """What the hub serves, how it behaves, and what it was asked.

    ``breaks`` are bytes of the answer after which the connection of the next downloads is cut, one each; ``status``
    other than 200 answers every question so, with ``error_code`` as the hub's own name for it. ``announced_size`` and
    ``announced_sha256`` are lies about the file. ``requests`` are (method, path, Range header).
    """

    repository: str
    file: str
    content: bytes
    breaks: list[int] = field(default_factory=list)
    status: int = 200
    error_code: str = ""
    announced_size: int | None = None
    announced_sha256: str | None = None
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    address: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def downloads(self) -> list[str | None]:
        """Range headers of the requests for the file's content."""
        return [asked for method, _, asked in self.requests if method == "GET"]


@contextlib.contextmanager
def serving(hub: LocalHub) -> Iterator[LocalHub]:
    """The hub, answering at ``hub.address`` while it lasts."""

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_address() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


class _Handler(BaseHTTPRequestHandler):
    served: LocalHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the requests are kept instead."""

    def _answer(self, with_content: bool) -> None:
        hub = self.served
        hub.requests.append((self.command, self.path, self.headers.get("Range")))
        known = re.fullmatch(rf"/{re.escape(hub.repository)}/resolve/(main|{COMMIT})/{re.escape(hub.file)}", self.path)
        if hub.status != 200 or not known:
            self.send_response(hub.status if known else 404)
            self.send_header("X-Error-Code", hub.error_code if known else "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self._first_byte() if with_content else 0
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Etag", f'"{hub.announced_sha256 or hub.sha256}"')
        self.send_header("X-Linked-Size", str(hub.announced_size or len(hub.content)))
        self.send_header("Content-Length", str(len(hub.content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(hub.content) - 1}/{len(hub.content)}")
        self.end_headers()
        if with_content:
            self._send(hub.content[start:], hub.breaks.pop(0) if hub.breaks else None)

    def _first_byte(self) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("Range", ""))
        return int(asked[1]) if asked else 0

    def _send(self, content: bytes, breaks_after: int | None) -> None:
        for begin in range(0, len(content), _PIECE):
            piece = content[begin : begin + _PIECE]
            if breaks_after is not None and begin + len(piece) > breaks_after:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.wfile.write(piece)
