"""The warden on the real engine: each role does its own work and nobody else's, and without it nothing goes.

What the rules say is in `tests/unit/warden`; here the engine itself is asked, over TLS, as an attacker would.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cyberlab_hub import certs
from cyberlab_hub.errors import HubError, PartDown, WorkFailed
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers, engines
from cyberlab_hub.workshop import limits
from cyberlab_hub.workshop.engine import Engine

pytestmark = pytest.mark.engine

NOWHERE = "0" * 64
OWN = {
    "builder": ["/info", "/images/json"],
    "runner": ["/info", "/containers/json"],
    "swarm": ["/services", "/tasks", "/nodes", "/secrets", "/configs"],
    "operator": ["/swarm", "/nodes", "/containers/json", "/images/json"],
}
NOT_THEIRS = [
    ("builder", "GET", "/containers/json"),
    ("builder", "GET", "/secrets"),
    ("builder", "GET", "/swarm"),
    ("builder", "POST", f"/containers/{NOWHERE}/start"),
    ("builder", "POST", "/services/create"),
    ("runner", "GET", "/images/json"),
    ("runner", "POST", "/build"),
    ("runner", "GET", "/nodes"),
    ("runner", "DELETE", f"/containers/{NOWHERE}"),
    ("runner", "POST", f"/containers/{NOWHERE}/exec"),
    ("swarm", "GET", "/swarm"),
    ("swarm", "POST", "/swarm/leave"),
    ("swarm", "POST", "/containers/create"),
    ("swarm", "DELETE", f"/nodes/{NOWHERE}"),
    ("swarm", "POST", "/images/create"),
    ("operator", "POST", "/containers/create"),
    ("operator", "POST", "/build"),
    ("operator", "GET", "/secrets"),
    ("operator", "POST", "/plugins/pull"),
]


def ask_as(settings: Settings, role: certs.Role) -> Engine:
    return Engine(settings.workshop_url, settings.certs, role)


@contextmanager
def shown_as(settings: Settings, folder: Path, pem: bytes) -> Iterator[Engine]:
    """An engine asked with another certificate."""
    folder.mkdir(exist_ok=True)
    shutil.copy(settings.certs / "ca.crt", folder)
    certs.write_private(folder / "runner.pem", pem)
    engine = Engine(settings.workshop_url, folder, "runner")
    yield engine
    engine.close()


# ---------------------------------------------------------------- roles
@pytest.mark.parametrize("role", certs.ROLES)
def test_a_role_sees_what_its_work_needs(lab_running: Settings, role: certs.Role) -> None:
    engine = ask_as(lab_running, role)
    for path in OWN[role]:
        assert engine.call("GET", path) is not None, path
    engine.close()


@pytest.mark.parametrize(("role", "method", "path"), NOT_THEIRS)
def test_a_role_does_nothing_of_the_others(
    lab_running: Settings, role: certs.Role, method: str, path: str
) -> None:
    engine = ask_as(lab_running, role)
    with pytest.raises(WorkFailed, match=f"{role} may not") as caught:
        engine.call(method, path)
    assert caught.value.code == "engine-refused"
    engine.close()


def test_no_role_leaves_the_cage(lab_running: Settings) -> None:
    """The runner's certificate and a real image: no container appears, whatever is asked for."""
    builder, runner = ask_as(lab_running, "builder"), ask_as(lab_running, "runner")
    name = f"{lab_running.name}-trial-{secrets.token_hex(8)}"
    body: dict[str, Any] = {
        "Image": f"{lab_running.registry}/ann/prog@sha256:{NOWHERE}",
        "HostConfig": {**limits.cage(), "NetworkMode": "none"},
    }
    for more in (
        {"Privileged": True}, {"privileged": True}, {"Binds": ["/:/host"]}, {"CapAdd": ["ALL"]}, {"Memory": 0},
        {"UsernsMode": "host"}, {"PidMode": "host"}, {"NetworkMode": "host"}, {"Devices": [{"PathOnHost": "/dev/mem"}]},
    ):  # fmt: skip
        asked = {**body, "HostConfig": {**body["HostConfig"], **more}}
        with pytest.raises(WorkFailed, match="runner may not"):
            runner.call("POST", "/containers/create", params={"name": name}, body=asked)
    # the body without any of these is allowed: it fails because there is no such image
    with pytest.raises(HubError, match=r"(?i)no such image"):
        runner.call("POST", "/containers/create", params={"name": name}, body=body)
    assert not any(f"/{name}" in each["Names"] for each in runner.call("GET", "/containers/json?all=1"))
    for engine in (builder, runner):
        engine.close()


