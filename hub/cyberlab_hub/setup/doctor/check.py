"""What a check is: one promise of docs/security.md, looked at on the running lab.

A check is a function of the `Patient` that returns a word about what it saw. It raises `Wrong` with every fault it
found, or `CannotTell` when it could not look. Any other exception means the same as `CannotTell`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cyberlab_hub.setup.doctor.patient import Patient

LAYERS = (
    "workshop engine",
    "swarm",
    "devices",
    "containers",
    "firewall",
    "way out",
    "files",
    "secrets",
    "certificates",
    "readings",
    "database",
    "ports",
    "web",
    "registry",
    "disks",
)
"""In the order in which they are shown."""
State = Literal["wrong", "cannot-tell", "ok"]
STATES: tuple[State, ...] = ("wrong", "cannot-tell", "ok")
UP = "make up"


class Wrong(Exception):
    """The promise is broken: one sentence for each fault."""

    def __init__(self, *details: str) -> None:
        super().__init__("; ".join(details))
        self.details = details


class CannotTell(Exception):
    """It could not be looked at; the text says why."""


@dataclass(frozen=True)
class Check:
    id: str
    layer: str
    promise: str
    """What must hold, in one line."""
    mend: str
    """What to do when it does not: a command first, where there is one."""
    look: Callable[[Patient], str]


@dataclass(frozen=True)
class Finding:
    id: str
    layer: str
    promise: str
    state: State
    details: tuple[str, ...]
    mend: str
    """Empty when all is well."""


TABLE: dict[str, Check] = {}
"""Every check there is, by its id."""

Look = Callable[["Patient"], str]


def check(name: str, layer: str, promise: str, mend: str) -> Callable[[Look], Look]:
    """Put the function that follows into the table."""

    def add(look: Look) -> Look:
        if name in TABLE or layer not in LAYERS:
            raise ValueError(f"the check {name!r} exists already, or {layer!r} is no layer")
        TABLE[name] = Check(name, layer, promise, mend, look)
        return look

    return add


def none_wrong(wrong: Iterable[str], seen: str) -> str:
    """`seen` when there is nothing wrong. Raises: Wrong."""
    found = tuple(dict.fromkeys(wrong))
    if found:
        raise Wrong(*found)
    return seen
