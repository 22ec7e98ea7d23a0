"""The device's spool: points that wait for the uplink, on disk, in order, bounded.

**When is a point safe?** `put` returns after its transaction was written and synced
(``synchronous=FULL``), so what has been acknowledged survives a power cut in the middle of any write. Syncing wears
out SD cards, so everything that comes within `COMMIT_SECONDS` shares one transaction. What the gateway has taken is
removed with the next transaction; after a power cut it may be sent again, and the database keeps one of two equal
points.

Senders (a deployment's token; "" is the device itself) are kept apart: each has its own order. Over the bound, the
sender with most on the disk loses its oldest points; how many, and from when to when, is kept and sent as a point
(`cyberlab_edge.gap`). Senders that the gateway has never confirmed share a quarter, so that made-up tokens
cannot push out anybody's points. On a full disk `put` holds the points in memory until the uplink has taken them.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from cyberlab_edge.gap import Gap
from cyberlab_edge.outbox import BATCH_BYTES, BATCH_LINES
from cyberlab_edge.spool_file import SpoolFile

log = logging.getLogger("cyberlab_edge.spool")

LIMIT_BYTES = 256_000_000
COMMIT_SECONDS = 0.25
ASIDE_BYTES = 8_000_000
"""Of points in memory while the disk takes none."""
ASIDE_SECONDS = 7.0
"""Less than a program waits for an answer."""
UNCONFIRMED = 0.25
"""Share of the bound for senders that the gateway has not confirmed."""
STRANGERS = 100
"""Senders that it has not confirmed, at most: each takes memory."""
FULL = "the device's spool was full"
REFUSED = "refused by the lab"


class SpoolFull(OSError):
    """Neither disk nor memory takes more: keep the points and come again."""


@dataclass(frozen=True)
class Batch:
    """Points of one sender, to be sent together."""

    token: str
    body: bytes
    """Line protocol, with the gaps' lines at its end."""
    lines: int
    """Points in it, without those of gaps."""
    sender: int = 0
    last: int = 0
    """Id of the last row in it."""
    gaps: tuple[Gap, ...] = ()
    aside: _Put | None = None

    @property
    def points(self) -> bytes:
        """The body without the gaps' lines."""
        told = sum(len(gap.line()) + 1 for gap in self.gaps)
        return self.body[: max(0, len(self.body) - told)]


@dataclass
class _Put:
    token: str
    body: bytes
    lines: int
    safe: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


@dataclass
class _Sender:
    id: int
    token: str
    confirmed: bool
    bytes: int = 0
    lines: int = 0
    settled: int = 0
    """Rows up to here are taken, and removed with the next transaction."""
    under_way: int = 0
    """Rows up to here may be on the wire: they are never dropped."""
    cleaned: int = 0
    gaps: dict[str, Gap] = field(default_factory=dict)
    told: bool = True
    """The disk knows the gaps, and whether it is confirmed."""


