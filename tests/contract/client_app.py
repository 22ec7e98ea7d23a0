"""A lab to talk to: the real service on fakes in this process (each time new), or the lab that runs on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from cyberlab.wire import API
from cyberlab_hub import certs
from cyberlab_hub.service.app import create_app
from cyberlab_hub.service.catalogue import read_seed
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.hub import Hub
from cyberlab_hub.service.parts import assemble
from cyberlab_hub.settings import Settings
from fakes import FakeHub, FakeStore, FakeWorkshop


@dataclass
class LabHere:
    url: str
    token: str
    user: str
    hub: FakeHub | None = None
    workshop: FakeWorkshop | None = None
    store: FakeStore | None = None
    """None in the real lab."""


@contextmanager
def fake_lab(folder: Path) -> Iterator[LabHere]:
    """The real service over HTTP, its engines, InfluxDB and hub replaced."""
    hub, workshop, store = FakeHub(), FakeWorkshop(), FakeStore()
    database = Database.open(f"sqlite:///{folder / 'lab.sqlite'}")
    settings = Settings(state=folder)
    certs.ensure(settings)
    parts = assemble(
        settings,
        database,
        workshop,
        store,
        Hub("http://hub.invalid/hub/api", lambda: "root-token", transport=hub),
        read_seed(),
    )
    server = _serve(create_app(parts))
    port = server.servers[0].sockets[0].getsockname()[1]
    yield LabHere(f"http://127.0.0.1:{port}{API}", "anna-token", "anna", hub, workshop, store)
    parts.jobs.bell.close()
    server.should_exit = True
    _wait(lambda: not server.started or not server.servers[0].is_serving())
    server.thread.join(10)
    database.close()


class _Server(uvicorn.Server):
    thread: threading.Thread


def _serve(app: Any) -> _Server:
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = _Server(config)
    server.thread = threading.Thread(target=server.run, daemon=True)
    server.thread.start()
    _wait(lambda: server.started)
    return server


def _wait(done: Any) -> None:
    over = time.monotonic() + 20
    while not done():
        assert time.monotonic() < over, "the service neither started nor stopped in time"
        time.sleep(0.02)
