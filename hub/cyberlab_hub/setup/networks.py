"""Three bridge networks, and what of the host each may reach: deny by default, in this one place."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.types import IPAMConfig, IPAMPool

from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.steps import Reused


@dataclass(frozen=True)
class Network:
    which: str
    ports: tuple[int, ...]
    """TCP ports of the host that its containers may reach; every other one is refused."""
    talk: bool
    """Whether containers on it may reach each other."""


NETWORKS = (
    Network("devices", ports=(8443, 8444), talk=True),
    Network("data", ports=(), talk=False),
    Network("users", ports=(8081, 8082), talk=False),
)


def network_name(settings: Settings, which: str) -> str:
    return f"{settings.name}-{which}"


def bridge_name(settings: Settings, which: str) -> str:
    """A Linux interface name has at most 15 characters: hash the lab's name."""
    return f"cl{hashlib.sha256(settings.name.encode()).hexdigest()[:4]}-{which}"[:15]


def ensure(settings: Settings, engine: docker.DockerClient) -> str:
    """Create the networks that are missing and set the input rules.

    Raises: Reused when all was in place. SetupError when a network of that name has another address range.
    """
    made = [n.which for n in NETWORKS if _ensure_network(settings, engine, n)]
    _switch_on("/proc/sys/net/bridge/bridge-nf-call-iptables")
    changed = _ensure_rules(settings)
    if not made and not changed:
        raise Reused("networks and input rules in place")
    return f"networks {', '.join(made) or 'kept'}; input rules set"


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


def _switch_on(path: str) -> None:
    """Without this, frames between two ports of one bridge never pass the filter and icc=false filters nothing."""
    switch = Path(path)
    if not switch.exists():
        raise SetupError(
            "br-netfilter-missing",
            "the kernel module br_netfilter is not loaded; run `modprobe br_netfilter`",
        )
    if switch.read_text().strip() != "1":
        switch.write_text("1")


def _chain(settings: Settings) -> str:
    return f"CYBERLAB-{hashlib.sha256(settings.name.encode()).hexdigest()[:6].upper()}"


def _rules(settings: Settings) -> list[list[str]]:
    rules: list[list[str]] = []
    for network in NETWORKS:
        bridge = ["-i", bridge_name(settings, network.which)]
        rules.append([*bridge, "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"])
        rules += [
            [
                *bridge,
                "-d",
                settings.gateway(network.which),
                "-p",
                "tcp",
                "-m",
                "tcp",
                "--dport",
                str(p),
                "-j",
                "ACCEPT",
            ]
            for p in network.ports
        ]
        rules.append([*bridge, "-j", "REJECT", "--reject-with", "icmp-port-unreachable"])
    return rules


def _ensure_rules(settings: Settings) -> bool:
    chain = _chain(settings)
    _iptables(["-N", chain], may_fail=True)
    current = [line for line in _iptables(["-S", chain]).splitlines() if line.startswith("-A")]
    wanted = _rules(settings)
    jump = ["INPUT", "-j", chain]
    if len(current) == len(wanted) and _present(*jump) and all(_present(chain, *rule) for rule in wanted):
        return False
    _iptables(["-F", chain])
    for rule in wanted:
        _iptables(["-A", chain, *rule])
    _iptables(["-D", *jump], may_fail=True)
    _iptables(["-I", *jump])
    return True


def _present(chain: str, *rule: str) -> bool:
    return (
        subprocess.run(["iptables", "-w", "-C", chain, *rule], capture_output=True, timeout=30).returncode
        == 0
    )


def _iptables(arguments: list[str], *, may_fail: bool = False) -> str:
    done = subprocess.run(["iptables", "-w", *arguments], capture_output=True, text=True, timeout=30)
    if done.returncode and not may_fail:
        raise SetupError("firewall-failed", f"iptables {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def remove_rules(settings: Settings) -> None:
    """Take the input rules away again (`down` and `clean`)."""
    chain = _chain(settings)
    for arguments in (["-D", "INPUT", "-j", chain], ["-F", chain], ["-X", chain]):
        _iptables(arguments, may_fail=True)
