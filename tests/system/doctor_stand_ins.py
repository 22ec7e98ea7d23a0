"""Parts that keep no promise: for the doctor to be pointed at, on addresses that nothing else has."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, StreamRequestHandler

from cyberlab_hub import certs
from cyberlab_hub.settings import Settings

ELSEWHERE = "127.77.0.0/16"
"""Every address of it is this machine's loopback, so a stand-in can have each address of a lab."""


class Careless(BaseHTTPRequestHandler):
    """Answers everything to everybody, and shows cookies to scripts."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = b'{"ApiVersion": "1.41", "SecurityOptions": [], "results": [{}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("Set-Cookie", "session=1; Path=/")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    do_GET = do_POST = do_HEAD = do_CONNECT = answer  # noqa: N815 - the standard library's names

    def log_message(self, *_: object) -> None:
        pass


class Hospitable(StreamRequestHandler):
    """An MQTT broker that lets everybody in."""

    def handle(self) -> None:
        self.request.recv(1000)
        self.wfile.write(b"\x20\x02\x00\x00")


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A caller who does not like the certificate is no news."""


@contextmanager
def careless(
    address: str, port: int, tls: Path | None = None, answers: type[BaseRequestHandler] = Careless
) -> Iterator[int]:
    """A part that refuses nobody; the port it got. `tls`: path of its certificate, the key beside it."""
    with Server((address, port), answers) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls, tls.with_suffix(".key"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def elsewhere(settings: Settings, state: Path) -> Settings:
    """The same lab with other addresses and a state folder of its own, with certificates for them."""
    there = replace(settings, state=state, subnet=ELSEWHERE)
    state.mkdir(exist_ok=True)
    certs.ensure(there)
    return there


@contextmanager
def program(code: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A program that says a line when it is ready, and ends with the block."""
    command = [
        sys.executable,
        "-c",
        f"{code}\nprint('ready', flush=True)\nimport time; time.sleep(300)",
        *argv,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()
