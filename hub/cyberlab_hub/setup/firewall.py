"""What each network of the lab may reach: of this host, of the other networks, of the world. Deny by default.

    INPUT        chain CYBERLAB-IN-…   the host's ports that a network may use; the host's own addresses on them
    DOCKER-USER  chain CYBERLAB-FW-…   what is routed from one network to another, out, or in from elsewhere
                                       (Docker leaves us that hook)
    IPv6         the lab has none: both hooks refuse everything that comes from its bridges

Containers inside the workshop engine and the Pis have a filter of their own, in ``spawner_images/engine/engine.sh``:
to this host they are one address.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cyberlab_hub import campus, egress
from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.networks import GATE, NETWORKS, Network, bridge_name
from cyberlab_hub.setup.steps import Reused

Rule = list[str]
REFUSE: Rule = ["-j", "REJECT", "--reject-with", "icmp-port-unreachable"]
RESET: Rule = ["-j", "REJECT", "--reject-with", "tcp-reset"]
ANSWERS: Rule = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED"]


@dataclass(frozen=True)
class Chain:
    """A chain of ours, and the chain of the system that jumps to it."""

    name: str
    hook: str
    rules: list[Rule]
    command: str = "iptables"


def ensure(settings: Settings) -> str:
    """Set the rules that differ.

    Raises: Reused when none does. SetupError: ``firewall-failed``, ``br-netfilter-missing``.
    """
    _bridges_are_filtered()
    changed = [chain.hook for chain in chains(settings) if _ensure(chain)]
    if not changed:
        raise Reused("firewall rules in place")
    return "firewall rules set"


def missing(settings: Settings) -> list[str]:
    """The rules that are not as they should be, in words: for `cyberlab-hub doctor`."""
    return [
        f"{chain.command}: chain {chain.name} in {chain.hook}"
        for chain in chains(settings)
        if not _in_place(chain)
    ]


def remove(settings: Settings) -> None:
    """Take the rules away (`down`, `clean`). Those that are gone already are no error."""
    for chain in chains(settings):
        for arguments in (["-D", chain.hook, "-j", chain.name], ["-F", chain.name], ["-X", chain.name]):
            _run([chain.command, "-w", *arguments])


# ---------------------------------------------------------------- the rules
def chains(settings: Settings) -> list[Chain]:
    """Every chain with its rules. Pure but for the question whether this machine has ip6tables."""
    mark = hashlib.sha256(settings.name.encode()).hexdigest()[:6].upper()
    found = [
        Chain(
            f"CYBERLAB-IN-{mark}",
            "INPUT",
            [*(r for n in NETWORKS for r in _input(settings, n)), *_input_from_elsewhere(settings)],
        ),
        Chain(
            f"CYBERLAB-FW-{mark}", "DOCKER-USER", [*_forward(settings), *_forward_from_elsewhere(settings)]
        ),
    ]
    if shutil.which("ip6tables") and Path("/proc/net/if_inet6").exists():
        nothing = [["-i", bridge_name(settings, n.which), "-j", "DROP"] for n in NETWORKS]
        found += [
            Chain(f"CYBERLAB-{hook[:2]}6-{mark}", hook, nothing, "ip6tables") for hook in ("INPUT", "FORWARD")
        ]
    return found


def _input(settings: Settings, network: Network) -> list[Rule]:
    bridge = ["-i", bridge_name(settings, network.which)]
    host = ["-d", settings.gateway(network.which)]
    ports = [[*bridge, *host, *_to(port), "-j", "ACCEPT"] for port in network.ports]
    return [[*bridge, *ANSWERS, "-j", "ACCEPT"], *ports, [*bridge, *REFUSE]]


def _forward(settings: Settings) -> list[Rule]:
    """Between the gate and the others by hand, because Docker drops what goes from one bridge to another."""
    gate = bridge_name(settings, GATE)
    proxy = ["-o", gate, "-d", settings.proxy_address]
    rules: list[Rule] = []
    for network in NETWORKS:
        bridge = bridge_name(settings, network.which)
        if network.which == GATE:
            # what the proxy itself may reach is its configuration's business; the lab's networks are not
            rules += [["-i", gate, "-d", settings.subnet, *REFUSE], ["-i", gate, "-j", "RETURN"]]
            continue
        rules += [["-i", gate, "-o", bridge, *ANSWERS, "-j", "ACCEPT"]] if network.door else []
        rules.append(["-i", bridge, "-o", bridge, "-j", "RETURN"])
        rules += [["-i", bridge, *proxy, *_to(network.door), "-j", "ACCEPT"]] if network.door else []
        rules += [
            ["-i", bridge, "-d", str(d.network), *_to(d.port), "-j", "RETURN"]
            for d in direct(settings, network)
        ]
        # Docker accepts answers to what came in; what goes out anew is refused
        rules += [["-i", bridge, *ANSWERS, "-j", "RETURN"], ["-i", bridge, *REFUSE]]
    return rules


def _input_from_elsewhere(settings: Settings) -> list[Rule]:
    """To this host from outside the lab. It would answer at its lab addresses whichever way a packet came in."""
    rules: list[Rule] = []
    for address in settings.on_campus.addresses:
        rules += _bounded(["-d", address, *_to(campus.GATEWAY_PORT)])
    return [*rules, ["!", "-i", "lo", "-d", settings.subnet, *REFUSE]]


def _forward_from_elsewhere(settings: Settings) -> list[Rule]:
    """Into the lab's networks from outside: answers, and what Docker hands on to the broker's published port."""
    rules: list[Rule] = []
    for address in settings.on_campus.addresses:
        broker = ["-o", bridge_name(settings, "devices"), "-d", settings.mqtt_address]
        came = [*broker, *_to(campus.BROKER_PORT), "-m", "conntrack", "--ctorigdst", address]
        rules += [*_bounded(came), [*came, "-j", "RETURN"]]
    for network in NETWORKS:
        bridge = ["-o", bridge_name(settings, network.which)]
        rules += [[*bridge, *ANSWERS, "-j", "RETURN"], [*bridge, *REFUSE]]
    return rules


def _to(port: int) -> Rule:
    return ["-p", "tcp", "-m", "tcp", "--dport", str(port)]


def _bounded(came: Rule) -> list[Rule]:
    """So many connections at once, for each client and in all."""
    bounds = ((campus.CONNECTIONS_EACH, "32"), (campus.CONNECTIONS, "0"))
    return [
        [*came, "--syn", "-m", "connlimit", "--connlimit-above", str(most), "--connlimit-mask", mask, *RESET]
        for most, mask in bounds
    ]


def direct(settings: Settings, network: Network) -> tuple[egress.Direct, ...]:
    """The addresses that the operator lets code on that network reach without the proxy, never the lab's own."""
    text = {"devices": settings.egress, "users": settings.egress_of_notebooks}.get(network.which, "")
    own = settings.whole_network
    listed = egress.parse(text).direct
    for entry in listed:
        if entry.network.overlaps(own):
            message = f"{entry.network} overlaps the lab's own networks {own}: take it from the list"
            raise SetupError("egress-own", message)
    return listed


