"""What the gateway refuses, as entries of the lab's audit. Passed on, never waited for: see `service.audit_post`.

Of a request only who sent it and from where is kept: no token, no point.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from cyberlab.wire import AuditEntry, Written

from cyberlab_hub.errors import HubError, NotAllowed, NotSignedIn, OverQuota
from cyberlab_hub.ingest.lines import IDENTITY_CLAIMED
from cyberlab_hub.ingest.tokens import Sender
from cyberlab_hub.service.models import now

Note = Callable[[AuditEntry], object]
WRITE = "ingest_write"
BUSY = "gateway-busy"

log = logging.getLogger(__name__)


def logged(entry: AuditEntry) -> None:
    """For a gateway without a lab beside it."""
    log.warning("refused: %s", entry)


class Refusals:
    def __init__(self, note: Note) -> None:
        self._note = note

    def refused(self, error: HubError, sender: Sender | None, device: str, address: str) -> None:
        """A whole request. That a part is down or the gateway busy is no refusal."""
        if isinstance(error, NotSignedIn | NotAllowed | OverQuota) and error.code != BUSY:
            self._put(sender, device, address, error.code)

    def claimed(self, written: Written, sender: Sender, device: str, address: str) -> None:
        """Lines that name another device or deployment than the token's."""
        claims = sum(line.code == IDENTITY_CLAIMED for line in written.refused)
        if claims:
            self._put(sender, device, address, IDENTITY_CLAIMED, claims)

    def _put(self, sender: Sender | None, device: str, address: str, reason: str, times: int = 1) -> None:
        # what a stranger says of himself is not worth a row of its own
        what = f"{who(sender)} on {device[:64]}" if sender else ""
        entry = AuditEntry(
            at=now(),
            actor=sender.owner if sender else "",
            action=WRITE,
            object=what,
            allowed=False,
            reason=reason,
            address=address,
            times=times,
        )
        self._note(entry)


def who(sender: Sender) -> str:
    """What of its owner's it is."""
    return "agent" if sender.agent else sender.deployment or "thing"
