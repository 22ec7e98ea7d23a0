"""The setting that lets things on the campus in: what it may say, what follows, and what it never opens."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cyberlab_hub import campus, certs, cli
from cyberlab_hub import settings as settings_module
from cyberlab_hub.errors import SetupError
from cyberlab_hub.ingest.app import CAMPUS, create_app
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.tokens import Tokens
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.policy import Allowance
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import campus as setup_campus
from cyberlab_hub.setup import containers, firewall
from cyberlab_hub.setup.doctor import ports
from cyberlab_hub.setup.steps import Reused
from fakes import FakeStore
from typer.testing import CliRunner

OPEN = "Lab.example.org, 192.0.2.10,192.0.2.11"


# ---------------------------------------------------------------- the setting
def test_closed_by_default(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)
    assert settings.on_campus == campus.Campus()
    assert (settings.on_campus.gateway_url, settings.on_campus.broker_url) == ("", "")
    assert containers.mqtt(settings).published == ()
    with pytest.raises(Reused, match="closed"):
        setup_campus.ensure(settings)


def test_the_first_entry_is_what_people_are_told_and_addresses_are_what_opens(tmp_path: Path) -> None:
    there = Settings(state=tmp_path, campus=OPEN).on_campus
    assert there.gateway_url == "https://lab.example.org:8443"
    assert there.broker_url == "mqtts://lab.example.org:8883"
    assert there.addresses == ("192.0.2.10", "192.0.2.11")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("https://192.0.2.10", "without https://"),
        ("192.0.2.10:8443", "neither an address"),
        ("192.0.2.300", "neither an address"),
        ("192.0.2.0/24", "neither an address"),
        ("192.0.2.10,fd00::2", "'fd00::2' is neither an address (version 4)"),
        ("192.0.2.10,-lab", "'-lab' is neither"),
        ("192.0.2.10,*.example.org", "neither an address"),
        ("192.0.2.10," + "a." * 130 + "org", "neither an address"),
        ("lab.example.org", "add one, as in lab.example.org,192.0.2.10"),
    ],
)
def test_what_is_no_address_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("CYBERLAB_STATE", str(tmp_path))
    monkeypatch.setenv("CYBERLAB_CAMPUS", value)
    with pytest.raises(ValueError, match=r"CYBERLAB_CAMPUS") as caught:
        settings_module.load()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0.0.0.0", "every address of this machine"),  # noqa: S104 - refused
        ("127.0.0.1", "nobody reaches but this machine"),
        ("10.77.0.1", "one of the lab's own"),
        ("203.0.113.77", "no address of this machine"),
    ],
)
def test_where_this_machine_cannot_listen_up_stops(tmp_path: Path, value: str, words: str) -> None:
    with pytest.raises(SetupError, match=words) as caught:
        setup_campus.ensure(Settings(state=tmp_path, campus=value))
    assert caught.value.code == "campus-unusable"
    assert "make up" in caught.value.message


def test_the_operator_is_shown_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYBERLAB_STATE", str(tmp_path))
    monkeypatch.setenv("CYBERLAB_CAMPUS", "lab.example.org")
    done = CliRunner().invoke(cli.app, ["up"])
    assert done.exit_code == 1
    assert done.stderr.startswith("error [setting-invalid] CYBERLAB_CAMPUS: 'lab.example.org' names no")


# ---------------------------------------------------------------- what follows from it
def names_in(path: Path) -> set[str]:
    found = x509.load_pem_x509_certificate(path.read_bytes()).extensions
    return {str(name.value) for name in found.get_extension_for_class(x509.SubjectAlternativeName).value}


def test_the_two_certificates_follow_the_setting(tmp_path: Path) -> None:
    closed = Settings(state=tmp_path)
    certs.ensure(closed)
    opened = replace(closed, campus=OPEN)
    assert certs.ensure(opened) == ["ingest", "mqtt"]
    for name in ("ingest", "mqtt"):
        assert {"lab.example.org", "192.0.2.10", "192.0.2.11"} <= names_in(tmp_path / "certs" / f"{name}.crt")
    assert certs.ensure(opened) == []
    assert certs.ensure(closed) == ["ingest", "mqtt"]
    assert "192.0.2.10" not in names_in(tmp_path / "certs" / "mqtt.crt")


def test_only_the_broker_is_published_and_only_there(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, campus=OPEN)
    parts = [containers.registry, containers.influxdb, containers.workshop, containers.mqtt]
    published = {part.name: part.published for part in (describe(settings) for describe in parts)}
    assert published.pop("mqtt") == (("192.0.2.10", 8883), ("192.0.2.11", 8883))
    assert not any(published.values())


def test_the_doctor_expects_the_gateway_there_and_nothing_else(tmp_path: Path) -> None:
    closed = Settings(state=tmp_path)
    before, after = ports.expected(closed), ports.expected(replace(closed, campus=OPEN))
    more = {(name, place) for name in after for place in set(after[name]) - set(before[name])}
    assert more == {("ingest", ("192.0.2.10", 8443)), ("ingest", ("192.0.2.11", 8443))}


# ---------------------------------------------------------------- the firewall
def rules(settings: Settings, hook: str) -> list[str]:
    return [
        " ".join(rule)
        for chain in firewall.chains(settings)
        if chain.hook == hook and chain.command == "iptables"
        for rule in chain.rules
    ]


@pytest.mark.parametrize("value", ["", OPEN])
def test_nothing_from_elsewhere_comes_to_the_labs_own_addresses(tmp_path: Path, value: str) -> None:
    """Linux answers at every address that it has, whichever way a packet came in."""
    settings = Settings(state=tmp_path, campus=value)
    assert rules(settings, "INPUT")[-1].startswith("! -i lo -d 10.77.0.0/16 -j REJECT")
    for which in ("devices", "data", "users", "gate"):
        mine = [r for r in rules(settings, "DOCKER-USER") if r.startswith(f"-o {bridge(settings, which)} ")]
        assert "-j REJECT" in mine[-1]
        assert "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN" in mine[-2]


def test_into_the_labs_networks_comes_what_was_sent_to_the_brokers_port(tmp_path: Path) -> None:
    closed = Settings(state=tmp_path)
    opened = replace(closed, campus=OPEN)
    more = [r for r in rules(opened, "DOCKER-USER") if r not in rules(closed, "DOCKER-USER")]
    assert [r for r in more if not r.endswith("tcp-reset")] == [
        f"-o {bridge(opened, 'devices')} -d 10.77.0.4 -p tcp -m tcp --dport 8883 -m conntrack --ctorigdst {a} -j RETURN"
        for a in ("192.0.2.10", "192.0.2.11")
    ]


@pytest.mark.parametrize(("hook", "port"), [("INPUT", 8443), ("DOCKER-USER", 8883)])
def test_connections_from_there_are_bounded(tmp_path: Path, hook: str, port: int) -> None:
    bounds = [r for r in rules(Settings(state=tmp_path, campus="192.0.2.10"), hook) if "connlimit" in r]
    assert len(bounds) == 2
    assert all(f"--dport {port} " in rule and rule.endswith("tcp-reset") for rule in bounds)


def bridge(settings: Settings, which: str) -> str:
    return firewall.bridge_name(settings, which)


# ---------------------------------------------------------------- the gateway's routes
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v2/write", 401),
        ("GET", "/ping", 204),
        ("GET", "/health", 200),
        ("POST", "/api/v1/write", 404),
        ("GET", "/api/v2/write", 405),
        ("GET", "/", 404),
    ],
)
def test_what_of_the_gateway_is_served_there(tmp_path: Path, method: str, path: str, status: int) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'lab.sqlite'}")
    pace = Pace(lambda _owner: Allowance("points", 10**9))
    app = create_app(FakeStore(), Tokens(database), pace, served=CAMPUS)

    async def ask() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            return (await client.request(method, path)).status_code

    assert asyncio.run(ask()) == status
    database.close()
