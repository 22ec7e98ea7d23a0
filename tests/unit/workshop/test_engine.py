"""`Engine` against a small HTTP server on a unix socket: every refusal and every cut becomes a `HubError`."""

from __future__ import annotations

import gc
import json
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cyberlab_hub.errors import Conflict, HubError, NotFound, PartDown, WorkFailed
from cyberlab_hub.workshop.engine import Engine, filters, registry_auth


class Answers(BaseHTTPRequestHandler):
    """Answers by path: /status/CODE refuses, /cut breaks off, /hang says nothing, /logs and /lines stream."""

    protocol_version = "HTTP/1.1"
    message = "because"

    def do_GET(self) -> None:
        path = self.path.split("?")[0].removeprefix("/v1.41")
        if path == "/version":
            self._json(200, {"ApiVersion": "1.41"})
        elif path.startswith("/status/"):
            self._json(int(path.rsplit("/", 1)[1]), {"message": type(self).message})
        elif path == "/empty":
            self._json(200, None)
        else:
            self._stream(path)

    def do_POST(self) -> None:
        self.do_GET()

    def _json(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, path: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chunks = {
            "/lines": [b'{"a": 1}\n{"b"', b": 2}\n\n", b'{"c": 3}'],
            "/logs": [struct.pack(">BxxxL", 1, 5) + b"he", b"llo" + struct.pack(">BxxxL", 2, 2), b"oh"],
            "/cut": [b'{"a": 1}\n'],
            "/hang": [b'{"a": 1}\n'],
        }[path]
        for chunk in chunks:
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        if path == "/cut":
            self.close_connection = True
            return
        if path == "/hang":
            time.sleep(3)
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Quiet."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "engine.sock"
    with Server(str(path), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        made = Engine(f"unix://{path}", tmp_path, "builder")
        yield made
        made.close()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "message", "kind", "code"),
    [
        (404, "no such thing", NotFound, "engine-not-found"),
        (409, "name in use", Conflict, "engine-conflict"),
        (500, "rpc error: update out of sequence", Conflict, "engine-conflict"),
        (503, "This node is not a swarm manager.", PartDown, "swarm-down"),
        (500, "write /x: no space left on device", WorkFailed, "disk-full"),
        (400, "bad parameter", WorkFailed, "engine-refused"),
    ],
)
def test_refusals(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, status: int, message: str, kind: type, code: str
) -> None:
    monkeypatch.setattr(Answers, "message", message)
    with pytest.raises(HubError) as caught:
        engine.call("GET", f"/status/{status}")
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None


def test_an_empty_answer_is_none(engine: Engine) -> None:
    assert engine.call("POST", "/empty", body={}) is None


def test_messages_may_be_cut_anywhere(engine: Engine) -> None:
    with engine.stream("GET", "/lines") as stream:
        assert list(stream.messages()) == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_frames_tell_their_source(engine: Engine) -> None:
    with engine.stream("GET", "/logs") as stream:
        assert list(stream.frames()) == [(1, b"hello"), (2, b"oh")]


def test_an_engine_that_goes_away_in_the_middle_is_no_clean_end(engine: Engine) -> None:
    with engine.stream("GET", "/cut") as stream, pytest.raises(PartDown) as caught:
        list(stream.messages())
    assert caught.value.code == "engine-down"


def test_closing_from_another_thread_ends_the_reading_at_once(engine: Engine) -> None:
    with engine.stream("GET", "/hang") as stream:
        threading.Timer(0.2, stream.close).start()
        begun = time.monotonic()
        assert list(stream.messages()) == [{"a": 1}]
        assert time.monotonic() - begun < 2


# docker-py forgets to close a unix socket that it could not connect
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PartDown) as caught:
        Engine(f"unix://{tmp_path}/nothing.sock", tmp_path, "builder").call("GET", "/info")
    assert caught.value.code == "engine-down"
    assert "make up" in caught.value.message
    del caught
    gc.collect()


def test_missing_certificates_are_an_engine_that_is_down(tmp_path: Path) -> None:
    with pytest.raises(PartDown):
        Engine("tcp://127.0.0.1:1", tmp_path, "builder").call("GET", "/info")


def test_filters_and_accounts_have_the_form_the_engine_reads() -> None:
    assert filters(desired_state="running", label=["a", "b"]) == {
        "filters": '{"desired-state": ["running"], "label": ["a", "b"]}'
    }
    assert "secret" not in str(registry_auth("ann", "secret", "r:5000"))
