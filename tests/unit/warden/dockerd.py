"""What dockerd does with its authorization plugin, as a small server on a unix socket.

Each request becomes the question that dockerd would put (its URI as it was written, the body only when it is JSON of
less than 1 MB) and goes on to `answers` when the warden allows it. The real code of the lab runs against it, so the
requests that the rules must allow are the ones the lab really sends.
"""

from __future__ import annotations

import base64
import json
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import limits
from warden import ceilings, rules
from warden.__main__ import answer

SETTINGS = Settings(state=Path("/nowhere"))
LIMITS = ceilings.read(json.dumps(limits.ceilings(SETTINGS, 4)))
TABLE = rules.rules(LIMITS)
FORWARDED = 2**20

Answers = Callable[[str, str, Any], Any]
"""(method, path without version and parameters, body) -> JSON, bytes, or an int: a status."""


def question(
    role: str, method: str, uri: str, body: bytes | None = None, content_type: str = "application/json"
) -> dict[str, Any]:
    """The question that dockerd puts."""
    asked: dict[str, Any] = {"RequestMethod": method, "RequestUri": uri, "RequestHeaders": {}}
    if role:
        asked |= {"User": role, "UserAuthNMethod": "TLS"}
    if content_type:
        asked["RequestHeaders"]["Content-Type"] = content_type
    if body and content_type.startswith("application/json") and len(body) < FORWARDED:
        asked["RequestBody"] = base64.b64encode(body).decode()
    return asked


class Guarded:
    """What was asked, and what was refused of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str, str]] = []
        self.refused: list[str] = []

    def paths(self) -> set[str]:
        """``POST /images/{}/push``, with what varies left out."""
        short = {(m, re.sub(r"/(?!json)[^/]*[0-9:][^/]*", "/{}", p)) for m, p in self.asked}
        return {f"{method} {path}" for method, path in short}


@contextmanager
def dockerd(folder: Path, role: str, answers: Answers, api: str = "1.41") -> Iterator[Guarded]:
    """An engine that takes every caller for `role`."""
    socket = folder / f"{role}.sock"
    guarded = Guarded(f"unix://{socket}")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or self._chunks()
            verdict = answer(
                question(role, self.command, self.path, body, self.headers.get("Content-Type", "")), TABLE
            )
            path = re.sub(r"^/v[0-9.]+", "", self.path.partition("?")[0])
            guarded.asked.append((self.command, path))
            if not verdict["Allow"]:
                guarded.refused.append(verdict["Msg"])
                return self._reply(403, {"message": verdict["Msg"]})
            if path == "/version":
                return self._reply(200, {"ApiVersion": api, "Version": "0"})
            said = answers(self.command, path, _json(body))
            return self._reply(said, {"message": "no"}) if isinstance(said, int) else self._reply(200, said)

        do_GET = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - the base class names them so

        def _chunks(self) -> bytes:
            whole = b""
            while (
                self.headers.get("Transfer-Encoding") == "chunked"
                and (size := int(self.rfile.readline(), 16)) > 0
            ):
                whole += self.rfile.read(size)
                self.rfile.readline()
            return whole

        def _reply(self, status: int, said: Any) -> None:
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header(
                "Content-Type", "application/octet-stream" if said is data else "application/json"
            )
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True
        block_on_close = False

    with Server(str(socket), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield guarded
        finally:
            server.shutdown()
            thread.join()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
