"""The database: its revisions fit its models, and what is not there is said in one sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cyberlab_hub.errors import PartDown
from cyberlab_hub.service import models_readings  # noqa: F401 - its tables are among those compared
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import ShareRow, Table
from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.schema import CreateTable


def opened(folder: Path) -> Database:
    return Database.open(f"sqlite:///{folder}/lab.sqlite")


def test_the_revisions_make_exactly_the_models(tmp_path: Path) -> None:
    database = opened(tmp_path)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    database.close()


def test_opening_it_again_changes_nothing(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with first.session() as session:
        session.add(ShareRow(owner="anna", reader="ben", created=datetime.now(UTC)))
    first.close()
    second = opened(tmp_path)
    with second.session() as session:
        assert session.get(ShareRow, ("anna", "ben"))
    second.close()


def test_it_is_in_wal_mode_with_foreign_keys(tmp_path: Path) -> None:
    database = opened(tmp_path)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_a_database_that_cannot_be_opened_is_named_without_its_password() -> None:
    with pytest.raises(PartDown) as caught:
        Database.open("sqlite:////nowhere/at/all/lab.sqlite")
    assert caught.value.code == "database-down"
    assert "/nowhere/at/all" in caught.value.message


def test_a_table_that_is_missing_is_a_database_that_is_down(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/empty.sqlite", upgrade=False)
    with pytest.raises(PartDown, match="does not answer"), database.session() as session:
        session.scalars(select(ShareRow)).all()
    database.close()


def test_times_come_back_in_utc_to_the_microsecond(tmp_path: Path) -> None:
    at = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    database = opened(tmp_path)
    with database.session() as session:
        session.add(ShareRow(owner="anna", reader="ben", created=at))
    with database.session() as session:
        row = session.get_one(ShareRow, ("anna", "ben"))
    assert row.created == at
    assert row.created.tzinfo is UTC
    database.close()


@pytest.mark.parametrize("url", ["mysql+pymysql://lab@host/lab", "postgresql+psycopg://lab@host/lab"])
def test_the_tables_can_be_written_for_other_servers(url: str) -> None:
    dialect = make_url(url).get_dialect()()
    text = "\n".join(
        str(CreateTable(table).compile(dialect=dialect)) for table in Table.metadata.sorted_tables
    )
    assert text.count("CREATE TABLE") == len(Table.metadata.tables)
    if url.startswith("mysql"):
        assert "DATETIME(6)" in text
        assert "LONGTEXT" in text
