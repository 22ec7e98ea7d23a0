"""InfluxDB 1.x: a database an owner, and an InfluxDB user for each reader, who has READ on what they may see.

Passwords of readers are derived (HMAC-SHA256) from one key of the lab, so that none is kept anywhere and a wiped
InfluxDB is as before after the next call. Run against 1.6.7.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from cyberlab.wire import Measurement, RefusedLine

from cyberlab_hub.errors import HubError, NotFound, PartDown, QueryRefused
from cyberlab_hub.ingest import influx_means
from cyberlab_hub.ingest.influx import Influx, LoginRefused, ident, literal
from cyberlab_hub.ingest.influx_delete import count_statement, counted, delete_statements
from cyberlab_hub.ingest.store import COMMON, OWNED, Means, Selection, database_of

T = TypeVar("T")

SHARDS = "52w"
"""How much time one shard holds. Each is a folder, files and memory of InfluxDB, made by the first point of its time:
with the default of a week, one batch with stamps from 1678 to 2262 made 30,000 of them, in everybody's database."""


class Influx1Store:
    """`Store` on InfluxDB 1.x with authentication on."""

    def __init__(self, url: str, password: str, derive_key: str) -> None:
        """`password` is that of InfluxDB's user ``admin``."""
        self._influx = Influx(url, "/write")
        self._password = password
        self._admin = _basic("admin", password)
        self._key = derive_key.encode()
        self._ready: set[str] = set()
        """Owners whose database and reader exist."""
        self._lock = threading.Lock()

    def close(self) -> None:
        self._influx.close()

    def ping(self) -> str:
        return self._influx.ping()

    # ------------------------------------------------------------ making
    def set_up(self) -> None:
        try:
            self._run("SHOW DATABASES")
        except HubError:
            # a new InfluxDB refuses everything until the first administrator exists; that one needs no login
            statement = f"CREATE USER admin WITH PASSWORD {literal(self._password)} WITH ALL PRIVILEGES"
            try:
                self._influx.ask("", statement, {})
            except LoginRefused as error:
                raise _admin_refused() from error
        for name in COMMON:
            self._database(name)

    def ensure_owner(self, owner: str) -> None:
        with self._lock:
            if owner in self._ready:
                return
            database, reader = database_of(owner), reader_of(owner)
            self._database(database)
            secret = literal(self._secret(owner))
            try:
                self._run(f"CREATE USER {ident(reader)} WITH PASSWORD {secret}")
            except QueryRefused:  # exists with the password of an older key
                self._run(f"SET PASSWORD FOR {ident(reader)} = {secret}")
            for name in (database, *COMMON):
                self._run(f"GRANT READ ON {ident(name)} TO {ident(reader)}")
            self._ready.add(owner)

    def _database(self, name: str) -> None:
        """Make it, or bring one made earlier to the same form."""
        self._run(f"CREATE DATABASE {ident(name)}")
        self._run(f'ALTER RETENTION POLICY "autogen" ON {ident(name)} SHARD DURATION {SHARDS}')

    def share(self, owner: str, reader: str) -> None:
        self.ensure_owner(owner)
        self.ensure_owner(reader)
        self._run(f"GRANT READ ON {ident(database_of(owner))} TO {ident(reader_of(reader))}")

    def unshare(self, owner: str, reader: str) -> None:
        if owner == reader:
            return
        self.ensure_owner(owner)
        self.ensure_owner(reader)
        self._run(f"REVOKE READ ON {ident(database_of(owner))} FROM {ident(reader_of(reader))}")

    # ------------------------------------------------------------ points
    def write(self, database: str, body: bytes) -> tuple[RefusedLine, ...]:
        try:
            return self._influx.write({"db": database, "precision": "ns"}, self._admin, body)
        except NotFound:
            with self._lock:
                self._ready.clear()
            raise
        except LoginRefused as error:
            raise _admin_refused() from error

    def query(self, reader: str, database: str, influxql: str) -> Iterator[bytes]:
        return self._as_reader(reader, lambda login: self._influx.stream(database, influxql, login))

    def measurements(self, reader: str, database: str) -> tuple[Measurement, ...]:
        return self._as_reader(reader, lambda login: self._influx.measurements(database, login))

    # ------------------------------------------------------------ keeping and forgetting
    def count(self, database: str, where: Selection) -> int:
        return counted(self._asked(count_statement(where), database)) if where else 0

    def delete(self, database: str, where: Selection) -> None:
        for statement in delete_statements(where) if where else ():
            self._asked(statement, database)

    def first(self, database: str, measurement: str, since: int, until: int) -> int | None:
        return influx_means.first_time(
            self._asked(influx_means.first_statement(measurement, since, until), database)
        )

    def make_means(self, database: str, means: Means) -> None:
        fields = influx_means.numeric(self._asked(influx_means.fields_statement(means.measurement), database))
        for statement in influx_means.into_statements(means, fields):
            self._asked(statement, database)

    def spaces(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for shard in self._asked("SHOW STATS FOR 'shard'", timeout=30)[0].get("series", ()):
            values = dict(zip(shard["columns"], shard["values"][0], strict=True))
            found[shard.get("tags", {}).get("database", "")] += int(values.get("diskBytes") or 0)
        return dict(found)

    def databases(self) -> tuple[str, ...]:
        found = self._asked("SHOW DATABASES", timeout=30)[0].get("series", ())
        names = (row[0] for series in found for row in series.get("values", ()))
        return tuple(sorted(name for name in names if name.startswith(OWNED)))

    def drop(self, database: str) -> None:
        if not database.startswith(OWNED):
            raise ValueError(f"{database!r} is no owner's")
        self._asked(f"DROP DATABASE {ident(database)}")
        with self._lock:
            self._ready = {owner for owner in self._ready if database_of(owner) != database}
            with suppress(QueryRefused):  # there was none
                self._run(f"DROP USER {ident('r' + database[1:])}")

    def _asked(self, statement: str, database: str = "", timeout: float = 240) -> list[dict[str, Any]]:
        """As the administrator. Long, because deleting looks at every series."""
        try:
            return self._influx.ask(database, statement, self._admin, timeout=timeout)
        except LoginRefused as error:
            raise _admin_refused() from error

    def _as_reader(self, reader: str, call: Callable[[dict[str, str]], T]) -> T:
        self.ensure_owner(reader)
        login = _basic(reader_of(reader), self._secret(reader))
        try:
            return call(login)
        except LoginRefused:  # InfluxDB was emptied or restored since the reader was made
            with self._lock:
                self._ready.discard(reader)
            self.ensure_owner(reader)
        try:
            return call(login)
        except LoginRefused as error:
            raise PartDown("database-down", "InfluxDB does not accept the lab's login for you.") from error

    # ------------------------------------------------------------ for `cyberlab-hub doctor`
    def readers(self) -> set[str]:
        """InfluxDB's users who read."""
        try:
            found = self._influx.ask("", "SHOW USERS", self._admin)
        except LoginRefused as error:
            raise _admin_refused() from error
        return {row[0] for s in found[0].get("series", ()) for row in s.get("values", ()) if not row[1]}

    def reader_login(self, owner: str) -> dict[str, str]:
        """The header with which the owner's reader signs in."""
        return _basic(reader_of(owner), self._secret(owner))

    def _run(self, statement: str) -> None:
        try:
            self._influx.ask("", statement, self._admin)
        except LoginRefused as error:
            raise _admin_refused() from error

    def _secret(self, owner: str) -> str:
        return hmac.new(self._key, b"influx-reader:" + owner.encode(), hashlib.sha256).hexdigest()


def reader_of(owner: str) -> str:
    """Name of the InfluxDB user as whom the owner reads."""
    return "r" + database_of(owner)[1:]


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def _admin_refused() -> PartDown:
    return PartDown(
        "database-down",
        "InfluxDB answers but does not accept the lab's password (state/secrets/influx.admin). "
        "The operator must restore that file or set the password of InfluxDB's user 'admin' to it.",
    )
