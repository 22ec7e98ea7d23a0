"""A real Mosquitto of its own for contract tests: the lab's configuration and start script, in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from cyberlab_hub.ingest.mqtt.bridge import SECRET, prepare
from cyberlab_hub.settings import ROOT
from gateway_process import Gateway
from influx_server import free_port

PATH = f"{os.environ['PATH']}:/usr/sbin"
SERVE = (
    "import sys; from cyberlab_hub.ingest.__main__ import serve; from cyberlab_hub.settings import load;"
    " serve(load(), port=int(sys.argv[1]), uplink_port=int(sys.argv[2]), mqtt_port=int(sys.argv[3]))"
)


def need_mosquitto(request: pytest.FixtureRequest) -> None:
    """Skip without broker and clients; fail if ``--require-engine`` was given."""
    if all(shutil.which(name, path=PATH) for name in ("mosquitto", "mosquitto_pub", "mosquitto_sub")):
        return
    message = "no mosquitto: the packages mosquitto and mosquitto-clients are not here"
    if request.config.getoption("--require-engine"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@dataclass(frozen=True)
class Broker:
    gateway: Gateway
    port: int

    @property
    def address(self) -> str:
        return self.gateway.settings.mqtt_address

    @property
    def ca_file(self) -> str:
        return str(self.gateway.settings.certs / "ca.crt")

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """From start to kill -9. May be used again: what it keeps stays."""
        folder = self.gateway.settings.mqtt_folder
        script = ROOT / "spawner_images" / "mqtt" / "broker.sh"
        argv = [str(script), str(folder / "mosquitto.conf"), str(folder / "logins")]
        with (folder / "broker.log").open("ab") as log:
            process = subprocess.Popen(
                argv, stdout=log, stderr=log, env={**os.environ, "PATH": PATH}, start_new_session=True
            )
        try:
            deadline = time.monotonic() + 20
            while not self.answers():
                assert process.poll() is None, (folder / "broker.log").read_text()
                assert time.monotonic() < deadline, (folder / "broker.log").read_text()
                time.sleep(0.05)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def answers(self) -> bool:
        try:
            with socket.create_connection((self.address, self.port), timeout=1):
                return True
        except OSError:
            return False

    @contextmanager
    def bridge(self) -> Iterator[subprocess.Popen[bytes]]:
        """The gateway's process; ended with SIGTERM unless the test has killed it."""
        settings = self.gateway.settings
        env = {
            **os.environ,
            "CYBERLAB_STATE": str(settings.state),
            "CYBERLAB_SUBNET": settings.subnet,
            "CYBERLAB_INFLUX_URL": self.gateway.influx.url,
        }
        ports = (str(self.gateway.port), str(self.gateway.uplink_port), str(self.port))
        process = subprocess.Popen([sys.executable, "-c", SERVE, *ports], env=env)
        try:
            deadline = time.monotonic() + 30
            while self.gateway.health() is None:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.wait(15)


def make_broker(gateway: Gateway, port: int = 0) -> Broker:
    """Its files, as set-up and image would lay them."""
    settings = gateway.settings
    (settings.secrets / SECRET).write_text("the gateway's own")
    prepare(settings.mqtt_folder, settings.secret(SECRET))
    broker = Broker(gateway, port or free_port())
    text = (ROOT / "spawner_images" / "mqtt" / "mosquitto.conf").read_text()
    for ours, here in {
        "listener 8883": f"listener {broker.port} {settings.mqtt_address}",
        "/logins/": f"{settings.mqtt_folder}/logins/",
        "/certs/": f"{settings.certs}/",
        "/var/lib/mosquitto/": f"{settings.mqtt_folder}/",
    }.items():
        assert ours in text
        text = text.replace(ours, here)
    user = "user root\n" if os.geteuid() == 0 else ""
    (settings.mqtt_folder / "mosquitto.conf").write_text(user + text)
    return broker
