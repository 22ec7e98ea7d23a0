"""Where containers of this device leave their points: HTTP on the device's own bridge, into the spool.

``POST /api/v1/write`` as the gateway has it, with the deployment's token. 200 means that the points are on disk. Who
may write what is the gateway's decision, made when they arrive there; what it refused of this sender's earlier
points is in the next answer, so a program's log shows it.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from cyberlab_edge.outbox import BATCH_BYTES, BATCH_LINES
from cyberlab_edge.spool import Spool, SpoolFull

log = logging.getLogger("cyberlab_edge.intake")

AT_ONCE = 64
EACH = 8
"""Connections in all and of one container; one more is closed at once, and its program comes again."""
BYTES_A_SECOND = 2_000_000
"""Of one container. It shares the disk, and the moments in which it is synced, with the others."""
IDLE_SECONDS = 75
TOKEN_CHARACTERS = 200
IP_FREEBIND = 15
"""Linux: the address may come later. Docker makes its bridge when it starts, which may be after us."""


class Refusals(Protocol):
    def refusals(self, token: str) -> list[str]: ...


class Intake(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], spool: Spool, link: Refusals) -> None:
        """Raises: OSError: the port is taken."""
        self.spool = spool
        self.link = link
        self._lock = threading.Lock()
        self._inside: Counter[str] = Counter()
        self._taken: dict[str, tuple[float, int]] = {}
        """Container's address -> when its second began, and the bytes since."""
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        host = client_address[0]
        with self._lock:
            room = self._inside.total() < AT_ONCE and self._inside[host] < EACH
            self._inside[host] += room
        if room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._inside[client_address[0]] -= 1
                self._inside += Counter()  # forgets who has none

    def has_room(self, host: str, size: int) -> bool:
        """Whether that container may leave so many bytes now; if so they count."""
        now = time.monotonic()
        with self._lock:
            begun, taken = self._taken.get(host, (now, 0))
            if now - begun >= 1:
                begun, taken = now, 0
            if taken and taken + size > BYTES_A_SECOND:
                return False
            self._taken = {h: t for h, t in self._taken.items() if now - t[0] < 1}
            self._taken[host] = (begun, taken + size)
            return True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's form
        log.debug("a connection broke", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: Intake
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        points, size = self.server.spool.waiting
        self._answer(*((200, {"waiting": points, "bytes": size}) if self.path == "/health" else _NOT_FOUND))

    def do_POST(self) -> None:
        if self.path != "/api/v1/write":
            self._answer(*_NOT_FOUND, close=True)
            return
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not 0 < len(token) <= TOKEN_CHARACTERS or not token.isascii():
            self._answer(*_error(401, "token-missing", "Send the deployment's token."), close=True)
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length[:9]) > BATCH_BYTES:
            self._answer(*_TOO_LARGE, close=True)
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return
        if body.count(b"\n") >= BATCH_LINES:
            self._answer(*_TOO_LARGE)
            return
        if not self.server.has_room(self.client_address[0], len(body)):
            self._answer(*_error(429, "too-fast", f"A container may leave {BYTES_A_SECOND} bytes a second."))
            return
        try:
            self.server.spool.put(token, body)
        except SpoolFull as error:
            self._answer(*_error(503, "spool-full", str(error)))
            return
        refused = [{"line": 0, "reason": reason} for reason in self.server.link.refusals(token)]
        self._answer(200, {"written": body.count(b"\n") + 1, "refused": refused})

    def _answer(self, status: int, content: dict[str, Any], *, close: bool = False) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if status == 429:
            self.send_header("Retry-After", "1")
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's form
        """Nothing: a device's log is for what goes wrong."""


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"code": code, "message": message}}


_TOO_LARGE = _error(413, "body-large", f"A batch has at most {BATCH_BYTES} bytes and {BATCH_LINES} points.")
_NOT_FOUND = _error(404, "not-found", "There is only POST /api/v1/write and GET /health.")
