"""Measurements of means are the lab's to fill: no reading is written into them, whoever sends it and by whichever way.

Means may be kept for longer than readings (quotas `mean_days` and `days`). A reading that passed for a mean would be
kept as long as one, and would stand between real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from cyberlab.wire import RefusedLine
from cyberlab_edge.points import encode_measurement
from sqlalchemy import select

from cyberlab_hub.ingest.remembered import Remembered
from cyberlab_hub.ingest.store import Store, database_of
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models_readings import MeansRow

NONE: tuple[str, ...] = ()


def set_apart(store: Store, database: Database) -> Store:
    """`store`, whose `write` refuses lines of measurements that hold means. A new rule counts within five seconds."""

    def targets(name: str) -> tuple[str, ...]:
        with database.session() as session:
            rows = session.execute(select(MeansRow.owner, MeansRow.target)).all()
        return tuple(target for owner, target in rows if database_of(owner) == name)

    return cast("Store", _Apart(store, Remembered(targets, NONE).of))


class _Apart:
    """Everything but `write` is the store's own."""

    def __init__(self, store: Store, targets: Callable[[str], tuple[str, ...]]) -> None:
        self._store = store
        self._targets = targets

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def write(self, database: str, body: bytes) -> tuple[RefusedLine, ...]:
        """As `Store.write`."""
        heads = {target: encode_measurement(target).encode() for target in self._targets(database)}
        if not any(body.startswith(head) or b"\n" + head in body for head in heads.values()):
            return self._store.write(database, body)
        numbers: list[int] = []
        kept: list[bytes] = []
        refused: list[RefusedLine] = []
        for number, line in enumerate(body.split(b"\n"), 1):
            target = next(
                (t for t, head in heads.items() if line.startswith((head + b",", head + b" "))), None
            )
            if target is None:
                numbers.append(number)
                kept.append(line)
            else:
                refused.append(RefusedLine(line=number, reason=_why(target)))
        if kept:
            theirs = self._store.write(database, b"\n".join(kept))
            refused += (r.model_copy(update={"line": numbers[r.line - 1]}) for r in theirs)
        return tuple(sorted(refused, key=lambda r: r.line))


def _why(target: str) -> str:
    return f"{target!r} holds means, which the lab makes: name your measurement otherwise"
