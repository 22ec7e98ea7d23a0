"""Who may send readings: ingest tokens, looked up in the lab's database and remembered for a few seconds.

The gateway goes on while the lab service is away: it needs only this table, and what it has seen stays valid for a
while when the table cannot be read either.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from cyberlab_hub.errors import NotAllowed, NotSignedIn, PartDown
from cyberlab_hub.service.credentials import hashed
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken

FRESH = 5.0
"""Seconds until a token is looked up again: how long a revoked one lives on."""
STALE = 300.0
"""Seconds a known token is believed while the lab's database cannot be read."""
KNOWN = 4096
"""Tokens remembered, good and bad ones."""


@dataclass(frozen=True)
class Sender:
    """Whose points these are."""

    owner: str
    """A user; ``fleet`` for the agent of a device."""
    agent: bool
    deployment: str
    """Name of the deployment, for the tag; empty for an agent and for a thing."""
    devices: frozenset[str]

    def tags(self, device: str) -> dict[str, str]:
        """What the gateway stamps on each point.

        Raises:
            NotAllowed: ``device-not-yours``, when the token was not made for this device.
        """
        if device not in self.devices:
            raise NotAllowed("device-not-yours", f"This token is not for the device {device[:64]!r}.")
        # an agent is the lab's own program; of a thing no point may say that it comes from a deployment
        return {"device": device} if self.agent else {"device": device, "deployment": self.deployment}


class Tokens:
    """Looks up senders by token. Safe to use from every thread; the lookup blocks."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, tuple[float, Sender | None]] = {}
        self._lock = threading.Lock()

    def sender(self, token: str) -> Sender:
        """Who holds this token.

        Raises:
            NotSignedIn: ``token-refused``: unknown or revoked.
            PartDown: ``database-down``: the lab's database cannot be read and the token was not seen lately.
        """
        digest = hashed(token)
        now = self._clock()
        with self._lock:
            seen, sender = self._known.get(digest, (-STALE, None))
        if now - seen >= FRESH:
            try:
                sender = self._look_up(digest)
                self._remember(digest, now, sender)
            except PartDown:
                if sender is None or now - seen >= STALE:
                    raise
        if sender is None:
            raise NotSignedIn(
                "token-refused",
                "The lab does not know this token, or it was withdrawn. Deploy again, or make a new one.",
            )
        return sender

    def _look_up(self, digest: str) -> Sender | None:
        with self._database.session() as session:
            row = session.get(IngestToken, digest)
            if row is None or row.revoked is not None:
                return None
            agent = row.kind == "device"
            name = row.name if row.kind == "deployment" else ""
            return Sender(row.owner, agent, name, frozenset(row.devices))

    def _remember(self, digest: str, now: float, sender: Sender | None) -> None:
        with self._lock:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[digest] = (now, sender)
