"""Who may read whose readings. The store holds the right itself; the row says since when."""

from __future__ import annotations

from cyberlab.spec import names
from cyberlab.wire import Share
from sqlalchemy import or_, select

from cyberlab_hub.errors import NotAllowed, NotFound
from cyberlab_hub.ingest.store import COMMON, Store, database_of
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import ShareRow, now


class Shares:
    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store

    def of(self, user: str) -> list[Share]:
        """Those the user has given and those the user has received."""
        wanted = select(ShareRow).where(or_(ShareRow.owner == user, ShareRow.reader == user))
        with self._database.session() as session:
            rows = session.scalars(wanted.order_by(ShareRow.owner, ShareRow.reader)).all()
        return [Share.model_validate(row, from_attributes=True) for row in rows]

    def give(self, owner: str, reader: str) -> Share:
        """Let `reader`, who exists, read everything of `owner`. Giving it twice is giving it once."""
        self._store.ensure_owner(owner)
        self._store.ensure_owner(reader)
        self._store.share(owner, reader)
        with self._database.session() as session:
            row = session.get(ShareRow, (owner, reader))
            if row is None:
                row = ShareRow(owner=owner, reader=reader, created=now())
                session.add(row)
        return Share.model_validate(row, from_attributes=True)

    def take_back(self, owner: str, reader: str) -> None:
        """Raises:
        NotFound: ``share-unknown``.
        """
        with self._database.session() as session:
            row = session.get(ShareRow, (owner, reader))
        if row is None:
            raise NotFound("share-unknown", f"Your readings are not shared with {names.shown(reader)}.")
        self._store.unshare(owner, reader)
        with self._database.session() as session:
            session.delete(row)

    def database_for(self, reader: str, wanted: str) -> str:
        """Name of the store's database that ``mine``, ``fleet``, ``lab`` or a user's name means.

        Raises:
            NotAllowed: ``database-not-shared``, also when there is no such user.
        """
        if wanted in COMMON:
            return wanted
        if wanted in ("mine", reader):
            return database_of(reader)
        with self._database.session() as session:
            row = session.get(ShareRow, (wanted, reader)) if names.is_name(wanted) else None
        if row is None:
            raise NotAllowed(
                "database-not-shared",
                f"The readings of {names.shown(wanted)} are not shared with you. Ask them to share: "
                f"lab.share({reader!r}).",
            )
        return database_of(wanted)
