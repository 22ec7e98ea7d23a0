"""Who may sign in at the broker, and its two files: passwords and rights.

Only owners whose session is there are in the files: what is published for nobody is lost, so nobody may publish yet.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from cyberlab_hub.ingest.tokens import Sender
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken
from cyberlab_hub.service.mqtt_logins import ROOT, password_hash, refusals_of, topic_of, user_of

PASSWORDS, RIGHTS = "passwords", "rights"
GATEWAY = "gateway"
"""The gateway's own user; its sessions are named ``gateway.OWNER``. No token's user is: those begin with hex."""
LOG = "$SYS/broker/log/N"


@dataclass(frozen=True)
class Login:
    """One token on one device."""

    user: str
    device: str
    sender: Sender
    password: str = field(repr=False)
    """In the broker's form."""

    @property
    def owner(self) -> str:
        return self.sender.owner


def read_logins(database: Database) -> dict[str, Login]:
    """Every login that is not withdrawn, by user.

    Raises:
        PartDown: ``database-down``.
    """
    wanted = select(IngestToken).where(IngestToken.revoked.is_(None), IngestToken.mqtt.is_not(None))
    with database.session() as session:
        rows = session.scalars(wanted).all()
    found: dict[str, Login] = {}
    for row in rows:
        sender = Sender.of(row)
        for device in row.devices:
            user = user_of(row.hash, device)
            found[user] = Login(user, device, sender, row.mqtt or "")
    return found


def session_of(owner: str) -> str:
    """User, and so the name of the session, by which the gateway receives what is an owner's."""
    return f"{GATEWAY}.{owner}"


class Files:
    """Writes the files when what they say has changed. The broker's container notices."""

    def __init__(self, folder: Path, secret: str) -> None:
        self._folder = folder
        self._own = password_hash(secret)

    def write(self, logins: Iterable[Login], owners: Collection[str], ready: Collection[str]) -> bool:
        """Let the gateway in for `owners`, and those of `logins` whose owner is `ready`. Whether a file changed."""
        rights = [f"user {GATEWAY}", f"topic read {LOG}", ""]
        passwords = [f"{GATEWAY}:{self._own}"]
        for owner in sorted(owners):
            rights += [f"user {session_of(owner)}", f"topic read {topic_of(owner)}/#"]
            rights += [f"topic write {refusals_of(owner)}/#", ""]
            passwords.append(f"{session_of(owner)}:{self._own}")
        for login in sorted(logins, key=lambda one: one.user):
            if login.owner in ready:
                rights += [f"user {login.user}", f"topic write {topic_of(login.owner, login.user)}/#"]
                rights += [f"topic write {topic_of(login.owner, login.user)}"]
                rights += [f"topic read {refusals_of(login.owner, login.user)}", ""]
                passwords.append(f"{login.user}:{login.password}")
        # rights first: who can sign in has them
        changed = [self._put(RIGHTS, rights), self._put(PASSWORDS, passwords)]
        return any(changed)

    def ready(self) -> set[str]:
        """The owners whose logins are in the files: their sessions were there, and sessions outlive the gateway."""
        path = self._folder / RIGHTS
        lines = path.read_text().splitlines() if path.exists() else []
        return {line.split("/")[1] for line in lines if line.startswith(f"topic write {ROOT}/")}

    def _put(self, name: str, lines: list[str]) -> bool:
        path = self._folder / name
        text = "\n".join(lines) + "\n"
        if path.exists() and path.read_text() == text:
            return False
        scratch = path.with_suffix(".new")
        scratch.write_text(text)
        os.chmod(
            scratch, 0o644
        )  # the broker's own user reads it; it holds hashes of long random strings only
        scratch.replace(path)
        return True
