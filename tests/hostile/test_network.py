"""What users' code reaches from a build, a trial, a deployment and a notebook: what the lab offers, nothing else."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from cyberlab_hub.egress import NOTEBOOK_PORT, WORKSHOP_PORT
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.door import own_addresses
from cyberlab_hub.setup.engines import resolvers
from hostile import places
from hostile.attack import Attack, Scene, table
from hostile.places import Findings

PLACES: dict[str, Callable[..., Findings]] = {
    "build": places.in_build,
    "trial": places.in_trial,
    "deployment": places.in_deployment,
    "notebook": places.in_notebook,
}
OFFERED = {
    "build": {"door"},
    "trial": {"door"},
    "deployment": {"door", "ingest gateway"},
    "notebook": {"door", "hub API", "lab service"},
}
"""What each place is meant to reach."""


# ---------------------------------------------------------------- the targets
def targets(scene: Scene, place: str) -> dict[str, tuple[str, int]]:
    settings = scene.settings
    hosts = {f"host, {which} side": settings.gateway(which) for which in ("devices", "data", "users", "gate")}
    doors = (WORKSHOP_PORT, NOTEBOOK_PORT)
    own, other = doors if place != "notebook" else doors[::-1]
    return {
        "door": (settings.proxy_address, own),
        "other door": (settings.proxy_address, other),
        "workshop engine": (settings.engine_address, 2376),
        "swarm manager": (settings.engine_address, 2377),
        "swarm gossip": (settings.engine_address, 7946),
        "registry": (settings.registry_address, 5000),
        "InfluxDB": (settings.influx_address, 8086),
        "gossip of a Pi": (settings.address("devices", 11), 7946),
        "another user's server": (scene.server(scene.ben).person.address, 8888),
        "hub API": (settings.gateway("users"), 8081),
        "lab service": (settings.gateway("users"), 8082),
        "ingest gateway": (settings.gateway("devices"), 8443),
        "registry tokens": (settings.gateway("devices"), 8444),
        "devices' uplinks": (settings.gateway("devices"), 8445),
        "intake of a Pi from outside": (settings.address("devices", 12), 8087),
        "public proxy": (settings.gateway("users"), settings.hub_port),
        "API of the proxy": (settings.gateway("users"), settings.hub_port + 1),
        "cloud metadata": ("169.254.169.254", 80),
        "host's resolver": (resolvers()[0], 53),
        "mirror without the door": (mirror_address(settings), 443),
        "engine from inside": ("172.17.0.1", 2376),
        **{f"port of the {name}": (address, scene.listener.port) for name, address in hosts.items()},
        **{
            f"port of the host, address {number}": (address, scene.listener.port)
            for number, address in enumerate(host_addresses(settings), 1)
        },
    }


def host_addresses(settings: Settings) -> list[str]:
    """The host's own addresses outside the lab, of version 4."""
    inside = {settings.gateway(which) for which in ("devices", "data", "users", "gate")}
    return [address for address in own_addresses() if ":" not in address and address not in inside]


def mirror(settings: Settings) -> tuple[str, int]:
    """A mirror that speaks TLS."""
    listed = json.loads((settings.state / "packages.json").read_text())
    return next((host, port) for host, port in listed if port == 443)


def mirror_address(settings: Settings) -> str:
    return str(socket.getaddrinfo(mirror(settings)[0], 443, socket.AF_INET)[0][4][0])


def urls(scene: Scene) -> dict[str, str]:
    settings = scene.settings
    host, _ = mirror(settings)
    return {
        "a mirror": f"https://{host}/",
        "InfluxDB": f"http://{settings.influx_address}:8086/ping",
        "lab service": f"http://{settings.gateway('users')}:8082/services/lab/api/v1/health",
        "workshop engine": f"tunnel://{settings.engine_address}:2376",
        "registry": f"tunnel://{settings.registry_address}:5000",
        "a port of the host": f"tunnel://{settings.gateway('gate')}:{scene.listener.port}",
        "a port of the host, port 443 pretended": f"http://{settings.gateway('gate')}:443/",
        "the proxy's own loopback": "http://127.0.0.1:3128/",
        "loopback by name": "http://localhost/",
        "loopback in hexadecimal": "http://0x7f000001/",
        "loopback of version 6": "tunnel://[::1]:443",
        "cloud metadata": "http://169.254.169.254/latest/meta-data/",
        "a name that is not listed": "https://example.com/",
        "a mirror's other port": f"tunnel://{host}:22",
        "a mirror's name as a user name": f"http://{host}@{settings.influx_address}:8086/ping",
        "a mirror's name as a prefix": f"tunnel://{host}.example.com:443",
        "a mirror's address without its name": f"tunnel://{mirror_address(settings)}:443",
        "the proxy's own management": f"http://{settings.proxy_address}:3128/squid-internal-mgr/info",
    }


