"""A lab service on fakes, behind a real socket: what the tests of the service talk to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from cyberlab.spec import FileEntry, ImageSpec
from cyberlab.wire import API, Base, Catalogue, Library, Scenario
from cyberlab_hub import certs
from cyberlab_hub.service.app import create_app
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.hub import Hub
from cyberlab_hub.service.parts import Parts, assemble
from cyberlab_hub.settings import Settings
from fakes import FakeHub, FakeStore, FakeWorkshop

CATALOGUE = Catalogue(
    bases=(
        Base(
            name="python", title="Python", summary="Python and nothing else", image="cyberlab/python",
            language="python", build_seconds=40,
            libraries=(Library(name="i2c-tools", kind="apt", summary="Looks at the I2C bus"),),
        ),
        Base(
            name="rare", title="Rare", summary="Not built yet", image="cyberlab/rare",
            language="python", build_seconds=300,
        ),
    ),
    scenarios=(
        Scenario(
            name="run-script", title="Run a script", summary="Runs main.py", command=("python3", "main.py"),
            bases=("python", "rare"),
        ),
    ),
)  # fmt: skip


def spec(name: str = "greenhouse", text: str = "print('hello')", **more: Any) -> ImageSpec:
    return ImageSpec(name=name, files=(FileEntry(path="main.py", text=text),), **more)


def body(model: Any) -> Any:
    return model.model_dump(mode="json")


def until(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Wait for something true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


@dataclass
class ServiceLab:
    """The service and what is behind it; `anna`, `ben` and `root` are clients that are signed in."""

    url: str
    parts: Parts
    workshop: FakeWorkshop
    store: FakeStore
    hub: FakeHub
    database: Database
    stop: Callable[[], None]

    clients: dict[str | None, httpx.Client] = field(default_factory=dict)

    def client(self, token: str | None) -> httpx.Client:
        """A client that shows this token; closed with the lab."""
        if token not in self.clients:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            self.clients[token] = httpx.Client(
                base_url=f"{self.url}{API}", headers=headers, trust_env=False, timeout=10
            )
        return self.clients[token]

    @property
    def anna(self) -> httpx.Client:
        return self.client("anna-token")

    @property
    def ben(self) -> httpx.Client:
        return self.client("ben-token")

    @property
    def root(self) -> httpx.Client:
        return self.client("root-token")

    def ended(self, client: httpx.Client, job: str, seconds: float = 5.0) -> Any:
        """The job once it has ended."""
        return until(
            lambda: (
                (j := client.get(f"/jobs/{job}").json())["phase"] in ("done", "failed", "cancelled") and j
            ),
            seconds,
        )

    def built(self, client: httpx.Client, wanted: ImageSpec | None = None) -> Any:
        """Build a spec to the end; the job."""
        answer = client.post("/builds", json={"spec": body(wanted or spec())})
        assert answer.status_code == 202, answer.text
        job = self.ended(client, answer.json()["id"])
        assert job["phase"] == "done", job
        return job


@contextmanager
def service_lab(
    state: Path, workshop: FakeWorkshop | None = None, store: Any = None, **changes: Any
) -> Iterator[ServiceLab]:
    """Start the service in a thread, on a port of this machine's choice; stop it at the end."""
    settings = Settings(state=state, **changes)
    certs.ensure(settings)
    workshop, store, hub = workshop or FakeWorkshop(), store or FakeStore(), FakeHub()
    database = Database.open(settings.db_url)
    caller = Hub("http://hub.test/hub/api", lambda: "root-token", transport=hub)
    parts = assemble(settings, database, workshop, store, caller, CATALOGUE)
    config = uvicorn.Config(
        create_app(parts), host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()

    def stop() -> None:
        parts.jobs.bell.close()
        server.should_exit = True
        thread.join(timeout=10)
        database.close()

    try:
        until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        lab = ServiceLab(f"http://127.0.0.1:{port}", parts, workshop, store, hub, database, stop)
        yield lab
        for client in lab.clients.values():
            client.close()
    finally:
        stop()


@dataclass(frozen=True)
class Heard:
    """One server-sent event."""

    event: str
    id: int
    data: Any


def events(response: httpx.Response) -> Iterator[Heard]:
    """Server-sent events as they arrive; comments are skipped."""
    event, number = "message", 0
    for line in response.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            event = value
        elif field == "id":
            number = int(value)
        elif field == "data":
            yield Heard(event, number, json.loads(value))
            event, number = "message", 0
