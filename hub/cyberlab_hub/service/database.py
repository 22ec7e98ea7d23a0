"""The lab's database: SQLite in the state folder, or MariaDB/MySQL or PostgreSQL by URL.

`Database.open` connects and brings the tables to the newest revision. The ingest gateway opens the same
database to look up tokens (with ``upgrade=False``: the lab service is the one that changes tables).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from cyberlab_hub.errors import PartDown

BUSY_MS = 10_000
"""How long a writer of SQLite waits for another one, in milliseconds."""


class Database:
    """One connection pool. Safe to use from every thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    @classmethod
    def open(cls, url: str, *, upgrade: bool = True) -> Self:
        """Connect, and (unless told not to) bring the tables to the newest revision.

        Raises:
            PartDown: ``database-down`` when the server or the file cannot be opened.
        """
        database = cls(_engine(url))
        try:
            with database.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
            if upgrade:
                database.upgrade()
        except SQLAlchemyError as error:
            database.close()
            where = make_url(url).render_as_string(hide_password=True)
            raise PartDown("database-down", f"The lab's database {where} cannot be opened.") from error
        return database

    def upgrade(self) -> None:
        """Run the missing revisions. Does nothing when there are none."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
        with self.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back when anything is raised.

        Raises:
            PartDown: ``database-down``, when the database did not take it.
        """
        try:
            with self._sessions.begin() as session:
                yield session
        except SQLAlchemyError as error:
            raise PartDown(
                "database-down",
                "The lab's own database does not answer, so nothing was changed. Try again in a minute; "
                "tell your teacher if it goes on.",
            ) from error

    def close(self) -> None:
        self.engine.dispose()


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, pool_recycle=1800, pool_size=10, max_overflow=20)
    engine = create_engine(url, connect_args={"timeout": BUSY_MS / 1000}, pool_size=10, max_overflow=40)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        # WAL: readers (event streams, the gateway) never wait for a writer
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_MS}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine
