"""Saved forms: a user's specs by name, as they are, also unfinished ones."""

from __future__ import annotations

from cyberlab.spec import ImageSpec, names
from cyberlab.wire import Problem, SavedSpec
from sqlalchemy import func, select

from cyberlab_hub.errors import Conflict, NotFound, SpecRefused
from cyberlab_hub.service import policy
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import SavedSpecRow, now
from cyberlab_hub.service.quotas import Quotas


class Specs:
    def __init__(self, database: Database, quotas: Quotas) -> None:
        self._database = database
        self._quotas = quotas

    def of(self, owner: str) -> list[SavedSpec]:
        """The last changed first."""
        wanted = select(SavedSpecRow).where(SavedSpecRow.owner == owner)
        with self._database.session() as session:
            rows = session.scalars(wanted.order_by(SavedSpecRow.updated.desc())).all()
        return [_view(row) for row in rows]

    def get(self, owner: str, name: str) -> SavedSpec:
        """Raises:
        NotFound: ``spec-unknown``.
        """
        with self._database.session() as session:
            row = session.get(SavedSpecRow, (owner, name))
        if row is None:
            raise _unknown(name)
        return _view(row)

    def save(self, owner: str, name: str, spec: ImageSpec, *, replace: bool) -> SavedSpec:
        """Keep a spec under its name.

        Raises:
            SpecRefused: the name is not allowed, or not the spec's. OverQuota: ``quota-specs``.
            Conflict: ``name-taken``, when another spec has the name and `replace` is false.
        """
        if not names.is_name(name) or spec.name != name:
            message = (
                f"A form saved as {names.shown(name)} must have that name in it, and it must be a valid name."
            )
            problem = Problem(path="name", code="name-invalid", message=message)
            raise SpecRefused("spec-refused", message, (problem,))
        dumped = spec.model_dump(mode="json")
        allowed = self._quotas.of(owner, "specs")
        with self._quotas.admission(owner), self._database.session() as session:
            row = session.get(SavedSpecRow, (owner, name))
            if row is None:
                count = select(func.count()).where(SavedSpecRow.owner == owner)
                policy.within(allowed, session.scalar(count) or 0)
                row = SavedSpecRow(owner=owner, name=name, spec=dumped, updated=now())
                session.add(row)
            elif row.spec != dumped:
                if not replace:
                    raise Conflict(
                        "name-taken",
                        f"You have saved another form as {name}. Choose another name, or replace it.",
                    )
                row.spec, row.updated = dumped, now()
        return _view(row)

    def count(self, owner: str) -> int:
        with self._database.session() as session:
            return session.scalar(select(func.count()).where(SavedSpecRow.owner == owner)) or 0

    def delete(self, owner: str, name: str) -> None:
        """Raises:
        NotFound: ``spec-unknown``.
        """
        with self._database.session() as session:
            row = session.get(SavedSpecRow, (owner, name))
            if row is None:
                raise _unknown(name)
            session.delete(row)


def _unknown(name: str) -> NotFound:
    return NotFound("spec-unknown", f"You have no saved form named {names.shown(name)}.")


def _view(row: SavedSpecRow) -> SavedSpec:
    return SavedSpec(spec=ImageSpec.model_validate(row.spec), updated=row.updated)