# ---------------------------------------------------------------- certificates
def test_without_a_certificate_there_is_no_connection(lab_running: Settings) -> None:
    context = ssl.create_default_context(cafile=str(lab_running.certs / "ca.crt"))
    with pytest.raises(OSError, match=r"(?i)certificate|reset|closed|eof|broken"):
        say(lab_running, context, b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


def both(settings: Settings, name: str) -> bytes:
    return (settings.certs / f"{name}.crt").read_bytes() + (settings.certs / f"{name}.key").read_bytes()


@pytest.mark.parametrize("server", ["engine", "registry", "lab", "ingest"])
def test_a_servers_certificate_opens_nothing(lab_running: Settings, tmp_path: Path, server: str) -> None:
    with shown_as(lab_running, tmp_path, both(lab_running, server)) as engine, pytest.raises(PartDown):
        engine.call("GET", "/info")


def test_a_certificate_of_the_lab_that_is_no_role_opens_nothing(
    lab_running: Settings, tmp_path: Path
) -> None:
    """The signer of registry tokens has one for no use in particular."""
    with (
        shown_as(lab_running, tmp_path, both(lab_running, "token-signer")) as engine,
        pytest.raises(HubError),
    ):
        engine.call("GET", "/info")


def test_a_certificate_that_has_ended_opens_nothing(
    lab_running: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = Settings(state=tmp_path)
    stale.certs.mkdir()
    for name in ("ca.crt", "ca.key"):
        shutil.copy(lab_running.certs / name, stale.certs)
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(hours=certs.CLIENT_HOURS, minutes=1)
    monkeypatch.setattr(certs, "_now", lambda: yesterday)
    certs.ensure_clients(stale)
    pem = (stale.certs / "runner.pem").read_bytes()
    assert x509.load_pem_x509_certificate(pem).not_valid_after_utc < dt.datetime.now(dt.UTC)
    with shown_as(lab_running, tmp_path / "shown", pem) as engine, pytest.raises(PartDown):
        engine.call("GET", "/info")


def test_a_certificate_of_another_authority_opens_nothing(lab_running: Settings, tmp_path: Path) -> None:
    strangers = Settings(state=tmp_path)
    certs.ensure(strangers)
    pem = (strangers.certs / "operator.pem").read_bytes()
    with shown_as(lab_running, tmp_path / "shown", pem) as engine, pytest.raises(PartDown):
        engine.call("GET", "/info")


def test_only_root_reads_the_authoritys_key_and_the_clients(lab_running: Settings) -> None:
    for name in ("ca.key", *(f"{role}.pem" for role in certs.ROLES)):
        found = (lab_running.certs / name).stat()
        assert (found.st_uid, found.st_mode & 0o777) == (0, 0o600), name
    assert not any((lab_running.certs / name).exists() for name in certs.FORMER)


# ---------------------------------------------------------------- requests written by hand
def say(settings: Settings, context: ssl.SSLContext, request: bytes) -> bytes:
    """What the engine answers to these very bytes."""
    host, port = settings.workshop_url.removeprefix("tcp://").split(":")
    with (
        socket.create_connection((host, int(port)), 5) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        tls.settimeout(20)
        tls.sendall(request)
        said = b""
        while chunk := tls.recv(65536):
            said += chunk
        return said


def create(settings: Settings, target: str, *headers: str, body: bytes | None = None) -> bytes:
    escape = {"Image": "cyberlab/debian", "HostConfig": {"Privileged": True, "Binds": ["/:/host"]}}
    sent = json.dumps(escape).encode() if body is None else body
    head = [f"POST {target} HTTP/1.1", "Host: engine", "Connection: close", *headers]
    if not any(each.lower().startswith(("content-length", "transfer-encoding")) for each in headers):
        head.append(f"Content-Length: {len(sent)}")
    context = ssl.create_default_context(cafile=str(settings.certs / "ca.crt"))
    context.load_cert_chain(settings.certs / "runner.pem")
    return say(settings, context, "\r\n".join([*head, "", ""]).encode() + sent)


JSON = "Content-Type: application/json"
BY_HAND: dict[str, tuple[str, list[str]]] = {
    "plainly": ("/v1.41/containers/create?name={}", [JSON]),
    "an escaped letter": ("/v1.41/containers/%63reate?name={}", [JSON]),
    "an escaped slash": ("/v1.41/containers%2fcreate?name={}", [JSON]),
    "a full address": ("http://engine/v1.41/containers/create?name={}", [JSON]),
    "no version": ("/containers/create?name={}", [JSON]),
    "an old version": ("/v1.20/containers/create?name={}", [JSON]),
    "a body that is said to be none": ("/v1.41/containers/create?name={}", [JSON, "Content-Length: 0"]),
    "no type": ("/v1.41/containers/create?name={}", []),
    "a type with more": ("/v1.41/containers/create?name={}", [f"{JSON}; charset=utf-8"]),
    "two types": ("/v1.41/containers/create?name={}", ["Content-Type: text/plain", JSON]),
    "two types, the other way": ("/v1.41/containers/create?name={}", [JSON, "Content-Type: text/plain"]),
}


@pytest.mark.parametrize("which", BY_HAND)
def test_a_request_written_by_hand_makes_no_container(lab_running: Settings, which: str) -> None:
    target, headers = BY_HAND[which]
    name = f"{lab_running.name}-trial-{secrets.token_hex(8)}"
    status = create(lab_running, target.format(name), *headers).split(b" ", 2)[1]
    assert status.startswith((b"3", b"4")), status
    made = ask_as(lab_running, "operator").call("GET", "/containers/json", params={"all": 1})
    assert not any(f"/{name}" in each["Names"] for each in made)


def test_a_body_in_chunks_is_read_too(lab_running: Settings) -> None:
    body = json.dumps({"Image": "cyberlab/debian", "HostConfig": {"Privileged": True}}).encode()
    chunks = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    target = f"/v1.41/containers/create?name={lab_running.name}-trial-{secrets.token_hex(8)}"
    said = create(lab_running, target, JSON, "Transfer-Encoding: chunked", body=chunks)
    assert b"403" in said.split(b"\r\n", 1)[0]


def test_the_engines_own_socket_shows_nothing(lab_running: Settings) -> None:
    container = containers.find(lab_running, engines.system_engine(), "engine")
    assert container is not None
    for command, allowed in (
        (["docker", "version"], True),
        (["docker", "ps"], False),
        (["docker", "info"], False),
    ):
        done = container.exec_run(command)
        said = done.output.decode()
        assert ("nobody may not" in said) is not allowed, said


# ---------------------------------------------------------------- without the warden
FIND = """
import os, pathlib, signal, sys
def words(pid):
    try: return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\\0")[:3]
    except OSError: return []
wardens = [p for p in map(int, filter(str.isdigit, os.listdir("/proc"))) if words(p) == [b"python3", b"-m", b"warden"]]
"""
STOP = (
    FIND
    + """
(warden,) = wardens
keeper = int(pathlib.Path(f"/proc/{warden}/stat").read_text().rpartition(")")[2].split()[1])
os.kill(keeper, signal.SIGSTOP)
os.kill(warden, signal.SIGKILL)
print(keeper)
"""
)
KILL = FIND + "os.kill(wardens[0], signal.SIGKILL)"


def test_without_the_warden_the_engine_refuses_and_it_comes_back(lab_running: Settings) -> None:
    container = containers.find(lab_running, engines.system_engine(), "engine")
    assert container is not None
    engine = ask_as(lab_running, "builder")
    engine.call("GET", "/info")
    keeper = containers.run_inside(container, ["python3", "-c", STOP])
    try:
        # the engine goes on asking for half a minute, and refuses then; it never goes on without an answer
        with pytest.raises(HubError) as caught:
            engine.call("GET", "/info", seconds=4)
        assert isinstance(caught.value, PartDown | WorkFailed)
    finally:
        containers.run_inside(container, ["sh", "-c", f"kill -CONT {keeper}"])
    assert engine.call("GET", "/info", seconds=60)
    engine.close()


def test_a_warden_that_dies_is_started_again(lab_running: Settings) -> None:
    container = containers.find(lab_running, engines.system_engine(), "engine")
    assert container is not None
    containers.run_inside(container, ["python3", "-c", KILL])
    engine = ask_as(lab_running, "swarm")
    assert engine.call("GET", "/nodes", seconds=60)
    with pytest.raises(WorkFailed, match="swarm may not"):
        engine.call("GET", "/swarm", seconds=60)
    engine.close()
