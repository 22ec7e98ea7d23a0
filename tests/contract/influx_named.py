"""Servers that the environment names, for an operator who wants to prove one before trusting it:

    CYBERLAB_TEST_INFLUX_URLS="influx1+http://admin:PASSWORD@host:8086 influx2+https://ORG:TOKEN@host:8086"

Separated by spaces; password and token percent-encoded. The tests make databases (buckets) and users of their own, with
random names, and remove them; nothing else on the server is touched, except that `fleet` and `lab` are made if missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from cyberlab_hub.errors import HubError
from cyberlab_hub.ingest.influx import ident
from cyberlab_hub.ingest.influx1 import Influx1Store, reader_of
from cyberlab_hub.ingest.store import Store, database_of

VARIABLE = "CYBERLAB_TEST_INFLUX_URLS"


@dataclass(frozen=True)
class Named:
    kind: str
    """``influx1`` or ``influx2``."""
    url: str
    user: str
    """The administrator of 1.x, who must be called admin; the organisation of 2.x."""
    secret: str

    def __str__(self) -> str:
        """The name of the test: never with the secret."""
        return f"{self.kind}@{urlsplit(self.url).netloc}"

    @contextmanager
    def open(self) -> Iterator[Store]:
        """A store on it; what its owners had is removed afterwards."""
        store = self._store()
        owners: set[str] = set()
        ensure = store.ensure_owner

        def remembered(owner: str) -> None:
            owners.add(owner)
            ensure(owner)

        store.ensure_owner = remembered  # type: ignore[method-assign]  # only to know what to remove
        try:
            store.set_up()
            yield store
        finally:
            for owner in owners:
                _remove(store, owner)
            store.close()

    def _store(self) -> Store:
        if self.kind == "influx1":
            return Influx1Store(self.url, self.secret, "derive")
        from cyberlab_hub.ingest.influx2 import Influx2Store

        return Influx2Store(self.url, self.secret, self.user)


def _remove(store: Store, owner: str) -> None:
    if isinstance(store, Influx1Store):
        for statement in (
            f"DROP DATABASE {ident(database_of(owner))}",
            f"DROP USER {ident(reader_of(owner))}",
        ):
            try:
                store._run(statement)
            except HubError:  # the test itself has removed it
                continue
        return
    buckets = store._client.buckets_api()  # type: ignore[attr-defined]  # the other one is 2.x
    found = buckets.find_bucket_by_name(database_of(owner))
    if found is not None:
        buckets.delete_bucket(found)


def named(text: str | None = None) -> list[Named]:
    """The servers of the variable (or of `text`).

    Raises:
        ValueError: it is not of the form above; without the secret.
    """
    found = []
    for number, one in enumerate((os.environ.get(VARIABLE, "") if text is None else text).split(), 1):
        kind, _, url = one.partition("+")
        parts = urlsplit(url)
        if kind not in ("influx1", "influx2") or parts.scheme not in ("http", "https") or not parts.password:
            raise ValueError(f"{VARIABLE}, number {number}: write influx1+http://admin:PASSWORD@host:port")
        host = parts.netloc.rpartition("@")[2]
        found.append(
            Named(kind, f"{parts.scheme}://{host}", unquote(parts.username or ""), unquote(parts.password))
        )
    return found


ON_EVERY_SERVER = ["influx1", *named()]
"""Parameters of a fixture: a server of the tests' own, and those of the environment."""
EVERYWHERE = ["fake", *ON_EVERY_SERVER]