class Spool:
    """Safe to use from every thread. One process at a time holds the file."""

    def __init__(
        self, path: Path, *, limit_bytes: int = LIMIT_BYTES, on_put: Callable[[], object] = lambda: None
    ) -> None:
        """`on_put` is called whenever there is something new to send.

        Raises:
            OSError, sqlite3.Error: the folder cannot be written.
        """
        self._limit = limit_bytes
        self._on_put = on_put
        self._file = SpoolFile(path)
        self._lock = threading.RLock()
        """Held for everything that touches the file or the senders."""
        self._senders: dict[str, _Sender] = {}
        self._load()
        self._changed = threading.Condition()
        self._puts: list[_Put] = []
        self._aside: list[_Put] = []
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="spool", daemon=True)
        self._writer.start()

    # ------------------------------------------------------------ filling
    def put(self, token: str, body: bytes) -> None:
        """Keep these lines; returns when they are safe.

        Raises:
            SpoolFull: they are not, and nobody has them.
        """
        put = _Put(token, body.strip(b"\n"), body.strip(b"\n").count(b"\n") + 1)
        if not put.body:
            return
        with self._changed:
            if self._closed:
                raise SpoolFull("the spool is closed")
            self._puts.append(put)
            self._changed.notify_all()
        put.safe.wait(ASIDE_SECONDS + 10)
        with self._lock:
            if put in self._aside and not put.safe.is_set():
                self._aside.remove(put)
            if not put.safe.is_set() or put.error is not None:
                raise SpoolFull(
                    f"the device takes nothing more: {put.error or 'its disk does not answer'}"
                ) from put.error

    # ------------------------------------------------------------ emptying
    def next(self, skip: Collection[str] = ()) -> Batch | None:
        """The oldest points of a sender that is not in `skip` (their tokens), or None. They stay until `settle`."""
        with self._lock:
            for put in self._aside:
                if put.token not in skip:
                    return Batch(put.token, put.body, put.lines, aside=put)
            found = [s for s in self._senders.values() if s.token not in skip and (s.lines or s.gaps)]
            for sender in sorted(found, key=lambda s: s.settled):
                batch = self._batch(sender)
                if batch is not None:
                    return batch
        return None

    def _batch(self, sender: _Sender) -> Batch | None:
        bodies: list[bytes] = []
        lines = size = 0
        last = sender.settled
        with self._file.after(sender.id, last) as rows:
            for row, count, body in rows:
                if bodies and (lines + count > BATCH_LINES or size + len(body) > BATCH_BYTES):
                    break
                bodies.append(body)
                last, lines, size = row, lines + count, size + len(body) + 1
        gaps = tuple(sender.gaps.values())
        if not bodies and not gaps:
            return None
        sender.under_way = last
        body = b"\n".join([*bodies, *(gap.line().encode() for gap in gaps)])
        return Batch(sender.token, body, lines, sender.id, last, gaps)

    def settle(self, batch: Batch, lost: int = 0, reason: str = REFUSED) -> None:
        """The gateway has answered for it: taken but for `lost` lines, which become part of a gap.

        A batch may have been sent twice, and be settled twice: it counts once.
        """
        if batch.aside is not None:
            with self._lock:
                if batch.aside in self._aside:
                    self._aside.remove(batch.aside)
                    batch.aside.safe.set()
            return
        with self._lock:
            sender = self._senders.get(batch.token)
            if sender is None or (batch.lines and batch.last <= sender.settled):
                return
            size, lines = self._file.size(sender.id, sender.settled, batch.last)
            sender.bytes, sender.lines = sender.bytes - size, sender.lines - lines
            sender.confirmed = sender.confirmed or lost < batch.lines
            sender.settled = batch.last
            sender.told = False
            for gap in batch.gaps:
                if sender.gaps.get(gap.reason) == gap:
                    del sender.gaps[gap.reason]
            if lost:
                _add_gap(sender, reason, lost, *_span(batch.points))
        with self._changed:
            self._changed.notify_all()

    def forget(self, token: str) -> int:
        """The lab will never take points of this sender. Returns how many are dropped; nobody could be told."""
        with self._lock:
            sender = self._senders.pop(token, None)
            if sender is None:
                return 0
            try:
                with self._file.transaction():
                    self._file.forget(sender.id)
            except sqlite3.Error as error:  # a full disk: they come again at the next start
                log.warning("points that nobody will take stay on the disk: %s", error)
            return sender.lines

    def release(self, token: str) -> None:
        """Nothing of this sender is on the wire any more."""
        with self._lock:
            if token in self._senders:
                self._senders[token].under_way = self._senders[token].settled

    @property
    def waiting(self) -> tuple[int, int]:
        """Points and bytes that are not settled."""
        with self._lock:
            every = self._senders.values()
            return sum(s.lines for s in every), sum(s.bytes for s in every)

    def close(self) -> None:
        """What is on disk stays there. Points held aside are not safe; their `put` raises."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._writer.join(10)
        with self._lock:
            for put in self._aside:
                put.error = SpoolFull("the agent ends")
                put.safe.set()
            self._file.close()

    # ------------------------------------------------------------ the thread that writes
    def _write(self) -> None:
        written = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._puts or self._closed, 1.0)
                if not self._puts and self._closed:
                    break
            pause = written + COMMIT_SECONDS - time.monotonic()
            if pause > 0 and not self._closed:
                time.sleep(pause)
            with self._changed:
                puts, self._puts = self._puts, []
            if puts or self._dirty():
                self._commit(puts)
                written = time.monotonic()
        self._commit([])

    def _dirty(self) -> bool:
        with self._lock:
            return any(s.settled > s.cleaned or not s.told for s in self._senders.values())

    def _commit(self, puts: list[_Put]) -> None:
        with self._lock:
            gaps = {token: dict(sender.gaps) for token, sender in self._senders.items()}
            try:
                with self._file.transaction():
                    self._clean()
                    for put in puts:
                        self._insert(put)
                    self._bound()
            except sqlite3.Error as error:
                self._reload(gaps)
                self._hold(puts, error)
                return
            for sender in self._senders.values():
                sender.cleaned, sender.told = sender.settled, True
        for put in puts:
            put.safe.set()  # or refused, with its error
        if puts:
            self._on_put()

    def _hold(self, puts: list[_Put], error: sqlite3.Error) -> None:
        """The disk takes nothing: the uplink may, before whoever waits in `put` gives up."""
        log.warning("the spool's disk takes nothing: %s", error)
        for put in puts:
            put.error = error
            if sum(len(one.body) for one in self._aside) + len(put.body) > ASIDE_BYTES:
                put.safe.set()
            else:
                put.error = None
                self._aside.append(put)
        self._on_put()

    def _insert(self, put: _Put) -> None:
        sender = self._senders.get(put.token)
        if sender is None:
            if put.token and sum(not s.confirmed for s in self._senders.values()) >= STRANGERS:
                put.error = SpoolFull("too many senders that the lab has not confirmed wait here")
                return
            sender = _Sender(self._file.add_sender(put.token), put.token, confirmed=not put.token)
            self._senders[put.token] = sender
        self._file.add(sender.id, put.lines, put.body)
        sender.bytes += len(put.body) + 1
        sender.lines += put.lines

    def _clean(self) -> None:
        """Remove what is settled, and keep the gaps and who is confirmed."""
        for sender in self._senders.values():
            if sender.settled > sender.cleaned:
                self._file.remove_up_to(sender.id, sender.settled)
            if not sender.told:
                self._file.tell(sender.id, sender.confirmed, sender.gaps.values())

    def _bound(self) -> None:
        while (sender := self._too_large()) is not None and self._drop_oldest(sender):
            pass

    def _too_large(self) -> _Sender | None:
        strangers = [s for s in self._senders.values() if not s.confirmed]
        if sum(s.bytes for s in strangers) > self._limit * UNCONFIRMED:
            return max(strangers, key=lambda s: s.bytes)
        if sum(s.bytes for s in self._senders.values()) > self._limit:
            return max(self._senders.values(), key=lambda s: s.bytes)
        return None

    def _drop_oldest(self, sender: _Sender) -> bool:
        with self._file.after(sender.id, max(sender.settled, sender.under_way)) as rows:
            oldest = next(iter(rows), None)
        if oldest is None:
            return False
        row, lines, body = oldest
        self._file.remove(row)
        sender.bytes -= len(body) + 1
        sender.lines -= lines
        _add_gap(sender, FULL, lines, *_span(body))
        self._file.tell(sender.id, sender.confirmed, sender.gaps.values())
        return True

    # ------------------------------------------------------------ what the file says
    def _load(self) -> None:
        self._senders = {row[1]: _Sender(*row) for row in self._file.senders()}
        by_id = {sender.id: sender for sender in self._senders.values()}
        for id_, gap in self._file.gaps():
            if id_ in by_id:
                by_id[id_].gaps[gap.reason] = gap

    def _reload(self, gaps: dict[str, dict[str, Gap]]) -> None:
        """After a transaction that failed: what the file says, how far the uplink is, and the gaps of before."""
        before = self._senders
        self._load()
        for token, sender in self._senders.items():
            old = before.get(token)
            if old is not None:
                sender.settled, sender.under_way, sender.told = old.settled, old.under_way, False
                sender.confirmed, sender.gaps = old.confirmed, gaps.get(token, {})
                size, lines = self._file.size(sender.id, 0, old.settled)
                sender.bytes, sender.lines = sender.bytes - size, sender.lines - lines


def _span(body: bytes) -> tuple[int, int]:
    """First and last time of these lines; zeros where none can be read."""
    times = [int(t) for line in body.split(b"\n") if (t := line.rsplit(b" ", 1)[-1]).lstrip(b"-").isdigit()]
    return (min(times), max(times)) if times else (0, 0)


def _add_gap(sender: _Sender, reason: str, lost: int, first: int, last: int) -> None:
    gap = sender.gaps.get(reason)
    sender.gaps[reason] = gap.with_more(lost, first, last) if gap else Gap(lost, first, last, reason)
    sender.told = False
