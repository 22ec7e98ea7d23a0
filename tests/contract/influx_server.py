"""A real InfluxDB 1.x of its own for contract tests: in a temporary folder, authentication on, gone afterwards."""

from __future__ import annotations

import atexit
import io
import secrets
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import docker
import httpx
import pytest

CONFIG = """
reporting-enabled = false
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
index-version = "inmem"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
auth-enabled = true
log-enabled = false
"""


@cache
def influxd_program() -> Path | None:
    """The installed program, or the one of the lab's own image: the same package of the same distribution."""
    if found := shutil.which("influxd"):
        return Path(found)
    try:
        engine = docker.from_env()
        holder = engine.containers.create("cyberlab/influxdb")
    except docker.errors.DockerException:
        return None
    folder = Path(tempfile.mkdtemp(prefix="cyberlab-influxd-"))
    atexit.register(shutil.rmtree, folder)
    try:
        pieces, _ = holder.get_archive("/usr/bin/influxd")
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
            tar.extractall(folder, filter="data")
    finally:
        holder.remove()
        engine.close()
    return folder / "influxd"


@dataclass(frozen=True)
class Server:
    """`password` is that of the administrator; nobody has made that user yet."""

    port: int
    folder: Path
    password: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """From start to kill. May be used again: the data stays."""
        with (self.folder / "influxd.log").open("ab") as log:
            process = subprocess.Popen(
                [str(influxd_program()), "-config", str(self.folder / "influxd.conf")], stdout=log, stderr=log
            )
        try:
            deadline = time.monotonic() + 30
            while not answers(f"{self.url}/ping"):
                assert process.poll() is None, (self.folder / "influxd.log").read_text()
                assert time.monotonic() < deadline, "InfluxDB did not start in 30 s"
                time.sleep(0.05)
            yield
        finally:
            process.kill()
            process.wait(10)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_server(folder: Path) -> Server:
    port = free_port()
    (folder / "influxd.conf").write_text(CONFIG.format(rpc=free_port(), port=port, folder=folder))
    return Server(port, folder, secrets.token_hex(8))


def need_influxd(request: pytest.FixtureRequest) -> None:
    """Skip without the server program; fail if ``--require-engine`` was given."""
    if influxd_program():
        return
    message = "no influxd: neither the package influxdb nor the lab's image (`make up`) is here"
    if request.config.getoption("--require-engine"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="module")
def influxd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    need_influxd(request)
    server = make_server(tmp_path_factory.mktemp("influxd"))
    with server.running():
        yield server
