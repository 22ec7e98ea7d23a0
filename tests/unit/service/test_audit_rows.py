"""The audit's rows: only ever added, bounded under floods, pruned only after it was announced."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cyberlab.wire import AuditEntry
from cyberlab_hub.errors import PartDown
from cyberlab_hub.service.audit import Audit, Wanted
from cyberlab_hub.service.audit_post import AuditPost
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.floods import DONE, REFUSED, STRANGERS, Floods
from cyberlab_hub.service.models import AuditRow, now
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

URLS = ["sqlite", *filter(None, os.environ.get("CYBERLAB_TEST_DATABASE_URLS", "").split())]
"""Empty databases of other servers, to try the triggers there too."""


@pytest.fixture(params=URLS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/lab.sqlite" if request.param == "sqlite" else request.param
    opened = Database.open(url)
    yield opened
    if request.param != "sqlite":
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(AuditRow.__module__.replace(".", "/"))))
        folder = Path(__file__).parents[3] / "hub" / "cyberlab_hub" / "migrations"
        config.set_main_option("script_location", str(folder))
        with opened.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "base")
    opened.close()


def entry(**changes: object) -> AuditEntry:
    plain = {
        "at": now(), "actor": "anna", "action": "start_build", "object": "anna/x", "allowed": True,
        "reason": "", "address": "10.0.0.9",
    }  # fmt: skip
    return AuditEntry.model_validate(plain | changes)


# ---------------------------------------------------------------- only ever added
def test_the_orm_changes_and_removes_no_row(database: Database) -> None:
    Audit(database).record(entry(actor="a" * 999, object="y" * 999, address="z" * 999))
    with pytest.raises(RuntimeError), database.session() as session:
        session.scalars(select(AuditRow)).one().actor = "nobody"
    with pytest.raises(RuntimeError), database.session() as session:
        session.delete(session.scalars(select(AuditRow)).one())
    assert Audit(database).newest(1)[0].actor == "a" * 255


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "UPDATE audit SET allowed = true WHERE id = 1",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 1",
    ],
)
def test_the_database_itself_changes_and_removes_no_row(database: Database, statement: str) -> None:
    Audit(database).record(entry())
    before = Audit(database).newest(10)
    with pytest.raises(DBAPIError, match="rows of the audit"), database.engine.begin() as connection:
        connection.execute(text(statement))
    assert Audit(database).newest(10) == before


def test_a_row_cannot_be_replaced_by_another_of_its_number(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/lab.sqlite")
    Audit(database).record(entry())
    replace = "INSERT OR REPLACE INTO audit SELECT * FROM (SELECT * FROM audit LIMIT 1)"
    with pytest.raises(DBAPIError, match="never changed"), database.engine.begin() as connection:
        connection.execute(text(replace))
    database.close()


# ---------------------------------------------------------------- retention
def test_what_is_too_old_goes_and_a_row_says_so(database: Database) -> None:
    audit = Audit(database)
    for days in (400, 380, 366, 364, 1):
        audit.add(entry(at=now() - timedelta(days=days), object=f"{days} days"))
    assert audit.prune(365) == 3
    kept = audit.following(0, 10)
    assert [(e.actor, e.action, e.object) for e in kept[:2]] == [
        ("anna", "start_build", "364 days"),
        ("anna", "start_build", "1 days"),
    ]
    assert (kept[2].actor, kept[2].action, kept[2].reason) == ("lab", "prune_audit", "kept for 365 days")
    assert kept[2].object.startswith("3 rows from before ")
    assert audit.prune(365) == 0, "nothing more to remove, and no row about nothing"
    assert len(audit.following(0, 10)) == 3


def test_an_announcement_covers_nothing_younger(database: Database) -> None:
    audit = Audit(database)
    audit.add(entry(at=now() - timedelta(days=9)), entry(at=now() - timedelta(days=1), object="young"))
    audit.prune(5)
    young = audit.following(0, 1)[0]
    assert young.object == "young"
    with pytest.raises(DBAPIError, match="rows of the audit"), database.engine.begin() as connection:
        connection.execute(text("DELETE FROM audit WHERE id = :id"), {"id": young.id})
    with pytest.raises(DBAPIError, match="rows of the audit"), database.engine.begin() as connection:
        connection.execute(text("DELETE FROM audit WHERE action = 'prune_audit'"))


def test_nothing_goes_without_a_retention(database: Database) -> None:
    audit = Audit(database)
    audit.add(entry(at=now() - timedelta(days=9_000)))
    assert audit.prune(0) == 0
    assert len(audit.following(0, 10)) == 1


def test_many_rows_go_in_several_steps(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyberlab_hub.service.audit.REMOVED_AT_ONCE", 7)
    audit = Audit(database)
    audit.add(*(entry(at=now() - timedelta(days=30), object=str(n)) for n in range(30)), entry(object="new"))
    assert audit.prune(7) == 30
    assert [e.object for e in audit.following(0, 100)][:1] == ["new"]


# ---------------------------------------------------------------- reading
@pytest.mark.parametrize("end", ["\n", "\u2028", "\u0085", "\x1b[2K", "\u202e"])
def test_a_name_is_no_second_row(database: Database, end: str) -> None:
    """Readers of JSON lines take what Python calls a line end for one."""
    audit = Audit(database)
    audit.add(entry(object=f'air{end}{{"id": 1, "actor": "ben"}}'))
    (row,) = audit.newest(1)
    assert row.object.startswith("air?")
    assert len(row.model_dump_json().splitlines()) == 1


def test_rows_are_found_by_each_filter(database: Database) -> None:
    audit = Audit(database)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    audit.add(
        entry(at=at, object="anna/50%_off"),
        entry(at=at + timedelta(days=1), actor="ben", allowed=False, reason="quota-builds"),
        entry(
            at=at + timedelta(days=2), actor="", action="list_images", allowed=False, reason="token-refused"
        ),
    )

    def found(**wanted: object) -> list[int]:
        return [e.id for e in audit.following(0, 10, Wanted(**wanted))]  # type: ignore[arg-type]  # as the caller says

    one, two, three = (e.id for e in audit.following(0, 10))
    assert found(actor="ben") == [two]
    assert found(actor="") == [three]
    assert found(action="start_build") == [one, two]
    assert found(object="0%_o") == [one], "wildcards of SQL are only characters"
    assert found(object="%") == [one]
    assert found(reason="quota") == [two]
    assert found(allowed=False) == [two, three]
    assert found(since=at + timedelta(days=1)) == [two, three]
    assert found(until=at + timedelta(days=1)) == [one]
    assert found(actor="ben' OR '1'='1") == []
    assert [e.id for e in audit.newest(2)] == [three, two]
    assert [e.id for e in audit.newest(2, before=two)] == [one]
    assert [e.id for e in audit.following(one, 1)] == [two]
    assert audit.last_id() == three


def test_a_long_log_is_read_page_by_page(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyberlab_hub.service.audit.PAGE", 4)
    audit = Audit(database)
    audit.add(*(entry(object=str(n)) for n in range(13)))
    assert [e.object for e in audit.everything(0, None)] == [str(n) for n in range(13)]
    assert [e.object for e in audit.everything(0, 6)] == [str(n) for n in range(6)]


# ---------------------------------------------------------------- floods
class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_strangers_get_a_row_a_minute_and_a_count(database: Database) -> None:
    clock = Clock()
    audit = Audit(database, Floods(clock))
    for _ in range(50):
        audit.record(entry(actor="", action="list_images", allowed=False, reason="token-missing"))
    audit.record(entry(actor="", action="list_images", allowed=False, address="10.0.0.8"))
    assert [e.times for e in audit.following(0, 100)] == [1, 1]
    clock.at = 61
    audit.flush()
    counted = audit.following(0, 100)[2]
    assert (counted.times, counted.action, counted.address) == (49, "list_images", "10.0.0.9")


def test_many_strangers_together_get_few_rows(database: Database) -> None:
    clock = Clock()
    audit = Audit(database, Floods(clock))
    for n in range(2_000):
        audit.record(
            entry(actor="", action=f"call {n % 50}", allowed=False, address=f"10.0.{n // 250}.{n % 250}")
        )
    assert len(audit.following(0, 5_000)) == STRANGERS
    audit.close()
    rows = audit.following(0, 5_000)
    assert len(rows) == STRANGERS + 1
    assert (rows[-1].times, rows[-1].address, rows[-1].actor) == (2_000 - STRANGERS, "(several)", "")


def test_an_accounts_flood_is_counted_and_hides_nobody_elses_acts(database: Database) -> None:
    clock = Clock()
    audit = Audit(database, Floods(clock))
    for n in range(500):
        audit.record(entry(allowed=False, reason="quota-builds", object=f"anna/x{n}"))
    audit.record(entry(actor="ben", allowed=False, reason="quota-builds"))
    audit.record(entry(object="anna/done"))
    rows = audit.following(0, 1_000)
    assert len(rows) == REFUSED + 2
    assert [e.actor for e in rows[-2:]] == ["ben", "anna"]
    clock.at = 61
    audit.record(entry(object="next"))
    last = audit.following(0, 1_000)[-2:]
    assert (last[0].times, last[0].reason, last[0].object) == (500 - REFUSED, "quota-builds", "(several)")
    assert last[1].object == "next"


def test_points_from_a_notebook_are_one_row_a_minute(database: Database) -> None:
    audit = Audit(database, Floods(Clock()))
    for _ in range(600):
        audit.record(entry(action="write_points", object=""))
    for _ in range(DONE):
        audit.record(entry())
    rows = audit.following(0, 1_000)
    assert sum(e.action == "write_points" for e in rows) == 1
    assert sum(e.action == "start_build" for e in rows) == DONE


# ---------------------------------------------------------------- databases that are away
class Broken:
    """A database that does not answer."""

    def session(self) -> object:
        raise PartDown("database-down", "away")


def test_a_database_that_is_away_costs_a_line_in_the_log_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Audit(Broken()).record(entry(object="anna/lost"))  # type: ignore[arg-type]  # all that it needs
    assert "anna/lost" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_process_that_may_not_wait_posts(database: Database) -> None:
    post = AuditPost(lambda: Audit(database))
    for n in range(5):
        post.put(entry(object=str(n)))
    post.close()
    assert [e.object for e in Audit(database).following(0, 10)] == ["0", "1", "2", "3", "4"]


def test_posting_never_waits_for_a_database(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cyberlab_hub.service.audit_post.WAITING", 3)
    caplog.set_level(logging.ERROR)
    go = threading.Event()

    def away() -> Audit:
        go.wait(10)
        raise PartDown("database-down", "away")

    post = AuditPost(away)
    for n in range(20):
        post.put(entry(object=f"entry {n}"))  # a put that waited would hang here: nobody reads
    go.set()
    post.close()
    assert "entry 19" in caplog.text
    assert "3 others wait" in caplog.text
