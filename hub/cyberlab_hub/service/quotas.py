"""Quotas: the table that administrators edit, and what it says for an owner.

A row for the user wins; else the largest of the rows of the user's groups; else the default (`quota_table`). Groups
are the hub's. Which a user is in, the hub says with each token (`Auth`); the last answer is kept in the table
`membership`, because the ingest gateway and running jobs know an owner's name only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

from cyberlab.wire import QuotaSetting
from sqlalchemy import and_, or_, select

from cyberlab_hub.errors import NotFound, PartDown
from cyberlab_hub.service import policy
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import MembershipRow, QuotaRow, now
from cyberlab_hub.service.policy import Allowance
from cyberlab_hub.service.quota_table import QUOTAS

Kind = Literal["user", "group"]
STRIPES = 64
REMEMBERED = 2_000

log = logging.getLogger(__name__)


class Quotas:
    """Safe to use from every thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._doors = [threading.Lock() for _ in range(STRIPES)]
        self._told: dict[str, frozenset[str]] = {}

    # ------------------------------------------------------------ what an owner has
    def of(self, owner: str, quota: str) -> Allowance:
        """Raises:
        PartDown: ``database-down``.
        """
        return self.all_of(owner)[quota]

    def all_of(self, owner: str) -> dict[str, Allowance]:
        """Every quota of an owner, in the order of `quota_table.QUOTAS`."""
        with self._database.session() as session:
            member = session.get(MembershipRow, owner)
            groups = member.member_of if member else []
            rows = session.scalars(
                select(QuotaRow).where(
                    or_(
                        and_(QuotaRow.kind == "user", QuotaRow.subject == owner),
                        and_(QuotaRow.kind == "group", QuotaRow.subject.in_(groups)),
                    )
                )
            ).all()
        own = {row.quota: row.value for row in rows if row.kind == "user"}
        shared: dict[str, dict[str, int]] = {}
        for row in rows:
            if row.kind == "group":
                shared.setdefault(row.quota, {})[row.subject] = row.value
        return {name: policy.allowance(name, own.get(name), shared.get(name, {})) for name in QUOTAS}

    @contextmanager
    def admission(self, owner: str) -> Iterator[None]:
        """Hold it over counting and adding: of an owner's requests one is admitted at a time."""
        with self._doors[hash(owner) % STRIPES]:
            yield

    # ------------------------------------------------------------ who is in which group
    def seen(self, owner: str, groups: frozenset[str]) -> None:
        """Remember the hub's answer. A database that is away is logged: the last known groups go on to count."""
        if self._told.get(owner) == groups:
            return
        try:
            with self._database.session() as session:
                row = session.get(MembershipRow, owner)
                if row is None:
                    session.add(MembershipRow(owner=owner, member_of=sorted(groups), seen=now()))
                elif set(row.member_of) != groups:
                    row.member_of, row.seen = sorted(groups), now()
        except PartDown as error:
            log.warning("the groups of %s are not remembered: %s", owner, error)
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told[owner] = groups

    # ------------------------------------------------------------ the table
    def settings(self) -> list[QuotaSetting]:
        """Every row, by kind and name."""
        with self._database.session() as session:
            rows = session.scalars(
                select(QuotaRow).order_by(QuotaRow.kind.desc(), QuotaRow.subject, QuotaRow.quota)
            ).all()
        return [_view(row) for row in rows]

    def set(self, kind: Kind, subject: str, quota: str, value: int) -> QuotaSetting:
        """Give a user or a group another value than the default.

        Raises:
            NotFound: ``quota-unknown``.
        """
        policy.known_quota(quota)
        with self._database.session() as session:
            row = session.get(QuotaRow, (kind, subject, quota))
            if row is None:
                row = QuotaRow(kind=kind, subject=subject, quota=quota)
                session.add(row)
            row.value, row.updated = value, now()
        return _view(row)

    def unset(self, kind: Kind, subject: str, quota: str) -> None:
        """Take it back.

        Raises:
            NotFound: ``quota-unknown``, ``quota-unset``.
        """
        policy.known_quota(quota)
        with self._database.session() as session:
            row = session.get(QuotaRow, (kind, subject, quota))
            if row is None:
                raise NotFound(
                    "quota-unset", f"The {kind} {subject} has no value of its own for the quota {quota}."
                )
            session.delete(row)


def _view(row: QuotaRow) -> QuotaSetting:
    return QuotaSetting(
        kind=cast(Kind, row.kind),
        subject=row.subject,
        quota=row.quota,
        value=row.value,
        updated=row.updated,
    )
