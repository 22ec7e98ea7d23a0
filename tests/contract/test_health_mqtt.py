"""Who asks whether the lab is well is told about the broker: a real one, that is there, ends, and hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from cyberlab import Lab
from cyberlab.wire import PartHealth
from cyberlab_hub import certs
from cyberlab_hub.errors import PartDown
from cyberlab_hub.ingest.mqtt import probe
from gateway_process import make_gateway
from mqtt_broker import Broker, make_broker, need_mosquitto
from service_lab import ServiceLab, service_lab


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Broker:
    """On an address of its own and the broker's usual port: where the service looks."""
    need_mosquitto(request)
    subnet = f"127.{os.getpid() % 200 + 20}.0.0/16"
    return make_broker(make_gateway(tmp_path_factory.mktemp("broker"), subnet=subnet), port=8883)


@contextmanager
def service(broker: Broker) -> Iterator[ServiceLab]:
    settings = broker.gateway.settings
    with service_lab(settings.state, subnet=settings.subnet) as lab:
        yield lab


def row(lab: ServiceLab) -> PartHealth:
    """What somebody without any right is told, asked anew."""
    lab.parts.health._until = 0.0
    client = Lab(lab.url, "nobody")
    (found,) = [part for part in client.health() if part.part == "mqtt"]
    client.close()
    return found


def test_the_broker_has_its_row(broker: Broker) -> None:
    with service(broker) as lab:
        with broker.running():
            assert row(lab).ok
            assert "answers (TLS" in row(lab).detail
        assert not row(lab).ok
        assert "make up" in row(lab).detail


def test_a_broker_that_hangs_is_down(broker: Broker) -> None:
    settings = broker.gateway.settings
    with broker.running() as process:
        os.killpg(process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(PartDown, match=r"no answer in time; `make up`") as caught:
                probe.ask(settings, 0.5)
        finally:
            os.killpg(process.pid, signal.SIGCONT)
        assert caught.value.code == "mqtt-down"
        assert probe.ask(settings).startswith("TLS")


def test_a_broker_with_a_strange_certificate_is_down(broker: Broker) -> None:
    settings = broker.gateway.settings
    other = replace(settings, state=settings.state / "other")
    other.state.mkdir()
    certs.ensure(other)
    with broker.running(), pytest.raises(PartDown, match="its certificate is not good"):
        probe.ask(other)


def test_a_lab_without_a_broker_has_no_row(broker: Broker) -> None:
    settings = broker.gateway.settings
    (settings.state / "other").mkdir()
    with service_lab(settings.state / "other", subnet=settings.subnet) as lab:
        assert "mqtt" not in {part["part"] for part in lab.client(None).get("/health").json()["parts"]}
