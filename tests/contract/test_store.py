"""What every `Store` promises, on the fake that other tests use, on a real InfluxDB 1.x, and on every server that
`CYBERLAB_TEST_INFLUX_URLS` names (see `influx_named`)."""

from __future__ import annotations

import csv
import secrets
from collections.abc import Iterator

import pytest
from cyberlab_hub.errors import NotAllowed, NotFound, PartDown, QueryRefused
from cyberlab_hub.ingest.influx1 import Influx1Store
from cyberlab_hub.ingest.store import FLEET, Store, database_of
from fakes import FakeStore
from influx_named import EVERYWHERE, ON_EVERY_SERVER, Named
from influx_server import Server, influxd  # noqa: F401 - a fixture

T0 = 1_700_000_000_000_000_000


@pytest.fixture(params=EVERYWHERE, ids=str)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "fake":
        yield FakeStore()
        return
    yield from opened(request)


@pytest.fixture(params=ON_EVERY_SERVER, ids=str)
def influx(request: pytest.FixtureRequest) -> Iterator[Store]:
    yield from opened(request)


def opened(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A server of the tests' own, or one that the environment names."""
    if isinstance(request.param, Named):
        with request.param.open() as store:
            yield store
        return
    yield from real(request.getfixturevalue("influxd"))


def real(server: Server) -> Iterator[Influx1Store]:
    store = Influx1Store(server.url, server.password, "derive")
    store.set_up()
    yield store
    store.close()


@pytest.fixture
def anna() -> str:
    """A user of one test."""
    return f"anna-{secrets.token_hex(4)}"


@pytest.fixture
def ben() -> str:
    return f"ben@{secrets.token_hex(4)}"


def text(store: Store, reader: str, database: str, influxql: str) -> str:
    return b"".join(store.query(reader, database, influxql)).decode()


def rows(store: Store, reader: str, database: str, influxql: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text(store, reader, database, influxql).splitlines()))


# ---------------------------------------------------------------- fake and real
def test_points_written_are_read_back(store: Store, anna: str) -> None:
    store.ensure_owner(anna)
    assert store.write(database_of(anna), b"t value=1 %d\nt value=2 %d" % (T0, T0 + 1)) == ()
    assert len(text(store, anna, database_of(anna), "SELECT value FROM t").splitlines()) == 3
    assert [m.measurement for m in store.measurements(anna, database_of(anna))] == ["t"]


def test_a_reader_sees_others_only_while_they_share(store: Store, anna: str, ben: str) -> None:
    store.ensure_owner(anna)
    store.ensure_owner(ben)
    store.write(database_of(anna), b"t value=1 %d" % T0)
    for _ in range(2):
        with pytest.raises(NotAllowed) as refusal:
            text(store, ben, database_of(anna), "SELECT value FROM t")
        assert refusal.value.code == "database-not-shared"
        store.share(anna, ben)
        assert len(text(store, ben, database_of(anna), "SELECT value FROM t").splitlines()) == 2
        store.unshare(anna, ben)
        store.unshare(anna, ben)
    assert "value" in text(store, anna, database_of(anna), "SELECT value FROM t"), "her own right stays"


def test_everyone_reads_the_fleet(store: Store, anna: str) -> None:
    store.ensure_owner(anna)
    store.write(FLEET, b"system,device=%s cpu=1 %d" % (anna.encode(), T0))
    assert "cpu" in text(store, anna, FLEET, "SELECT cpu FROM system") or isinstance(store, FakeStore)


def test_a_query_that_the_database_does_not_understand_is_refused(store: Store, anna: str) -> None:
    store.ensure_owner(anna)
    with pytest.raises(QueryRefused) as refusal:
        text(store, anna, database_of(anna), "SELEKT value")
    assert refusal.value.code == "query-refused"


def test_writing_where_no_database_is(store: Store) -> None:
    with pytest.raises(NotFound):
        store.write("u_nobody_0000000000", b"t value=1 1")


# ---------------------------------------------------------------- InfluxDB itself
def test_setting_up_twice_changes_nothing(influx: Influx1Store, anna: str) -> None:
    influx.ensure_owner(anna)
    influx.set_up()
    assert influx.ping().startswith("1.")


