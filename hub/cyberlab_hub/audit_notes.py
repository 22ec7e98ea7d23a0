"""Rows of the audit from outside the lab service: the operator's commands, and the hub's sign-in pages.

The hub writes through `AuditPost`, so that a database that is away delays nobody's sign-in; a command writes directly
and says when it could not.
"""

from __future__ import annotations

import atexit
import os
from typing import Any

from cyberlab.wire import AuditEntry

from cyberlab_hub.addresses import caller_of
from cyberlab_hub.errors import PartDown
from cyberlab_hub.service.audit import Audit
from cyberlab_hub.service.audit_post import AuditPost
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import now
from cyberlab_hub.settings import Settings

OPERATOR = "operator"


class HubNotes:
    """What happens on the hub's pages: one object for the process, made where the hub is wired."""

    def __init__(self, settings: Settings) -> None:
        atexit.register(self.close)
        self._post = AuditPost(lambda: Audit(Database.open(settings.db_url, upgrade=False)))

    def put(self, request: Any, actor: str, action: str, about: str, reason: str = "") -> None:
        """One row; never waits. With a `reason` it was refused.

        `request` is tornado's. `actor` is who is signed in: for somebody who is not, leave it empty and name the
        account that was claimed in `about`. Never pass a password or a token.
        """
        self._post.put(
            AuditEntry(
                at=now(),
                actor=actor,
                action=action,
                object=about,
                allowed=not reason,
                reason=reason,
                address=caller_of(request),
            )
        )

    def close(self) -> None:
        self._post.close()


def note_command(settings: Settings, action: str, about: str, reason: str = "") -> str:
    """A row for a command that changed something. Returns what to tell when it could not be written, else ""."""
    entry = AuditEntry(
        at=now(),
        actor=OPERATOR,
        action=action,
        object=about,
        allowed=not reason,
        reason=reason,
        address=f"{os.environ['SUDO_USER']} with sudo" if os.environ.get("SUDO_USER") else "root",
    )
    try:
        database = Database.open(settings.db_url, upgrade=False)
    except PartDown as error:
        return f"This is not in the audit: {error.message}"
    try:
        Audit(database).add(entry)
    except PartDown as error:
        return f"This is not in the audit: {error.message}"
    finally:
        database.close()
    return ""
