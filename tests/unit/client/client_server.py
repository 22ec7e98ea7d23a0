"""A lab service of a few lines on a real port, which can do what the real one does not: cut off, lie, be silent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cyberlab.transport import Token, Transport
from cyberlab.wire import ErrorBody, ErrorInfo, Job, JobEvent, JobKind, Phase, View

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TOKEN = "s3cret-t0ken"


class Call(BaseHTTPRequestHandler):
    """One request; `routes` of the server answer it."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names http.server asks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name http.server uses
        """Nothing: the tests look at `Server.calls`."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        path, _, self.query = self.path.partition("?")
        self.server.calls.append(self)
        answer = self.server.routes.get((self.command, path))
        if answer is None:
            self.json(404, ErrorBody(error=ErrorInfo(code="not-found", message=f"no {path}")))
        else:
            answer(self)

    # ------------------------------------------------------------ answers
    def json(self, status: int, body: View | list[Any] | dict[str, Any] | str) -> None:
        import json

        def plain(value: Any) -> Any:
            return value.model_dump(mode="json") if isinstance(value, View) else value

        text = (
            body
            if isinstance(body, str)
            else json.dumps([*map(plain, body)] if isinstance(body, list) else plain(body))
        )
        self.text(status, text, "application/json")

    def text(self, status: int, text: str, mime: str = "text/html") -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", mime)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def events(self, *pieces: bytes) -> None:
        """Begin an event stream, send the pieces, close the connection."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)
            self.wfile.flush()
        self.close_connection = True


Answer = Callable[[Call], None]


@dataclass
class Server:
    url: str
    routes: dict[tuple[str, str], Answer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def on(self, method: str, path: str, answer: Answer | View | list[Any]) -> None:
        self.routes[method, path] = answer if callable(answer) else lambda call: call.json(200, answer)

    def transport(self) -> Transport:
        return Transport(self.url, Token(text=TOKEN))


@contextmanager
def serving() -> Iterator[Server]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Call) as http:
        http.daemon_threads = True
        server = Server(f"http://127.0.0.1:{http.server_port}")
        http.routes, http.calls = server.routes, server.calls  # type: ignore[attr-defined]  # `Call.server` is this one
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        http.shutdown()
        thread.join(5)


# ---------------------------------------------------------------- jobs
def job(phase: Phase = Phase.BUILDING, kind: JobKind = JobKind.BUILD, **more: Any) -> Job:
    values = {
        "id": "b7f3a1",
        "kind": kind,
        "owner": "anna",
        "name": "greenhouse",
        "phase": phase,
        "created": START,
    }
    return Job.model_validate({**values, **more})


def event(number: int, kind: str = "log", text: str = "", **more: Any) -> JobEvent:
    values = {"id": number, "job": "b7f3a1", "at": START, "kind": kind, "phase": Phase.BUILDING, "text": text}
    return JobEvent.model_validate({**values, **more})


def sent(one: JobEvent) -> bytes:
    return f"id: {one.id}\nevent: {one.kind}\ndata: {one.model_dump_json()}\n\n".encode()


def ended(one: Job) -> bytes:
    return f"event: end\ndata: {one.model_dump_json()}\n\n".encode()
