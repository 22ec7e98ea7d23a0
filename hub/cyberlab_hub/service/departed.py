"""What an account that is gone left behind that may still send readings, and ending it.

Everything is done in the lab's tables and on the swarm, without the lab service: an operator's command ends it, and
nobody's request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from cyberlab.wire import JobKind
from sqlalchemy import func, select, update

from cyberlab_hub.errors import Conflict
from cyberlab_hub.ingest.tokens import FRESH
from cyberlab_hub.service.credentials import Credentials
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.history import History
from cyberlab_hub.service.job_rows import ENDED
from cyberlab_hub.service.models import DeploymentRow, IngestToken, JobRow, now
from cyberlab_hub.workshop.orders import Workshop

KINDS = ("deployment", "thing")
"""Kinds of tokens that are an owner's. Those of devices are the lab's."""
Noted = Callable[[str, str], AbstractContextManager[None]]
"""Brings what is done inside to the audit: an action and its object."""


class Sender(NamedTuple):
    """``deployment greenhouse``, ``thing uno``"""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def senders(database: Database, owner: str) -> tuple[Sender, ...]:
    """What of the owner may still send."""
    wanted = (
        select(IngestToken.kind, IngestToken.name)
        .where(IngestToken.owner == owner, IngestToken.revoked.is_(None), IngestToken.kind.in_(KINDS))
        .distinct()
        .order_by(IngestToken.kind, IngestToken.name)
    )
    with database.session() as session:
        return tuple(Sender(kind, name) for kind, name in session.execute(wanted))


class Departed:
    def __init__(
        self, database: Database, workshop: Workshop, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._database = database
        self._workshop = workshop
        self._wait = wait

    def end(self, owner: str, noted: Noted) -> None:
        """Stop the owner's deployments on every device and withdraw the tokens of the things. Readings stay.

        Raises:
            Conflict: ``deployment-busy``. PartDown: ``swarm-down``, ``database-down``; what was ended until then is.
        """
        self._none_starting(owner)
        credentials, history = Credentials(self._database), History(self._database)
        with self._database.session() as session:
            rows = session.scalars(select(DeploymentRow).where(DeploymentRow.owner == owner)).all()
        known = {row.name: row for row in rows}
        running = {state.name for state in self._workshop.deployments(owner)}
        for name in sorted(known.keys() | running):
            with noted("remove_deployment", f"{owner}/{name}"):
                self._workshop.remove_deployment(owner, name)
                if row := known.get(name):
                    history.note("stopped", row.id, owner, name)
                    credentials.revoke(row.id)
                    with self._database.session() as session:
                        session.delete(row)
        for sender in senders(self._database, owner):
            if sender.kind == "thing":
                with noted("remove_thing", f"{owner}/{sender.name}"):
                    self._withdraw(owner, sender.name)
        self._withdraw(owner)  # of a deployment that nobody knows any more
        self._wait(FRESH + 1)  # the gateway believes a token for so long, and would take what it sends

    def _none_starting(self, owner: str) -> None:
        wanted = select(func.count()).where(
            JobRow.owner == owner, JobRow.kind == JobKind.DEPLOY.value, JobRow.phase.not_in(ENDED)
        )
        with self._database.session() as session:
            if session.scalar(wanted.select_from(JobRow)):
                raise Conflict(
                    "deployment-busy",
                    f"A deployment of {owner} is just being started. Try again in a minute.",
                )

    def _withdraw(self, owner: str, thing: str | None = None) -> None:
        tokens = update(IngestToken).where(
            IngestToken.owner == owner, IngestToken.revoked.is_(None), IngestToken.kind.in_(KINDS)
        )
        if thing is not None:
            tokens = tokens.where(IngestToken.kind == "thing", IngestToken.name == thing)
        with self._database.session() as session:
            session.execute(tokens.values(revoked=now()))
