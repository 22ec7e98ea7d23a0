"""From a host on the campus, with `CYBERLAB_CAMPUS` and without: things write, and nothing else of the lab answers."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cyberlab import Lab
from cyberlab.wire import NewThing
from cyberlab_hub import settings as settings_module
from cyberlab_hub.campus import CONNECTIONS_EACH
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import doctor
from cyberlab_hub.setup.doctor import Patient
from cyberlab_hub.setup.steps import StepRunner, make_console
from cyberlab_hub.setup.up import plan
from system.campus_host import HERE, CampusHost, campus_host

pytestmark = pytest.mark.engine

NAME = "lab.campus.test"
STEPS = ("campus", "secrets", "firewall", "mqtt", "lab", "ingest")
"""Of `up`: those that the setting changes. (The hub would start anew too, and end up as it was.)"""
WAYS = {"gateway": (HERE, 8443), "broker": (HERE, 8883)}
CHECKS = (
    "campus-gateway",
    "certs-parts",
    "certs-shown",
    "containers-published",
    "firewall-rules",
    "mqtt-strangers",
    "parts-caged",
    "ports-open",
    "registry-tls",
)
UP = """
import sys
from cyberlab_hub.settings import load
from cyberlab_hub.setup.steps import StepRunner, make_console
from cyberlab_hub.setup.up import plan
StepRunner(make_console()).run([step for step in plan(load()) if step.name in sys.argv[1:]])
"""
WRITES = """
import sys
from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
url, token, ca, bucket = sys.argv[1:]
with InfluxDBClient(url=url, token=token, org="cyberlab", ssl_ca_cert=ca) as client:
    client.write_api(write_options=SYNCHRONOUS).write(bucket, record="by_client value=1")
"""


def others(settings: Settings) -> dict[str, tuple[str, int]]:
    """Whatever else of the lab a host could ask for, at the lab's own addresses and at the one it may use."""
    users, devices = settings.gateway("users"), settings.gateway("devices")
    own = {
        "workshop engine": (settings.engine_address, 2376),
        "swarm manager": (settings.engine_address, 2377),
        "registry": (settings.registry_address, 5000),
        "broker itself": (settings.mqtt_address, 8883),
        "InfluxDB": (settings.influx_address, 8086),
        "a Pi's swarm port": (settings.address("devices", 11), 7946),
        "hub API": (users, 8081),
        "lab service": (users, 8082),
        "gateway, devices' side": (devices, 8443),
        "registry tokens": (devices, 8444),
        "devices' uplinks": (devices, 8445),
    }
    here = {f"{name}, here": (HERE, port) for name, (_, port) in own.items() if port not in (8443, 8883)}
    page = {"page, here": (HERE, settings.hub_port), "proxy's API, here": (HERE, settings.hub_port + 1)}
    return {**own, **here, **(page if settings.local else {})}


@pytest.fixture(scope="module")
def host(lab_running: Settings) -> Iterator[CampusHost]:
    if lab_running.on_campus.entries:
        pytest.skip("this lab is open to its campus; the test would close it")
    with campus_host() as made:
        yield made


@pytest.fixture(scope="module")
def opened(lab_running: Settings, host: CampusHost) -> Iterator[Settings]:
    """The lab with the setting; without it again at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYBERLAB_CAMPUS", f"{NAME},{HERE}")
        try:
            yield reconfigure()
        finally:
            patch.undo()
            reconfigure()
            assert not host.reached(WAYS), "it is off, and still open"
            assert wrong(lab_running) == []


def reconfigure() -> Settings:
    subprocess.run([sys.executable, "-c", UP, *STEPS], check=True, timeout=120)
    return settings_module.load()


def wrong(settings: Settings) -> list[object]:
    found = doctor.examine(Patient(settings), doctor.chosen(CHECKS), lambda _: None)
    return [finding for finding in found if finding.state != "ok"]


def test_without_the_setting_nothing_answers(lab_running: Settings, host: CampusHost) -> None:
    with socket.create_server((HERE, 0)) as listener:  # without an answer from it the probe would be wrong
        probe = {"probe": (HERE, listener.getsockname()[1])}
        assert host.reached({**probe, **WAYS, **others(lab_running)}) == {"probe"}


def test_with_it_two_ports_answer(opened: Settings, host: CampusHost) -> None:
    assert host.reached({**WAYS, **others(opened)}) == set(WAYS)
    assert wrong(opened) == []


def test_a_thing_writes_by_every_way(
    opened: Settings, host: CampusHost, student: Lab, tmp_path: Path
) -> None:
    thing = student.add_thing(f"balcony-{secrets.token_hex(3)}")
    assert thing.gateway == f"https://{NAME}:8443"
    assert thing.mqtt == f"mqtts://{NAME}:8883"
    ca = tmp_path / "ca.crt"
    ca.write_text(thing.ca)
    try:
        assert curl(host, thing, ca, "/api/v2/write?bucket=" + thing.bucket, "by_curl value=1") == "204"
        # a token that is good opens nothing else
        assert curl(host, thing, ca, "/api/v1/write", "by_curl value=2") == "404"
        done = host.run(
            sys.executable, "-c", WRITES, f"https://{HERE}:8443", thing.token, str(ca), thing.bucket
        )
        assert done.returncode == 0, done.stderr
        published(host, thing, ca)
        for measurement in ("by_curl", "by_client", "by_mqtt"):
            student.wait_for(measurement, devices=[thing.name], start="-10m", timeout=20)
            frame = student.read(measurement, layout="long", start="-10m")
            assert set(frame["device"]) == {thing.name}
            assert set(frame["value"]) == {1.0}
    finally:
        student.remove_thing(thing.name)


def curl(host: CampusHost, thing: NewThing, ca: Path, path: str, line: str) -> str:
    """The status of a write, to the name that the thing was told, with the certificate checked."""
    done = host.run(
        "curl", "--silent", "--cacert", str(ca), "--noproxy", "*", "--resolve", f"{NAME}:8443:{HERE}",
        "--header", f"Authorization: Token {thing.token}", "--data-binary", line, "--write-out", "%{http_code}",
        f"{thing.gateway}{path}",
    )  # fmt: skip
    return done.stdout[-3:]


def published(host: CampusHost, thing: NewThing, ca: Path) -> None:
    """By MQTT, as soon as the broker knows the token."""
    deadline = time.monotonic() + 30
    while True:
        done = host.run(
            "mosquitto_pub", "--cafile", str(ca), "-h", HERE, "-p", "8883", "-u", thing.mqtt_user,
            "-P", thing.token, "-q", "1", "-t", f"{thing.mqtt_topic}/by_mqtt", "-m", "1",
        )  # fmt: skip
        if done.returncode == 0:
            return
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.5)


@pytest.mark.parametrize("way", WAYS)
def test_one_client_cannot_take_every_place(opened: Settings, host: CampusHost, way: str) -> None:
    asked = {str(number): WAYS[way] for number in range(CONNECTIONS_EACH + 20)}
    assert 0 < len(host.reached(asked)) <= CONNECTIONS_EACH


def test_an_address_that_is_not_here_stops_up(lab_running: Settings) -> None:
    away = replace(lab_running, campus="203.0.113.77")
    with pytest.raises(Exception, match="no address of this machine") as caught:
        StepRunner(make_console()).run([step for step in plan(away) if step.name in STEPS])
    assert getattr(caught.value, "code", "") == "campus-unusable"
