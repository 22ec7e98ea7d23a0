"""The ingest gateway as a process, with certificates, secrets and database as set-up makes them; and a device."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
from cyberlab import reader
from cyberlab_edge.frames import PATH
from cyberlab_hub import certs
from cyberlab_hub.ingest.influx1 import Influx1Store
from cyberlab_hub.ingest.store import FLEET, database_of
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now
from cyberlab_hub.settings import Settings
from influx_server import Server, free_port, make_server

PROGRAM = """
import sys, time
from cyberlab_edge import flush, publish
for i in range(int(sys.argv[1])):
    publish("count", i, unit="1")
    time.sleep(float(sys.argv[2]))
print("published", flush=True)
sys.exit(0 if flush(60) else 3)
"""
SERVE = (
    "import sys; from cyberlab_hub.ingest.__main__ import serve; from cyberlab_hub.settings import load;"
    " serve(load(), port=int(sys.argv[1]), uplink_port=int(sys.argv[2]))"
)


@dataclass(frozen=True)
class Gateway:
    settings: Settings
    influx: Server
    port: int
    uplink_port: int

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        env = {
            **os.environ,
            "CYBERLAB_STATE": str(self.settings.state),
            "CYBERLAB_SUBNET": self.settings.subnet,
            "CYBERLAB_INFLUX_URL": self.influx.url,
        }
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self.port), str(self.uplink_port)], env=env
        )
        try:
            wait_for(lambda: process.poll() is None and self.health() is not None, 30)
            yield process
        finally:
            process.terminate()
            process.wait(10)

    def health(self) -> int | None:
        try:
            return httpx.get(
                f"{self.url}/health", verify=self._context(), trust_env=False, timeout=5
            ).status_code
        except httpx.HTTPError:
            return None

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.settings.certs / "ca.crt")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def token(self, owner: str, kind: str = "deployment", devices: tuple[str, ...] = ("pi01",)) -> Path:
        """A token for these devices in the lab's database, and the file in which a device has it."""
        token = secrets.token_hex(8)
        row = IngestToken(
            hash=hashlib.sha256(token.encode()).hexdigest(),
            kind=kind,
            owner=owner,
            deployment="d1" if kind == "deployment" else None,
            name="greenhouse",
            devices=list(devices),
            created=now(),
        )
        database = Database.open(self.settings.db_url)
        with database.session() as session:
            session.add(row)
        database.close()
        path = self.settings.state / f"{token}.token"
        path.write_text(token)
        return path

    def env(self, token_file: Path, device: str = "pi01") -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            "CYBERLAB_GATEWAY": self.url,
            "CYBERLAB_DEVICE": device,
            "CYBERLAB_TOKEN_FILE": str(token_file),
            "CYBERLAB_CA_FILE": str(self.settings.certs / "ca.crt"),
        }

    def enrol(self, folder: Path, device: str = "pi01", **more: object) -> Path:
        """The agent's file, with a certificate that the lab knows, in `folder`."""
        pem, fingerprint = certs.device(self.settings, device)
        database = Database.open(self.settings.db_url)
        with database.session() as session:
            session.add(
                IngestToken(
                    hash=fingerprint,
                    kind="device",
                    owner=FLEET,
                    deployment=None,
                    name=device,
                    devices=[device],
                    created=now(),
                )
            )
        database.close()
        folder.mkdir(exist_ok=True)
        (folder / "agent.pem").write_bytes(pem)
        config = {
            "device": device,
            "uplink": f"wss://127.0.0.1:{self.uplink_port}{PATH}",
            "pem_file": str(folder / "agent.pem"),
            "ca_file": str(self.settings.certs / "ca.crt"),
            "spool": str(folder / "spool.db"),
            "intake": f"127.0.0.1:{free_port()}",
            "interval_s": 0.2,
            **more,
        }
        path = folder / "agent.json"
        path.write_text(json.dumps(config))
        return path

    def program(self, token_file: Path, *args: str, url: str = "") -> subprocess.Popen[str]:
        """It publishes 0, 1, 2 ... to the gateway, or to the agent at `url`."""
        command = [sys.executable, "-c", PROGRAM, *args]
        env = {**self.env(token_file), **({"CYBERLAB_GATEWAY": url} if url else {})}
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def store(self) -> Influx1Store:
        return Influx1Store(self.influx.url, self.influx.password, "derive")

    def read(
        self, owner: str, measurement: str, database: str | None = None, start: str = "-1h"
    ) -> pd.DataFrame:
        store = self.store()

        @contextmanager
        def query(influxql: str, _: str) -> Iterator[Iterator[bytes]]:
            yield store.query(owner, database or database_of(owner), influxql)

        try:
            return reader.read(query, measurement, start=start, layout="long")
        finally:
            store.close()


def wait_for(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def make_gateway(tmp_path: Path, **changes: Any) -> Gateway:
    """Certificates, secrets and database as set-up makes them; nothing runs yet."""
    influx = make_server(tmp_path)
    # 127.0.0.0/16: the host's own address on the devices' network is 127.0.0.1
    settings = Settings(**{"state": tmp_path / "state", "subnet": "127.0.0.0/16", **changes})
    certs.ensure(settings)
    settings.secrets.mkdir()
    (settings.secrets / "influx.admin").write_text(influx.password)
    (settings.secrets / "influx.derive").write_text("derive")
    return Gateway(settings, influx, free_port(), free_port())


def set_up(gateway: Gateway) -> None:
    store = gateway.store()
    store.set_up()
    store.close()