def findings(scene: Scene, place: str) -> Findings:
    """Every probe of `inside/reach.py`, once for each place."""
    door = NOTEBOOK_PORT if place == "notebook" else WORKSHOP_PORT
    facts: dict[str, Any] = {
        "targets": targets(scene, place),
        "urls": urls(scene),
        "proxy": f"http://{scene.settings.proxy_address}:{door}",
        "names": [mirror(scene.settings)[0], "example.com", "metadata.google.internal"],
        "resolvers": resolvers(),
        "listener_port": scene.listener.port,
        "listener_hosts": [scene.settings.gateway(w) for w in ("devices", "data", "users", "gate")]
        + host_addresses(scene.settings),
    }
    return scene.once(f"reach from a {place}", lambda: PLACES[place](scene, "reach", facts))


# ---------------------------------------------------------------- the table
TARGETS = (
    "other door",
    "workshop engine",
    "swarm manager",
    "swarm gossip",
    "registry",
    "InfluxDB",
    "gossip of a Pi",
    "another user's server",
    "hub API",
    "lab service",
    "ingest gateway",
    "registry tokens",
    "public proxy",
    "API of the proxy",
    "cloud metadata",
    "host's resolver",
    "mirror without the door",
    "engine from inside",
    "port of the host, devices side",
    "port of the host, data side",
    "port of the host, users side",
    "port of the host, gate side",
    "port of the host, address 1",
)
URLS = (
    "InfluxDB",
    "lab service",
    "workshop engine",
    "registry",
    "a port of the host",
    "a port of the host, port 443 pretended",
    "the proxy's own loopback",
    "loopback by name",
    "loopback in hexadecimal",
    "loopback of version 6",
    "cloud metadata",
    "a name that is not listed",
    "a mirror's other port",
    "a mirror's name as a user name",
    "a mirror's name as a prefix",
    "a mirror's address without its name",
    "the proxy's own management",
)


def slug(*words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


def connecting(place: str, target: str) -> Attack:
    def run(scene: Scene) -> None:
        assert findings(scene, place)["connect"].value[target] is False, (
            f"{target} was reached from a {place}"
        )

    name = slug(place, "to", target)
    return Attack("network", name, f"connects to: {target}", "no connection is made", "firewall", run)


def through(place: str, target: str) -> Attack:
    def run(scene: Scene) -> None:
        found = findings(scene, place)["through_the_door"].value[target]
        assert not isinstance(found, int), f"{target} answered {found} through the proxy to a {place}"

    name = slug(place, "through the door to", target)
    return Attack("network", name, f"asks the proxy for: {target}", "the proxy refuses", "proxy", run)


def looking_up(place: str) -> Attack:
    def run(scene: Scene) -> None:
        found = findings(scene, place)
        assert not any(found["lookup"].value.values()), found["lookup"].value
        assert found["ask_a_resolver"].value == []

    tries = "carries data out in names that it looks up"
    return Attack("network", slug(place, "by names"), tries, "no resolver answers", "firewall", run)


def sending(place: str) -> Attack:
    def run(scene: Scene) -> None:
        found = findings(scene, place)
        assert found["datagrams"].value is not None
        assert found["addresses_of_version_6"].value == []

    tries = "sends datagrams to every address of the host, and looks for IPv6"
    return Attack("network", slug(place, "by datagrams"), tries, "nobody hears them", "firewall", run)


ATTACKS = (
    *(connecting(place, t) for place in PLACES for t in TARGETS if t not in OFFERED[place]),
    *(through(place, url) for place in ("build", "notebook") for url in URLS),
    *(looking_up(place) for place in PLACES),
    *(sending(place) for place in PLACES),
)


@table(ATTACKS)
def test_network(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)


@pytest.mark.engine
@pytest.mark.parametrize("place", PLACES)
def test_the_probes_can_see(place: str, scene: Scene) -> None:
    """What each place is meant to reach is reached: so the refusals above are not those of a broken probe."""
    scene.listener.proves_itself()
    found = findings(scene, place)
    reached = {target for target, yes in found["connect"].value.items() if yes}
    assert reached == OFFERED[place]
    assert isinstance(found["through_the_door"].value["a mirror"], int)
