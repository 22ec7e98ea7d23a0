"""What an owner uses of each quota now: for people to look at. What decides is counted where something is added."""

from __future__ import annotations

from collections.abc import Callable

from cyberlab.wire import JobKind, QuotaUse

from cyberlab_hub.errors import PartDown
from cyberlab_hub.service import policy
from cyberlab_hub.service.parts import Parts


def usage(parts: Parts, owner: str) -> list[QuotaUse]:
    """Every quota of the owner, with what is in use where that is known here."""
    occupied = parts.deployments.occupied(owner)
    counted: dict[str, Callable[[], float | None]] = {
        "builds": lambda: len(parts.jobs.live(owner, JobKind.BUILD)),
        "images": lambda: parts.images.count(owner),
        "gigabytes": lambda: round(parts.workshop.stored_bytes(owner) / 1e9, 3),
        "trials": lambda: len(parts.jobs.live(owner, JobKind.TRIAL)),
        "deploys": lambda: len(parts.jobs.live(owner, JobKind.DEPLOY)),
        "deployments": lambda: len(occupied),
        "devices": lambda: len(frozenset().union(*occupied.values())),
        "things": lambda: parts.things.count(owner),
        "readings": lambda: _gigabytes(parts.space.used(owner)),
        "means": lambda: parts.keeping.rules(owner),
        "specs": lambda: parts.specs.count(owner),
        "streams": lambda: parts.streams.count(owner),
    }
    return [allowed.view(_known(counted.get(name))) for name, allowed in parts.quotas.all_of(owner).items()]


def room(parts: Parts, owner: str) -> None:
    """For a push by hand. What was deleted counts until it is cleaned away: else the disk could be filled with it.

    Raises:
        OverQuota: ``quota-gigabytes``. PartDown: ``registry-down``, ``database-down``.
    """
    policy.room(parts.quotas.of(owner, "gigabytes"), parts.workshop.stored_bytes(owner, hidden=True))


def _gigabytes(size: int | None) -> float | None:
    return None if size is None else round(size / 1e9, 3)


def _known(count: Callable[[], float | None] | None) -> float | None:
    """None when a part that must be asked is away: the other numbers are still worth showing."""
    try:
        return None if count is None else count()
    except PartDown:
        return None
