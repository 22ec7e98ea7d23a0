"""Certificates change while the lab runs: clients and listeners take up the new ones, without a restart."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cyberlab_hub import certs
from cyberlab_hub.errors import PartDown
from cyberlab_hub.listeners import keep_fresh
from cyberlab_hub.service.renewal import keep_certificates
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop.engine import Engine


@pytest.fixture
def made(tmp_path: Path) -> Settings:
    settings = Settings(state=tmp_path)
    certs.ensure(settings)
    return settings


class Peer(BaseHTTPRequestHandler):
    """Answers ``/version``, and remembers whose certificate was shown."""

    protocol_version = "HTTP/1.1"
    seen: list[int] = []  # noqa: RUF012 - one server a test

    def do_GET(self) -> None:
        shown = self.connection.getpeercert(binary_form=True)  # type: ignore[attr-defined]  # it is a TLS socket
        type(self).seen.append(x509.load_der_x509_certificate(shown).serial_number)
        data = b'{"ApiVersion": "1.41"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A refused handshake is what some tests want."""


@contextmanager
def engine_like(settings: Settings) -> Iterator[tuple[str, ssl.SSLContext]]:
    """A server that asks for a client's certificate, as dockerd does. Yields its address and context."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(settings.certs / "ca.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(settings.certs / "lab.crt", settings.certs / "lab.key")
    Peer.seen = []
    with QuietServer(("127.0.0.1", 0), Peer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_port}", context
        finally:
            server.shutdown()
            thread.join()


def serial(path: Path) -> int:
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


def issue_anew(settings: Settings, monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """The clients' certificates, as if made so many hours from now."""
    then = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    for role in certs.ROLES:
        certs.client_file(settings.certs, role).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(certs, "_now", lambda: then)
        certs.ensure_clients(settings)


def test_the_next_call_shows_the_renewed_certificate(made: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    issue_anew(made, monkeypatch, -17)
    with engine_like(made) as (url, _):
        engine = Engine(url, made.certs, "runner")
        engine.call("GET", "/version")
        engine.call("GET", "/version")
        first = serial(made.certs / "runner.pem")
        assert set(Peer.seen) == {first}
        assert "runner" in certs.ensure_clients(made)
        Peer.seen.clear()
        engine.call("GET", "/version")
        assert set(Peer.seen) == {serial(made.certs / "runner.pem")} != {first}
        engine.close()


def test_a_certificate_that_has_ended_opens_nothing(made: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    issue_anew(made, monkeypatch, -30)
    with engine_like(made) as (url, _), pytest.raises(PartDown):
        Engine(url, made.certs, "runner").call("GET", "/version")
    assert Peer.seen == []


def test_the_service_renews_and_goes_on_after_a_fault(
    made: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    issue_anew(made, monkeypatch, -17)
    before = serial(made.certs / "swarm.pem")
    authority = (made.certs / "ca.key").read_bytes()
    (made.certs / "ca.key").unlink()

    async def story() -> None:
        keeping = asyncio.create_task(keep_certificates(made, 0.01))
        async with asyncio.timeout(20):
            while "were not renewed" not in caplog.text:
                await asyncio.sleep(0.01)
            (made.certs / "ca.key").write_bytes(authority)
            while serial(made.certs / "swarm.pem") == before:
                await asyncio.sleep(0.01)
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping

    asyncio.run(story())


def test_a_listener_shows_its_renewed_certificate(made: Settings) -> None:
    crt, key = made.certs / "lab.crt", made.certs / "lab.key"
    with engine_like(made) as (url, context):
        keep_fresh(context, crt, key)
        first = shown(url, made)
        assert first == serial(crt)
        old_key = key.read_bytes()
        crt.unlink()
        certs.ensure(made)
        new_key = key.read_bytes()
        key.write_bytes(old_key)  # between the two writes
        assert [shown(url, made), shown(url, made)] == [first, first]
        key.write_bytes(new_key)
        shown(url, made)
        assert shown(url, made) == serial(crt) != first


def shown(url: str, settings: Settings) -> int:
    """Serial number of the certificate that the server shows."""
    import socket

    context = ssl.create_default_context(cafile=str(settings.certs / "ca.crt"))
    context.load_cert_chain(settings.certs / "runner.pem")
    host, port = url.removeprefix("tcp://").split(":")
    with (
        socket.create_connection((host, int(port)), 5) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        found = tls.getpeercert(binary_form=True)
        assert found is not None
        return x509.load_der_x509_certificate(found).serial_number
