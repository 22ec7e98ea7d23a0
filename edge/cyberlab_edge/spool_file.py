"""The spool's file: SQLite with a write-ahead log, synced at the end of each transaction."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cyberlab_edge.gap import Gap

log = logging.getLogger("cyberlab_edge.spool")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sender (id INTEGER PRIMARY KEY, token TEXT UNIQUE NOT NULL, confirmed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS batch (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sender INTEGER NOT NULL, lines INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS batch_of_sender ON batch (sender, id);
CREATE TABLE IF NOT EXISTS gap (
    sender INTEGER, reason TEXT, lost INTEGER, first_ns INTEGER, last_ns INTEGER, PRIMARY KEY (sender, reason));
"""
_SIZE = "COALESCE(SUM(LENGTH(body) + 1), 0), COALESCE(SUM(lines), 0)"


class SpoolFile:
    """Used under the spool's lock. Every call raises sqlite3.Error when the disk does not take it."""

    def __init__(self, path: Path) -> None:
        """A damaged file is put aside, not trusted.

        Raises:
            OSError, sqlite3.Error: the folder cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _connect(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            _put_aside(path, error)
            self._database = _connect(path)

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it, synced, or nothing."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    # ------------------------------------------------------------ what is there
    def senders(self) -> list[tuple[int, str, bool, int, int]]:
        """Id, token, whether confirmed, bytes, points."""
        joined = "sender s LEFT JOIN batch b ON b.sender = s.id GROUP BY s.id"
        rows = self._database.execute(f"SELECT s.id, token, confirmed, {_SIZE} FROM {joined}")  # noqa: S608 - our own words
        return [(row[0], row[1], bool(row[2]), row[3], row[4]) for row in rows]

    def gaps(self) -> list[tuple[int, Gap]]:
        """With the sender's id."""
        rows = self._database.execute("SELECT sender, lost, first_ns, last_ns, reason FROM gap")
        return [(row[0], Gap(row[1], row[2], row[3], row[4])) for row in rows]

    @contextmanager
    def after(self, sender: int, row: int) -> Iterator[Iterable[tuple[int, int, bytes]]]:
        """Id, points and lines of the sender's batches behind that one, oldest first."""
        rows = self._database.execute(
            "SELECT id, lines, body FROM batch WHERE sender = ? AND id > ? ORDER BY id", (sender, row)
        )
        try:
            yield rows
        finally:
            rows.close()

    def size(self, sender: int, after: int, up_to: int) -> tuple[int, int]:
        """Bytes and points of the batches between."""
        statement = f"SELECT {_SIZE} FROM batch WHERE sender = ? AND id > ? AND id <= ?"  # noqa: S608 - our own words
        found = self._database.execute(statement, (sender, after, up_to)).fetchone()
        return int(found[0]), int(found[1])

    # ------------------------------------------------------------ changes, within a transaction
    def add_sender(self, token: str) -> int:
        added = self._database.execute("INSERT INTO sender (token, confirmed) VALUES (?, 0)", (token,))
        return int(added.lastrowid or 0)

    def add(self, sender: int, lines: int, body: bytes) -> None:
        self._database.execute(
            "INSERT INTO batch (sender, lines, body) VALUES (?, ?, ?)", (sender, lines, body)
        )

    def remove_up_to(self, sender: int, row: int) -> None:
        self._database.execute("DELETE FROM batch WHERE sender = ? AND id <= ?", (sender, row))

    def remove(self, row: int) -> None:
        self._database.execute("DELETE FROM batch WHERE id = ?", (row,))

    def tell(self, sender: int, confirmed: bool, gaps: Iterable[Gap]) -> None:
        """What is known of the sender, instead of what was."""
        self._database.execute("UPDATE sender SET confirmed = ? WHERE id = ?", (confirmed, sender))
        self._database.execute("DELETE FROM gap WHERE sender = ?", (sender,))
        self._database.executemany(
            "INSERT INTO gap VALUES (?, ?, ?, ?, ?)",
            [(sender, gap.reason, gap.lost, gap.first_ns, gap.last_ns) for gap in gaps],
        )

    def forget(self, sender: int) -> None:
        self._database.execute("DELETE FROM batch WHERE sender = ?", (sender,))
        self._database.execute("DELETE FROM gap WHERE sender = ?", (sender,))
        self._database.execute("DELETE FROM sender WHERE id = ?", (sender,))


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    try:
        path.chmod(0o600)  # it holds the tokens of who waits
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA cache_size=-2000")
        database.executescript(_SCHEMA)
        if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its check fails")
    except BaseException:
        database.close()
        raise
    return database


def _put_aside(path: Path, error: sqlite3.Error) -> None:
    aside = path.with_name(f"{path.name}.broken-{int(time.time())}")
    log.warning(
        "the spool %s is damaged (%s): it is kept as %s, and a new one begins", path, error, aside.name
    )
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.rename(aside)
