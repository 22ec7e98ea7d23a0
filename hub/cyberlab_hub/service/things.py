"""Things: what an owner connects that is no device of the lab, such as an Arduino. Each has a token of its own.

The token is shown once and kept as a hash, like a deployment's. Its points are the owner's, stamped with the thing's
name as their device.
"""

from __future__ import annotations

import secrets

from cyberlab.spec import names
from cyberlab.wire import NewThing, Problem, Thing
from sqlalchemy import Select, func, select, update

from cyberlab_hub.errors import Conflict, NotFound, SpecRefused
from cyberlab_hub.ingest.store import Store
from cyberlab_hub.service import policy
from cyberlab_hub.service.credentials import hashed
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now
from cyberlab_hub.service.mqtt_logins import password_hash, topic_of, user_of
from cyberlab_hub.service.quotas import Quotas
from cyberlab_hub.settings import Settings

KIND = "thing"
ORG = "cyberlab"


class Things:
    def __init__(self, settings: Settings, database: Database, store: Store, quotas: Quotas) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._quotas = quotas

    def of(self, owner: str) -> list[Thing]:
        """By name."""
        with self._database.session() as session:
            rows = session.scalars(_live(owner).order_by(IngestToken.name)).all()
        return [_view(row) for row in rows]

    def count(self, owner: str) -> int:
        with self._database.session() as session:
            return session.scalar(select(func.count()).select_from(_live(owner).subquery())) or 0

    def add(self, owner: str, name: str) -> NewThing:
        """A token for a thing of that name.

        Raises:
            SpecRefused: ``spec-refused``, with the problem of the name. Conflict: ``thing-exists``.
            OverQuota: ``quota-things``. PartDown: ``database-down``.
        """
        if not names.is_name(name):
            raise _refused(
                "name-invalid",
                f"{names.shown(name)} cannot name a thing: begin with a letter, then lower-case letters, digits and "
                f"single hyphens, at most {names.NAME_MAX} characters.",
            )
        self._store.ensure_owner(owner)
        token = secrets.token_urlsafe(32)
        with self._quotas.admission(owner):
            there = self.of(owner)
            if any(thing.name == name for thing in there):
                raise Conflict(
                    "thing-exists", f"You have a thing named {name} already. Remove it first for a new token."
                )
            policy.within(self._quotas.of(owner, "things"), len(there))
            row = IngestToken(
                hash=hashed(token),
                kind=KIND,
                owner=owner,
                name=name,
                devices=[name],
                created=now(),
                mqtt=password_hash(token),
            )
            with self._database.session() as session:
                if session.scalar(_device_named(name)):
                    raise _refused(
                        "name-of-device", f"{name} is a device of the lab. Give your thing another name."
                    )
                session.add(row)
        return NewThing(
            **dict(_view(row)),
            token=token,
            gateway=self._settings.on_campus.gateway_url or self._settings.ingest_url,
            mqtt=self._settings.on_campus.broker_url or self._settings.mqtt_url,
            ca=(self._settings.certs / "ca.crt").read_text(),
            bucket=owner,
            org=ORG,
        )

    def remove(self, owner: str, name: str) -> None:
        """Withdraw its token. Its data stays.

        Raises:
            NotFound: ``thing-unknown``.
        """
        wanted = update(IngestToken).where(
            IngestToken.kind == KIND,
            IngestToken.owner == owner,
            IngestToken.name == name,
            IngestToken.revoked.is_(None),
        )
        with self._database.session() as session:
            gone = session.execute(wanted.values(revoked=now()))
        if not gone.rowcount:  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult
            raise NotFound("thing-unknown", f"You have no thing named {names.shown(name)}.")


def _live(owner: str) -> Select[IngestToken]:
    return select(IngestToken).where(
        IngestToken.kind == KIND, IngestToken.owner == owner, IngestToken.revoked.is_(None)
    )


def _device_named(name: str) -> Select[int]:
    return (
        select(func.count())
        .select_from(IngestToken)
        .where(IngestToken.kind == "device", IngestToken.name == name)
    )


def _view(row: IngestToken) -> Thing:
    user = user_of(row.hash, row.name)
    return Thing(name=row.name, created=row.created, mqtt_user=user, mqtt_topic=topic_of(row.owner, user))


def _refused(code: str, message: str) -> SpecRefused:
    return SpecRefused("spec-refused", message, (Problem(path="name", code=code, message=message),))
