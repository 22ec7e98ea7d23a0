"""Who may send readings: ingest tokens, looked up in the lab's database and remembered for a few seconds.

The gateway goes on while the lab service is away: it needs only this table, and what it has seen stays valid for a
while when the table cannot be read either.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cyberlab_hub.errors import NotAllowed, NotSignedIn, PartDown
from cyberlab_hub.service.credentials import hashed
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now

FRESH = 5.0
"""Seconds until a token is looked up again: how long a revoked one lives on."""
STALE = 300.0
"""Seconds a known token is believed while the lab's database cannot be read."""
LATE = timedelta(days=30)
"""How long after the end of a deployment a device may still bring what it measured before."""
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
    ended: datetime | None = None
    """The token was withdrawn then: only what was measured before may still come, by the device's own uplink."""

    @classmethod
    def of(cls, row: IngestToken) -> Sender:
        """Who holds the token of that row."""
        deployment = row.name if row.kind == "deployment" else ""
        return cls(row.owner, row.kind == "device", deployment, frozenset(row.devices), row.revoked)

    def tags(self, device: str) -> dict[str, str]:
        """What the gateway stamps on each point.

        Raises:
            NotAllowed: ``device-not-yours``, when the token was not made for this device.
        """
        if device not in self.devices:
            raise NotAllowed("device-not-yours", f"This token is not for the device {device[:64]!r}.")
        # an agent is the lab's own program; of a thing no point may say that it comes from a deployment
        return {"device": device} if self.agent else {"device": device, "deployment": self.deployment}


def _refused() -> NotSignedIn:
    return NotSignedIn(
        "token-refused",
        "The lab does not know this token, or it was withdrawn. Deploy again, or make a new one.",
    )


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
        sender = self._found(hashed(token))
        if sender is None or sender.ended is not None or sender.agent:
            raise _refused()
        return sender

    def fresh(self, token: str) -> Sender | None:
        """Who holds this token, if `sender` need not look it up: never blocks."""
        with self._lock:
            seen, sender = self._known.get(hashed(token), (-STALE, None))
        if sender is None or sender.ended is not None or sender.agent or self._clock() - seen >= FRESH:
            return None
        return sender

    def sender_on_device(self, token: str) -> Sender:
        """The same for what a device kept while it was away: a withdrawn token is known for `LATE` more.

        Raises: as `sender`.
        """
        sender = self._found(hashed(token))
        if sender is None or sender.agent or (sender.ended is not None and now() - sender.ended > LATE):
            raise _refused()
        return sender

    def device(self, fingerprint: str) -> Sender:
        """The enrolled device whose certificate has this SHA-256 (hex); of its agent, so without a deployment.

        Raises:
            NotSignedIn: ``certificate-refused``: no device of this lab has it, or it was withdrawn.
            PartDown: as `sender`.
        """
        sender = self._found(fingerprint)
        if sender is None or not sender.agent or sender.ended is not None:
            raise NotSignedIn("certificate-refused", "The lab does not know this device. Enrol it again.")
        return sender

    def _found(self, digest: str) -> Sender | None:
        at = self._clock()
        with self._lock:
            seen, sender = self._known.get(digest, (-STALE, None))
        if at - seen >= FRESH:
            try:
                sender = self._look_up(digest)
                self._remember(digest, at, sender)
            except PartDown:
                if sender is None or at - seen >= STALE:
                    raise
        return sender

    def _look_up(self, digest: str) -> Sender | None:
        with self._database.session() as session:
            row = session.get(IngestToken, digest)
            if row is None:
                return None
            return Sender.of(row)

    def _remember(self, digest: str, at: float, sender: Sender | None) -> None:
        with self._lock:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[digest] = (at, sender)
