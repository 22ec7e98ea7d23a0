"""Points from outside into an owner's database: check, stamp, write. The gateway and the lab service both use it."""

from __future__ import annotations

from collections.abc import Mapping

from cyberlab.wire import Written

from cyberlab_hub.errors import NotFound, PartDown
from cyberlab_hub.ingest.lines import Batch, merge, stamp
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.store import COMMON, Store, database_of


def paced(pace: Pace, store: Store, owner: str, batch: Batch, tags: Mapping[str, str]) -> Written:
    """`take` for a user: every line counts towards the owner's quota, also one that is then refused.

    Raises:
        OverQuota: ``quota-points``, ``quota-readings``. PartDown: as `take`; what was not written does not count.
    """
    pace.take(owner, batch.count)
    try:
        return take(store, owner, batch, tags)
    except PartDown:
        pace.give_back(owner, batch.count)
        raise


def take(store: Store, owner: str, batch: Batch, tags: Mapping[str, str], *, common: bool = False) -> Written:
    """Write the good lines of `batch` with `tags` stamped on each; name the others.

    `owner` is a user or group; with `common` it is `store.FLEET` or `store.LAB` itself.

    Raises:
        PartDown: ``database-down``. Nothing is lost if the caller sends the same lines again.
    """
    if common and owner not in COMMON:
        raise ValueError(f"{owner!r} is not a common database")
    stamped = stamp(batch, tags)
    if not stamped.body:
        return Written(written=0, refused=stamped.refused)
    if common:
        refused = store.write(owner, stamped.body)
    else:
        store.ensure_owner(owner)
        try:
            refused = store.write(database_of(owner), stamped.body)
        except NotFound:  # InfluxDB was emptied behind our back; the store has now forgotten what was ready
            store.ensure_owner(owner)
            refused = store.write(database_of(owner), stamped.body)
    return Written(written=len(stamped.numbers) - len(refused), refused=merge(stamped, refused))
