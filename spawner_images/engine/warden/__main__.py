"""``python3 -m warden``: answers dockerd on a unix socket until it is ended.

``LAB_WARDEN`` holds the limits (`ceilings`), ``LAB_WARDEN_SOCKET`` the socket's path if it is not the usual one.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from warden import asked, ceilings, rules

SOCKET = "/run/docker/plugins/warden.sock"
NOBODY = 65534
_LOG_LOCK = threading.Lock()


def say(**event: str) -> None:
    """One JSON line in the container's log. No parameters and no bodies: they may hold secrets."""
    line = json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "part": "warden", **event})
    with _LOG_LOCK:
        print(line, flush=True)


def answer(message: Mapping[str, Any], table: tuple[rules.Rule, ...]) -> dict[str, Any]:
    """Yes or no to one request, in dockerd's form."""
    role = str(message.get("User") or "nobody")[:60]
    try:
        rules.decide(asked.read(message), table)
    except asked.Refused as refusal:
        said = f"{role} {refusal}"
    except Exception as error:
        # a fault of ours must not open the engine
        said = f"the rules could not be applied ({type(error).__name__})"
    else:
        return {"Allow": True}
    method, uri = str(message.get("RequestMethod"))[:10], str(message.get("RequestUri"))
    say(event="refused", role=role, method=method, path=uri.partition("?")[0][:200], why=said)
    return {"Allow": False, "Msg": said}


class Handler(BaseHTTPRequestHandler):
    """The plugin protocol: three POSTs."""

    protocol_version = "HTTP/1.1"
    table: tuple[rules.Rule, ...] = ()

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(length) if length else self._chunks()
        said: dict[str, Any]
        if self.path == "/Plugin.Activate":
            said = {"Implements": ["authz"]}
        elif self.path == "/AuthZPlugin.AuthZRes":
            # the answer to a request that was allowed
            said = {"Allow": True}
        elif self.path == "/AuthZPlugin.AuthZReq":
            said = self._decide(sent)
        else:
            said = {"Allow": False, "Msg": "the warden knows no such question"}
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.plugins.v1.2+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _decide(self, sent: bytes) -> dict[str, Any]:
        try:
            message = json.loads(sent)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            return {"Allow": False, "Msg": "the question could not be read"}
        return answer(message, self.table)

    def _chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return b""
        whole = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def address_string(self) -> str:
        return "dockerd"

    def log_message(self, *_: Any) -> None:
        """Only refusals are logged."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> int:
    path = Path(os.environ.get("LAB_WARDEN_SOCKET", SOCKET))
    try:
        limits = ceilings.read(os.environ.get("LAB_WARDEN", ""))
    except ValueError as error:
        say(event="cannot start", why=str(error))
        return 1
    Handler.table = rules.rules(limits)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with Server(str(path), Handler) as server:
        path.chmod(0o600)
        if os.getuid() == 0:
            # it needs nothing any more but the socket it has
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        say(event="started")
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
