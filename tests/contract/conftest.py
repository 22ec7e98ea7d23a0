"""Fixtures of the contract tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_process import Gateway, make_gateway, set_up
from influx_server import need_influxd
from service_lab import ServiceLab, service_lab


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceLab]:
    """A lab service on fakes, on its own database and port."""
    with service_lab(tmp_path) as lab:
        yield lab


@pytest.fixture
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Gateway:
    need_influxd(request)
    return make_gateway(tmp_path)


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Gateway and InfluxDB, up for all tests that do not cut anything off."""
    need_influxd(request)
    gateway = make_gateway(tmp_path_factory.mktemp("gateway"))
    with gateway.influx.running():
        set_up(gateway)
        with gateway.running():
            yield gateway


@pytest.fixture
def owner() -> str:
    """A user of one test."""
    return f"anna-{secrets.token_hex(4)}"
