"""Points from outside into an owner's database: check, stamp, write. The gateway and the lab service both use it."""

from __future__ import annotations

from collections.abc import Mapping

from cyberlab.wire import Written

from cyberlab_hub.errors import NotFound, PartDown
from cyberlab_hub.ingest.lines import merge, stamp
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.store import COMMON, Store, database_of


def paced(
    pace: Pace, store: Store, owner: str, body: bytes, tags: Mapping[str, str], until_ns: int | None = None
) -> Written:
    """`take` for a user: every line counts towards the owner's quota, also one that is then refused.

    Raises:
        OverQuota: ``quota-points``, ``quota-readings``. PartDown: as `take`; what was not written does not count.
    """
    points = body.count(b"\n") + 1
    pace.take(owner, points)
    try:
        return take(store, owner, body, tags, until_ns=until_ns)
    except PartDown:
        pace.give_back(owner, points)
        raise


def take(
    store: Store,
    owner: str,
    body: bytes,
    tags: Mapping[str, str],
    *,
    common: bool = False,
    until_ns: int | None = None,
) -> Written:
    """Write the good lines of `body` with `tags` stamped on each; name the others.

    `owner` is a user or group; with `common` it is `store.FLEET` or `store.LAB` itself. Lines of a later time than
    `until_ns` are refused.

    Raises:
        PartDown: ``database-down``. Nothing is lost if the caller sends the same lines again.
    """
    if common and owner not in COMMON:
        raise ValueError(f"{owner!r} is not a common database")
    stamped = stamp(body, tags, until_ns)
    if not stamped.body:
        return Written(written=0, refused=stamped.refused)
    if common:
        outcome = store.write(owner, stamped.body)
    else:
        store.ensure_owner(owner)
        try:
            outcome = store.write(database_of(owner), stamped.body)
        except NotFound:  # InfluxDB was emptied behind our back; the store has now forgotten what was ready
            store.ensure_owner(owner)
            outcome = store.write(database_of(owner), stamped.body)
    return Written(written=outcome.written, refused=merge(stamped, outcome.refused))
