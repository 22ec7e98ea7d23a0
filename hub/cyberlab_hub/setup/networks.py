"""The lab's bridge networks. What each may reach is in `firewall`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import docker
from docker.types import IPAMConfig, IPAMPool

from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.steps import Reused


@dataclass(frozen=True)
class Network:
    which: str
    ports: tuple[int, ...] = ()
    """TCP ports of the host that its containers may reach; every other one is refused."""
    talk: bool = False
    """Whether containers on it may reach each other."""
    door: int = 0
    """The proxy's port for its containers; 0: they reach nothing outside."""


NETWORKS = (
    Network("devices", ports=(8443, 8444, 8445), talk=True, door=3128),
    Network("data"),
    Network("users", ports=(8081, 8082), door=3129),
    Network("gate"),
)
GATE = "gate"
"""The proxy's own network: the only one from which anything is routed out."""


def network_name(settings: Settings, which: str) -> str:
    return f"{settings.name}-{which}"


def bridge_name(settings: Settings, which: str) -> str:
    """A Linux interface name has at most 15 characters: hash the lab's name."""
    return f"cl{hashlib.sha256(settings.name.encode()).hexdigest()[:4]}-{which}"[:15]


def ensure(settings: Settings, engine: docker.DockerClient) -> str:
    """Create the networks that are missing.

    Raises: Reused when none was. SetupError when a network of that name has another address range.
    """
    made = [n.which for n in NETWORKS if _ensure_network(settings, engine, n)]
    if not made:
        raise Reused("networks in place")
    return f"networks {', '.join(made)}"


def _ensure_network(settings: Settings, engine: docker.DockerClient, network: Network) -> bool:
    name = network_name(settings, network.which)
    found = engine.networks.list(names=[f"^{name}$"])
    if found:
        has = found[0].attrs["IPAM"]["Config"][0]["Subnet"]
        if has != str(settings.network(network.which)):
            raise SetupError(
                "network-differs",
                f"the Docker network {name} has the range {has} and the settings say "
                f"{settings.network(network.which)}; `make clean` removes it, or set CYBERLAB_SUBNET",
            )
        return False
    pool = IPAMPool(subnet=str(settings.network(network.which)), gateway=settings.gateway(network.which))
    engine.networks.create(
        name,
        driver="bridge",
        ipam=IPAMConfig(pool_configs=[pool]),
        options={
            "com.docker.network.bridge.name": bridge_name(settings, network.which),
            "com.docker.network.bridge.enable_icc": "true" if network.talk else "false",
        },
        labels={"cyberlab.lab": settings.name},
    )
    return True
