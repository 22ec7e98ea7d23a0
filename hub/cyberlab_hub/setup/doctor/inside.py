"""What must hold inside every engine in a container, the workshop's and the Pis': its flags and its packet filter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

FLAGS = ("--userns-remap=default", "--no-new-privileges", "--icc=false", "--default-runtime=caged")
OUT = "LAB-OUT"


def flag_problems(argv: Sequence[str], *, warden: bool) -> list[str]:
    """What is missing in dockerd's arguments, or is there and must not be. `warden`: it may listen, with TLS."""
    # `--flag value` says the same as `--flag=value`
    given = {*argv, *(f"{flag}={value}" for flag, value in pairwise(argv))}
    wrong = [f"dockerd runs without {flag}" for flag in FLAGS if flag not in given]
    doors = _doors(argv)
    if warden:
        needed = ("--authorization-plugin=warden", "--tlsverify")
        wrong += [f"dockerd runs without {flag}" for flag in needed if flag not in argv]
        doors = [door for door in doors if not door.endswith(":2376")]
    wrong += [f"dockerd listens on {door}" for door in doors if not door.startswith("unix://")]
    # each of these takes back what the flags above gave
    undone = (
        "--userns-remap=",
        "--no-new-privileges=false",
        "--icc=true",
        "--default-runtime=",
        "--insecure-registry",
        "--seccomp-profile",
    )
    wrong += [f"dockerd runs with {a}" for a in argv if a.startswith(undone) and a not in FLAGS]
    return wrong


def _doors(argv: Sequence[str]) -> list[str]:
    found = [argv[at + 1] for at, word in enumerate(argv[:-1]) if word in ("-H", "--host")]
    return found + [word.partition("=")[2] for word in argv if word.startswith(("-H=", "--host="))]


def filter_problems(listing: str, allowed: str) -> list[str]:
    """What is wrong with the rules inside.

    Args:
        listing: what ``iptables -S`` printed there.
        allowed: ``LAB_ALLOW`` of the container: address:port, space separated.
    """
    chains: dict[str, list[str]] = {}
    for line in listing.splitlines():
        if match := re.match(r"-A (\S+) (.*)", line):
            chains.setdefault(match[1], []).append(match[2])
    wrong: list[str] = []
    for chain, first in (("FORWARD", "-j DOCKER-USER"), ("DOCKER-USER", f"-j {OUT}")):
        if chains.get(chain, [""])[0] != first:
            wrong.append(f"the first rule of {chain} is not `{first}`, so {OUT} is not asked")
    rules = chains.get(OUT, [])
    wanted = _expected(allowed)
    wrong += [f"{OUT} lacks `{rule}`" for rule in wanted if rule not in rules]
    wrong += [f"{OUT} has `{rule}`, which nobody asked for" for rule in rules if rule not in wanted]
    if not wrong and rules != wanted:
        wrong.append(f"the rules of {OUT} are in another order")
    own = chains.get("INPUT", [])
    if not own or not own[-1].startswith("-j REJECT"):
        wrong.append("containers inside reach the engine's own ports: INPUT does not end in REJECT")
    return wrong


def _expected(allowed: str) -> list[str]:
    """As ``iptables -S`` prints what ``spawner_images/engine/engine.sh`` sets."""
    places = [place.rpartition(":") for place in allowed.split()]
    ways = [f"-d {_range(host)} -o eth0 -p tcp -m tcp --dport {port} -j RETURN" for host, _, port in places]
    return [
        "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        *(way.replace("-d 0.0.0.0/0 ", "") for way in ways),
        "-i eth0 -j RETURN",
        "-o eth0 -j REJECT --reject-with icmp-port-unreachable",
    ]


def _range(host: str) -> str:
    return host if "/" in host else f"{host}/32"