@pytest.mark.parametrize(
    "influxql",
    [
        "SELECT value INTO stolen FROM t",
        'SELECT value INTO "fleet".."stolen" FROM t',
        "DROP MEASUREMENT t",
        "DELETE FROM t",
        "DROP SERIES FROM t",
        "CREATE DATABASE mine",
        "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT mean(value) INTO x FROM t GROUP BY time(1m) END",
        "SELECT value FROM t; DROP MEASUREMENT t",
        "SELECT value FROM t;\n\n-- hello\nDROP MEASUREMENT t",
        "SELECT value FROM t;/* ; */ DELETE FROM t",
        "GRANT ALL TO r_anna",
        "SET PASSWORD FOR admin = 'x'",
        "SHOW QUERIES",
        "SHOW CONTINUOUS QUERIES",
        "SHOW USERS",
        "KILL QUERY 1",
        "EXPLAIN ANALYZE SELECT value INTO x FROM t",
        "  drop measurement t",
    ],
)
def test_a_query_cannot_write_or_look_around(influx: Influx1Store, anna: str, influxql: str) -> None:
    influx.ensure_owner(anna)
    influx.write(database_of(anna), b"t value=1 %d" % T0)
    with pytest.raises(QueryRefused):
        text(influx, anna, database_of(anna), influxql)
    assert rows(influx, anna, database_of(anna), "SELECT value FROM t")[0]["value"] == "1"
    assert [m.measurement for m in influx.measurements(anna, database_of(anna))] == ["t"]


