"""What each owner's readings take up, for whoever runs the lab; and removing those of accounts that are gone.

InfluxDB keeps a database until it is dropped, and some memory for each: a lab of many courses needs this now and then.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from cyberlab.spec import names
from cyberlab.wire_keep import OwnerStorage
from sqlalchemy import delete, or_, select

from cyberlab_hub.errors import Conflict, NotFound
from cyberlab_hub.ingest.store import OWNED, Store, database_of
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.departed import Sender, senders
from cyberlab_hub.service.keeping import Keeping
from cyberlab_hub.service.models import IngestToken, MembershipRow, ShareRow
from cyberlab_hub.service.models_readings import MeansRow, RetentionRow
from cyberlab_hub.service.quotas import Quotas


class Gone(NamedTuple):
    """An owner without an account."""

    owner: str
    database: str
    sending: tuple[Sender, ...]
    """What may still send readings."""


class Owners:
    def __init__(self, database: Database, store: Store, quotas: Quotas, keeping: Keeping) -> None:
        self._database = database
        self._store = store
        self._quotas = quotas
        self._keeping = keeping

    def all(self, accounts: Collection[str]) -> list[OwnerStorage]:
        """A row for each owner's database, the largest first. `accounts`: the names there are.

        Raises:
            PartDown: ``database-down``.
        """
        spaces = self._store.spaces()
        owners = self._by_database(accounts)
        rows = []
        largest_first = sorted(
            self._store.databases(), key=lambda name: (-(spaces or {}).get(name, 0), owners.get(name, name))
        )
        for database in largest_first:
            owner = owners.get(database)
            used = None if spaces is None else round(spaces.get(database, 0) / 1e6, 3)
            rows.append(
                OwnerStorage(
                    owner=owner,
                    database=database,
                    account=owner in accounts,
                    used_mb=used,
                    possible_mb=1000 * self._quotas.of(owner, "readings").value if owner else None,
                    keep_days=self._keeping.days(owner) if owner else None,
                    means=self._keeping.rules(owner) if owner else 0,
                )
            )
        return rows

    def gone(self, name: str, accounts: Collection[str]) -> Gone:
        """The owner without an account whose readings there are.

        `name` is the owner's, or that of the database where nobody knows any more whose it was.

        Raises:
            Conflict: ``account-exists``. NotFound: ``owner-unknown``. PartDown: ``database-down``.
        """
        database = name if name.startswith(OWNED) else database_of(name)
        owner = self._by_database(accounts).get(database, name)
        if owner in accounts:
            raise Conflict(
                "account-exists",
                f"There is an account or a group {names.shown(owner)}: its readings are not dropped. "
                "Remove the account first.",
            )
        if database not in self._store.databases():
            raise NotFound(
                "owner-unknown", f"InfluxDB holds nothing of {names.shown(name)}. See `cyberlab-hub storage`."
            )
        return Gone(owner, database, senders(self._database, owner))

    def drop(self, name: str, accounts: Collection[str]) -> str:
        """Remove the database and the reader of such an owner, and what the lab's tables say about them.

        Gives the database's name.

        Raises:
            Conflict: ``tokens-live``. And as `gone`.
        """
        owner, database, sending = self.gone(name, accounts)
        if sending:
            raise Conflict(
                "tokens-live",
                f"Of {names.shown(owner)} there may still send: {', '.join(map(str, sending))}. To end that as well: "
                f"cyberlab-hub storage --drop {owner} --stop",
            )
        with self._database.session() as session:
            for rows in (
                # withdrawn tokens too: a device that comes late would make the database again
                delete(IngestToken).where(IngestToken.owner == owner),
                delete(ShareRow).where(or_(ShareRow.owner == owner, ShareRow.reader == owner)),
                delete(RetentionRow).where(RetentionRow.owner == owner),
                delete(MeansRow).where(MeansRow.owner == owner),
                delete(MembershipRow).where(MembershipRow.owner == owner),
            ):
                session.execute(rows)
        self._store.drop(database)
        return database

    def _by_database(self, accounts: Collection[str]) -> dict[str, str]:
        """The owner of each database, as far as anything here knows a name."""
        known = set(accounts)
        columns = (
            MembershipRow.owner,
            RetentionRow.owner,
            MeansRow.owner,
            IngestToken.owner,
            ShareRow.owner,
            ShareRow.reader,
        )
        with self._database.session() as session:
            for column in columns:
                known |= set(session.scalars(select(column).distinct()))
        return {database_of(owner): owner for owner in known}
