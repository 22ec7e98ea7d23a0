"""A host on the campus: a network namespace with a cable to this machine, which is also its way to everywhere else."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

HERE, THERE = "198.51.100.1", "198.51.100.2"
"""This machine's end of the cable, and the host's. (The range is for documentation: nobody has it.)"""
REACH = """
import json, socket, sys
found = {}
for name, place in json.loads(sys.argv[1]).items():
    try:
        found[name] = socket.create_connection(tuple(place), 2)
    except OSError:
        pass
print(json.dumps(list(found)))
"""


@dataclass(frozen=True)
class CampusHost:
    namespace: str

    def run(self, *argv: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ip", "netns", "exec", self.namespace, *argv], capture_output=True, text=True, timeout=seconds
        )

    def reached(self, places: dict[str, tuple[str, int]]) -> set[str]:
        """Those of the places where a connection is accepted; all are open at once."""
        done = self.run(sys.executable, "-c", REACH, json.dumps(places), seconds=120)
        found: list[str] = json.loads(done.stdout)
        return set(found)


@contextmanager
def campus_host() -> Iterator[CampusHost]:
    word = secrets.token_hex(3)
    name, cable = f"campus-{word}", f"cl-{word}"
    _run(["ip", "netns", "add", name])
    try:
        _run(["ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name])
        _run(["ip", "address", "add", f"{HERE}/24", "dev", cable])
        _run(["ip", "link", "set", cable, "up"])
        for argv in (
            ["link", "set", "lo", "up"],
            ["address", "add", f"{THERE}/24", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["route", "add", "default", "via", HERE],  # whatever it asks for comes to this machine
        ):
            _run(["ip", "-n", name, *argv])
        yield CampusHost(name)
    finally:
        _run(["ip", "netns", "delete", name])  # the cable goes with it


def _run(argv: Iterable[str]) -> None:
    subprocess.run(list(argv), check=True, capture_output=True, timeout=30)
