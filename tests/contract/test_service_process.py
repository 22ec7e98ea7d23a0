"""The process itself: `python -m cyberlab_hub.service` on loopback addresses, a fake hub, and nothing else there."""

from __future__ import annotations

import os
import secrets
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from cyberlab.wire import API
from cyberlab_hub import certs
from cyberlab_hub.settings import Settings
from fakes import FakeHub
from service_lab import body, events, spec, until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SUBNET = "127.91.0.0/16"
"""Loopback: the addresses of the lab's networks, without the networks."""


async def whoami(request: Request) -> Response:
    anna = request.headers.get("authorization") == "token anna-token"
    return JSONResponse(FakeHub.user("anna", "custom:cyberlab:use") if anna else {}, 200 if anna else 403)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A state folder as set-up leaves it, and a hub that knows anna."""
    made = Settings(state=tmp_path, subnet=SUBNET)
    certs.ensure(made)
    made.secrets.mkdir(exist_ok=True)
    for name in ("hub-lab.token", "influx.admin", "influx.derive", "registry.lab"):
        (made.secrets / name).write_text(secrets.token_hex(16))
    config = uvicorn.Config(
        Starlette(routes=[Route("/hub/api/user", whoami)]),
        host=made.gateway("users"),
        port=8081,
        log_config=None,
    )
    hub = uvicorn.Server(config)
    thread = threading.Thread(target=hub.run)
    thread.start()
    yield made
    hub.should_exit = True
    thread.join(10)


@contextmanager
def started(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "CYBERLAB_STATE": str(settings.state), "CYBERLAB_SUBNET": SUBNET}
    process = subprocess.Popen(
        [sys.executable, "-m", "cyberlab_hub.service"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def answers(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.lab_url}{API}/catalogue", trust_env=False).status_code == 401
    except httpx.TransportError:
        return False


def test_it_serves_both_listeners_and_stops_within_five_seconds(settings: Settings) -> None:
    with started(settings) as process:
        until(lambda: answers(settings), 30)
        client = httpx.Client(
            base_url=f"{settings.lab_url}{API}",
            headers={"Authorization": "Bearer anna-token"},
            trust_env=False,
        )
        with client:
            assert client.get("/me").json() == {"name": "anna"}
            job = client.post("/builds", json={"spec": body(spec())}).json()["id"]
            with client.stream("GET", f"/jobs/{job}/events") as stream:
                assert list(events(stream))[-1].data["error"]["code"] == "engine-down"
            trust = ssl.create_default_context(cafile=str(settings.certs / "ca.crt"))
            token = httpx.get(
                settings.token_url, params={"service": "cyberlab-registry", "scope": "repository:anna/x:push"},
                auth=("_lab", settings.secret("registry.lab")), verify=trust, trust_env=False,
            )  # fmt: skip
            assert token.status_code == 200
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 5
        _, log = process.communicate(timeout=5)
    assert "Traceback" not in log
    for secret in ("anna-token", settings.secret("registry.lab"), token.json()["token"]):
        assert secret not in log


def test_what_is_missing_is_named(settings: Settings) -> None:
    (settings.secrets / "influx.admin").unlink()
    with started(settings) as process:
        _, log = process.communicate(timeout=30)
        assert process.returncode == 1
    assert "influx.admin" in log
    assert "Traceback" not in log
