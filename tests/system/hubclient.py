"""People for system tests: an account with a random name, its own server, and code run inside it. All removed after."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import docker
import httpx
from cyberlab import Lab
from cyberlab.wire import API
from cyberlab_hub import accounts, cli_storage, reach
from cyberlab_hub.demo.browser import Browser
from cyberlab_hub.demo.kernel import Kernel, open_kernel
from cyberlab_hub.disks import Disks, home_disk
from cyberlab_hub.errors import NotFound
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.steps import Reused
from cyberlab_hub.setup.up import plan
from docker.models.containers import Container
from rich.console import Console

ADMIN = "admin"


@contextmanager
def admin_api(settings: Settings) -> Iterator[httpx.Client]:
    """The hub's API with a short-lived token of the administrator."""
    token = accounts.api_token(
        settings,
        ADMIN,
        scopes=("admin:users", "admin:servers", "tokens"),
        expires_in=timedelta(minutes=10),
        note="system tests",
    )
    headers = {"Authorization": f"token {token}"}
    base = f"{settings.public_url}/hub/api"
    with reach.client(settings, base_url=base, headers=headers, timeout=60) as client:
        try:
            yield client
        finally:
            me = client.get("/user").json()
            client.delete(f"/users/{ADMIN}/tokens/{me['token_id']}")


@dataclass
class Person:
    """An account made for one test."""

    settings: Settings
    name: str
    password: str
    browser: Browser

    @property
    def container(self) -> Container:
        """The person's running server."""
        return docker.from_env().containers.get(f"{self.settings.name}-user-{self.name}")

    @property
    def address(self) -> str:
        networks = self.container.attrs["NetworkSettings"]["Networks"]
        address: str = networks[f"{self.settings.name}-users"]["IPAddress"]
        return address


@contextmanager
def person(
    settings: Settings, sign_in: bool = True, word: str = "t", admin: bool = False
) -> Iterator[Person]:
    """A new, approved account, signed in. Account, server and home are removed at the end."""
    name = f"{word}{secrets.token_hex(5)}"
    password = secrets.token_urlsafe(12)
    accounts.create_account(settings, name, password, admin=admin)
    try:
        with Browser(settings) as browser:
            if sign_in:
                browser.sign_in(name, password)
            yield Person(settings, name, password, browser)
    finally:
        remove_account(settings, name)


def remove_account(settings: Settings, name: str) -> None:
    """As the administrator: stop the server, delete the account, then remove the home."""
    with admin_api(settings) as admin:
        # an account that never signed in is unknown to the hub: make it known, so that deleting finds it
        admin.post(f"/users/{name}")
        admin.delete(f"/users/{name}/server")
        deadline = time.monotonic() + 60
        while admin.delete(f"/users/{name}").status_code not in (204, 404):
            assert time.monotonic() < deadline, f"the hub did not delete {name}"
            time.sleep(0.3)
    engine = docker.from_env()
    for container in engine.containers.list(all=True, filters={"name": f"{settings.name}-user-{name}"}):
        container.remove(force=True)  # one that died keeps its log
    for volume in engine.volumes.list(filters={"name": f"{settings.name}-home-{name}"}):
        volume.remove()
    Disks(settings.disks).remove(home_disk(name).name)


def drop_readings(settings: Settings, name: str) -> None:
    """What somebody whose account is gone has in InfluxDB, as ``cyberlab-hub storage --drop NAME --stop`` does it."""
    with suppress(NotFound):  # they never had any
        cli_storage.drop(
            settings, Console(quiet=True), name, stop=True, yes=True, noted=lambda *_: nullcontext()
        )


@contextmanager
def lab_of(settings: Settings, note: str = "system tests") -> Iterator[Lab]:
    """The lab as a new person's script sees it. What they deployed and built is removed at the end."""
    with person(settings, sign_in=False) as someone:
        token = accounts.api_token(settings, someone.name, expires_in=timedelta(hours=1), note=note)
        lab = Lab(url=f"{settings.lab_url}{API}", token=token)
        try:
            yield lab
        finally:
            for deployment in lab.deployments():
                lab.stop(deployment.name)
            for image in lab.images():
                lab.delete_image(image.ref)
            lab.close()
    drop_readings(settings, someone.name)


@dataclass
class UserServer:
    """Code runs inside the person's own server, in one kernel."""

    person: Person
    kernel: Kernel

    def run(self, code: str, seconds: float = 60) -> str:
        """What the code prints. Raises: CellFailed when it raises."""
        outputs: list[dict[str, Any]] = []
        self.kernel.run(code, lambda _: None, seconds, outputs)
        return "".join(o["text"] for o in outputs if o["output_type"] == "stream").strip()


@contextmanager
def user_server(settings: Settings) -> Iterator[UserServer]:
    """A new person whose server runs."""
    with person(settings) as someone:
        someone.browser.start_server(lambda _: None)
        someone.browser.open_server()
        with open_kernel(someone.browser, "") as kernel:
            yield UserServer(someone, kernel)


def run_step(settings: Settings, name: str) -> None:
    """One step of `up`, such as starting a process again."""
    step = next(s for s in plan(settings) if s.name == name)
    try:
        step.run()
    except Reused:
        return
