"""The proxy's container, with the rules of this lab's settings and this machine's mirrors."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from urllib.parse import urlsplit

import docker

from cyberlab_hub import egress
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers
from cyberlab_hub.setup.images import site_proxy
from cyberlab_hub.setup.packages import package_places


def ensure(settings: Settings, engine: docker.DockerClient) -> str:
    """Make or start the proxy. Raises: Reused when it runs with these rules."""
    return containers.ensure(
        settings, engine, containers.proxy(settings, configuration(settings, package_places(settings)))
    )


def configuration(settings: Settings, places: Iterable[tuple[str, int]]) -> str:
    """Squid's configuration for this lab; `places`: this machine's mirrors (`packages`)."""
    places = tuple(places)  # read twice
    workshop = egress.parse(settings.egress, places)
    notebooks = egress.parse(settings.egress_of_notebooks, places)
    own = [settings.subnet, *own_addresses()]
    parent = urlsplit(site_proxy())
    peer = (parent.hostname, parent.port or 3128) if parent.hostname else None
    if peer is not None:
        own = [address for address in own if address != peer[0]]
    return egress.squid_conf(workshop, notebooks, own, peer)


def own_addresses() -> list[str]:
    """This machine's addresses, both families, without loopback and link-local ones."""
    said = subprocess.run(["ip", "-json", "address"], capture_output=True, text=True, timeout=10, check=True)
    found = [info for link in json.loads(said.stdout) for info in link.get("addr_info", ())]
    return sorted(info["local"] for info in found if info.get("scope") == "global")
