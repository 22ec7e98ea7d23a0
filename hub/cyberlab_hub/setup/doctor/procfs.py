"""Programs and their listening sockets, read from /proc."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

LISTEN = "0A"
PROC = Path("/proc")


@dataclass(frozen=True)
class Program:
    pid: int
    parent: int
    name: str
    argv: tuple[str, ...]
    space: str
    """Its pid namespace: the same for all programs of one container."""


@dataclass(frozen=True)
class Socket:
    """A TCP socket that waits for callers."""

    address: str
    port: int
    inode: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


def programs() -> list[Program]:
    """Every program of this machine and of the containers on it. Those that end meanwhile are left out."""
    found = [program(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [p for p in found if p is not None]


def program(pid: int) -> Program | None:
    try:
        stat = (PROC / str(pid) / "stat").read_text()
        argv = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        space = pid_space(pid)
    except (OSError, ProcessLookupError):
        return None
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    return Program(pid, int(stat.rpartition(")")[2].split()[1]), name, tuple(a for a in argv if a), space)


def pid_space(pid: int | str) -> str:
    return os.readlink(PROC / str(pid) / "ns" / "pid")


def family(everyone: Iterable[Program], pid: int) -> list[Program]:
    """The program `pid` and what it has started, directly or not."""
    everyone = list(everyone)
    members = {pid}
    while True:
        more = {p.pid for p in everyone if p.parent in members} - members
        if not more:
            return [p for p in everyone if p.pid in members]
        members |= more


# ---------------------------------------------------------------- sockets
def listening(pid: int) -> list[Socket]:
    """Every TCP socket that listens in the network of that program, its own and others'."""
    found: list[Socket] = []
    for table in ("tcp", "tcp6"):
        path = PROC / str(pid) / "net" / table
        if path.exists():
            found += parse(path.read_text())
    return found


def parse(table: str) -> list[Socket]:
    """The listening sockets of /proc/net/tcp or tcp6."""
    found: list[Socket] = []
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == LISTEN:
            where, _, port = words[1].partition(":")
            found.append(Socket(_address(where), int(port, 16), int(words[9])))
    return found


def _address(text: str) -> str:
    """The kernel writes words of 32 bits in the machine's own order."""
    raw = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    if len(raw) == 4:
        return str(IPv4Address(raw))
    address = IPv6Address(raw)
    return str(address.ipv4_mapped or address)


def inodes(pid: int) -> set[int]:
    """The sockets that a program has open."""
    found: set[int] = set()
    try:
        entries = list((PROC / str(pid) / "fd").iterdir())
    except OSError:
        return found
    for entry in entries:
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found


def sockets_of(members: Sequence[Program]) -> list[Socket]:
    """What these programs listen on."""
    if not members:
        return []
    open_inodes = set().union(*(inodes(p.pid) for p in members))
    return [s for s in listening(members[0].pid) if s.inode in open_inodes]