# ---------------------------------------------------------------- iptables
def _bridges_are_filtered() -> None:
    """Without this, frames between two ports of one bridge never pass the filter and icc=false filters nothing."""
    switch = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not switch.exists():
        raise SetupError(
            "br-netfilter-missing",
            "the kernel module br_netfilter is not loaded; run `modprobe br_netfilter`",
        )
    if switch.read_text().strip() != "1":
        switch.write_text("1")


def _ensure(chain: Chain) -> bool:
    if _in_place(chain):
        return False
    lines = [f"-A {chain.name} {' '.join(rule)}" for rule in chain.rules]
    # one transaction: there is no moment without rules
    text = "\n".join(["*filter", f":{chain.name} - [0:0]", *lines, "COMMIT", ""])
    done = _run([f"{chain.command}-restore", "-w", "--noflush"], text)
    if done.returncode:
        raise SetupError("firewall-failed", f"{chain.command}-restore: {done.stderr.strip()}")
    _run([chain.command, "-w", "-D", chain.hook, "-j", chain.name])
    done = _run([chain.command, "-w", "-I", chain.hook, "-j", chain.name])
    if done.returncode:
        raise SetupError("firewall-failed", f"{chain.command}: no chain {chain.hook}: {done.stderr.strip()}")
    return True


def _in_place(chain: Chain) -> bool:
    """Ours is what it should be, and nothing but labs' chains (there may be two labs) is asked before it."""
    listed = _run([chain.command, "-w", "-S", chain.name])
    hook = _run([chain.command, "-w", "-S", chain.hook])
    if listed.returncode or hook.returncode:
        return False
    current = [line for line in listed.stdout.splitlines() if line.startswith("-A")]
    asked = [line for line in hook.stdout.splitlines() if line.startswith("-A")]
    return (
        len(current) == len(chain.rules)
        and next((line for line in asked if "-j CYBERLAB-" not in line or line.endswith(chain.name)), "")
        == f"-A {chain.hook} -j {chain.name}"
        and all(_run([chain.command, "-w", "-C", chain.name, *rule]).returncode == 0 for rule in chain.rules)
    )


def _run(argv: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30)
