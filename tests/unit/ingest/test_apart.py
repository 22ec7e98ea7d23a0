"""Nobody writes readings into measurements of means."""

from __future__ import annotations

from pathlib import Path

import pytest
from cyberlab.wire import RefusedLine
from cyberlab_hub.ingest import remembered
from cyberlab_hub.ingest.apart import set_apart
from cyberlab_hub.ingest.store import Store, database_of
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import now
from cyberlab_hub.service.models_readings import MeansRow
from fakes import FakeStore

OWN = database_of("anna")
T = 1_700_000_000_000_000_000


class Picky(FakeStore):
    """Refuses lines with `bad`, as InfluxDB does a field of another type."""

    def write(self, database: str, body: bytes) -> tuple[RefusedLine, ...]:
        super().write(database, body)
        lines = enumerate(body.split(b"\n"), 1)
        return tuple(RefusedLine(line=n, reason="type") for n, line in lines if b"bad" in line)


@pytest.fixture
def under() -> Picky:
    store = Picky()
    store.ensure_owner("anna")
    store.ensure_owner("ben")
    return store


@pytest.fixture
def store(under: Picky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(remembered, "FRESH_SECONDS", -1)
    database = Database.open(f"sqlite:///{tmp_path / 'lab.sqlite'}")
    with database.session() as session:
        for target, active in (("air_1h", True), ("living room_1d", False)):
            row = MeansRow(owner="anna", target=target, measurement=target[:-3], every=target[-2:])
            row.active, row.problem, row.updated = active, "", now()
            session.add(row)
    return set_apart(under, database)


def body(*heads: str) -> bytes:
    return "\n".join(f"{head} value=1 {T}" for head in heads).encode()


def test_readings_that_pass_for_means_are_refused_and_the_others_kept(store: Store, under: Picky) -> None:
    refused = store.write(
        OWN,
        body(
            "air",
            "air_1h,device=pi01",
            "t,bad=1",
            "air_1h",
            r"living\ room_1d,a=b",
            "air_1hour",
            "x,t=air_1h",
        ),
    )
    assert [r.line for r in refused] == [2, 3, 4, 5]
    assert "'living room_1d' holds means" in refused[3].reason
    assert [line.split(b" ")[0] for line in under.lines[OWN]] == [
        b"air",
        b"t,bad=1",
        b"air_1hour",
        b"x,t=air_1h",
    ]


def test_nothing_is_left(store: Store, under: Picky) -> None:
    assert [r.line for r in store.write(OWN, body("air_1h"))] == [1]
    assert under.lines[OWN] == []


def test_another_owner_may_use_the_name(store: Store) -> None:
    assert store.write(database_of("ben"), body("air_1h")) == ()


def test_the_rest_is_the_stores_own(store: Store) -> None:
    assert database_of("anna") in store.databases()