@pytest.mark.parametrize("influxql", ["SELECT value INTO x FROM t", "DROP MEASUREMENT t", "DELETE FROM t"])
def test_influxdb_refuses_by_itself_what_the_gate_would_let_through(
    influx: Influx1Store, anna: str, influxql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cyberlab_hub.ingest.influx.check_reads", lambda _: None)
    influx.ensure_owner(anna)
    influx.write(database_of(anna), b"t value=1 %d" % T0)
    with pytest.raises(QueryRefused, match="not authorized"):
        text(influx, anna, database_of(anna), influxql)
    assert rows(influx, anna, database_of(anna), "SELECT value FROM t")


def test_naming_another_database_in_the_query_is_no_way_around(
    influx: Influx1Store, anna: str, ben: str
) -> None:
    for owner in (anna, ben):
        influx.ensure_owner(owner)
    influx.write(database_of(anna), b"t value=1 %d" % T0)
    for influxql in (
        f'SELECT value FROM "{database_of(anna)}".."t"',  # noqa: S608 - what a thief would ask
        f'SELECT value FROM t, "{database_of(anna)}".autogen.t',  # noqa: S608
        f'SELECT value FROM (SELECT value FROM "{database_of(anna)}".."t")',  # noqa: S608
        f'SHOW MEASUREMENTS ON "{database_of(anna)}"',
        f'SHOW TAG VALUES ON "{database_of(anna)}" WITH KEY = "device"',
    ):
        with pytest.raises(NotAllowed):
            text(influx, ben, database_of(ben), influxql)


def test_an_error_during_the_query_is_told_and_not_an_empty_answer(influx: Influx1Store, anna: str) -> None:
    influx.ensure_owner(anna)
    influx.write(database_of(anna), b"t value=1 %d" % T0)
    with pytest.raises(QueryRefused, match="undefined function"):
        text(influx, anna, database_of(anna), "SELECT nonsense(value) FROM t")
    with pytest.raises(QueryRefused, match="expected FROM"):
        text(influx, anna, database_of(anna), "SELECT value FORM t")
    assert text(influx, anna, database_of(anna), "SELECT value FROM nothing") == ""
    assert text(influx, anna, database_of(anna), "SELECT value FROM nothing;") == ""
    assert (
        text(influx, anna, database_of(anna), "SELECT value FROM t -- why")
        == f"name,tags,time,value\nt,,{T0},1\n"
    )


def test_a_long_answer_is_complete_and_ends_where_it_should(influx: Influx1Store, anna: str) -> None:
    influx.ensure_owner(anna)
    lines = b"\n".join(b"t,s=a value=%d %d" % (i, T0 + i) for i in range(25_000))
    assert not influx.write(database_of(anna), lines)
    pieces = list(influx.query(anna, database_of(anna), "SELECT value FROM t GROUP BY *"))
    answer = b"".join(pieces).decode().splitlines()
    assert len(pieces) > 3, "it comes in pieces"
    assert answer[0] == "name,tags,time,value"
    assert answer[-1] == f"t,s=a,{T0 + 24_999},24999"
    assert len(answer) == 25_001


def test_leaving_in_the_middle_gives_the_connection_back(influx: Influx1Store, anna: str) -> None:
    influx.ensure_owner(anna)
    influx.write(database_of(anna), b"\n".join(b"t value=%d %d" % (i, T0 + i) for i in range(25_000)))
    for _ in range(40):  # more than there are connections
        next(influx.query(anna, database_of(anna), "SELECT value FROM t"))


def test_lines_that_influxdb_refuses_are_named_and_the_others_written(
    influx: Influx1Store, anna: str
) -> None:
    influx.ensure_owner(anna)
    database = database_of(anna)
    influx.write(database, b"t value=1 %d" % T0)
    refused = influx.write(
        database,
        b"t value=2 %d\nt value=3i %d\nt value=4 %d\nt,a=1,a=2 value=5 %d\nother value=3i %d"
        % (T0 + 1, T0 + 2, T0 + 3, T0 + 4, T0 + 5),
    )
    assert [line.line for line in refused] == [2, 4]
    assert "is float in this database and cannot become integer" in refused[0].reason
    assert refused[1].reason == "InfluxDB says: duplicate tags"
    assert [row["value"] for row in rows(influx, anna, database, "SELECT value FROM t")] == ["1", "2", "4"]


def test_measurements_name_fields_and_tags(influx: Influx1Store, anna: str) -> None:
    influx.ensure_owner(anna)
    influx.write(database_of(anna), b'air\\ x,room=1,unit=C co2=1,note="a" %d\nplain value=1 %d' % (T0, T0))
    air, plain = influx.measurements(anna, database_of(anna))
    assert (air.measurement, air.fields, air.tags) == ("air x", ("co2", "note"), ("room", "unit"))
    assert (plain.measurement, plain.fields, plain.tags) == ("plain", ("value",), ())


def test_a_new_derive_key_and_an_emptied_influxdb_mend_themselves(influxd: Server, anna: str) -> None:  # noqa: F811
    first = Influx1Store(influxd.url, influxd.password, "key one")
    first.set_up()
    first.ensure_owner(anna)
    second = Influx1Store(influxd.url, influxd.password, "key two")
    assert text(second, anna, database_of(anna), "SHOW MEASUREMENTS") == ""
    # the first store's login is now wrong; it makes it right again by itself
    assert text(first, anna, database_of(anna), "SHOW MEASUREMENTS") == ""
    first.close()
    second.close()


def test_a_wrong_administrator_password_says_what_to_do(influxd: Server, influx: Influx1Store) -> None:  # noqa: F811
    other = Influx1Store(influxd.url, "wrong", "k")
    with pytest.raises(PartDown, match=r"influx\.admin") as error:
        other.ensure_owner("anna")
    assert "wrong" not in str(error.value)
    other.close()


def test_nothing_answers() -> None:
    store = Influx1Store("http://127.0.0.1:9", "x", "k")
    for call in (
        store.ping,
        store.set_up,
        lambda: store.write("d", b"t v=1 1"),
        lambda: store.query("a", "d", "SELECT 1"),
    ):
        with pytest.raises(PartDown) as error:
            call()
        assert error.value.code == "database-down"
    store.close()


@pytest.mark.parametrize(
    "owner", ["has@sign", "user--foo", "Анна", "x" * 64, "a", "new\nline", "quo\"te'", "fleet"]
)
def test_any_name_makes_a_database_of_its_own(influx: Influx1Store, owner: str) -> None:
    influx.ensure_owner(owner)
    influx.write(database_of(owner), b"t value=1 %d" % T0)
    assert len(rows(influx, owner, database_of(owner), "SELECT value FROM t")) == 1
    assert database_of(owner) not in (FLEET, "lab")
