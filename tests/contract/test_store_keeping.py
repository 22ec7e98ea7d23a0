"""Counting, deleting and the space of readings, on the fake and on every InfluxDB; and how servers are named."""

from __future__ import annotations

import pytest
from cyberlab_hub.errors import NotAllowed
from cyberlab_hub.ingest.store import Selection, Store, database_of
from fakes import FakeStore
from influx_named import Named, named
from influx_server import influxd  # noqa: F401 - a fixture
from test_store import anna, ben, store  # noqa: F401 - fixtures

T0 = 1_700_000_000_000_000_000
ALWAYS = (-(2**63) + 2, 2**63 - 2)


@pytest.fixture
def filled(store: Store, anna: str) -> str:  # noqa: F811 - the fixtures
    """Anna's database: 10 readings of t from each of three devices (one has an odd name), 5 of u from none."""
    store.ensure_owner(anna)
    lines = [
        b"t,device=%s value=%d %d" % (device, i, T0 + i)
        for device in (b"pi01", b"pi02", b"o'b\\ \"x")
        for i in range(10)
    ]
    lines += [b"u value=%d %d" % (i, T0 + i) for i in range(5)]
    assert not store.write(database_of(anna), b"\n".join(lines))
    return database_of(anna)


@pytest.mark.parametrize(
    ("where", "gone"),
    [
        (Selection(*ALWAYS), 35),
        (Selection(*ALWAYS, "t"), 30),
        (Selection(*ALWAYS, "u"), 5),
        (Selection(*ALWAYS, "nothing"), 0),
        (Selection(T0, T0 + 3), 12),
        (Selection(T0 + 3, T0 + 4, "t"), 3),
        (Selection(T0, T0), 0),
        (Selection(T0 + 3, T0), 0),
        (Selection(*ALWAYS, "t", ("pi01",)), 10),
        (Selection(T0, T0 + 2, "t", ("pi01", "pi02")), 4),
        (Selection(*ALWAYS, "t", ("pi09",)), 0),
        (Selection(*ALWAYS, 't"; DROP DATABASE "fleet', ("x' OR 'a'='a",)), 0),
    ],
)
def test_what_is_counted_is_what_goes(store: Store, filled: str, where: Selection, gone: int) -> None:  # noqa: F811
    assert store.count(filled, where) == gone
    store.delete(filled, where)
    assert store.count(filled, where) == 0
    assert store.count(filled, Selection(*ALWAYS)) == 35 - gone
    store.delete(filled, where)


def test_a_device_of_an_odd_name(store: Store, filled: str) -> None:  # noqa: F811
    if isinstance(store, FakeStore):
        pytest.skip("the fake does not unescape")
    where = Selection(*ALWAYS, "t", ("o'b \"x",))
    assert store.count(filled, where) == 10
    store.delete(filled, where)
    assert store.count(filled, Selection(*ALWAYS)) == 25


def test_what_is_deleted_may_be_written_again(store: Store, filled: str) -> None:  # noqa: F811
    store.delete(filled, Selection(*ALWAYS))
    assert not store.write(filled, b"t,device=pi01 value=1 %d" % T0)
    assert store.count(filled, Selection(*ALWAYS)) == 1


def test_nobody_elses_readings_go(store: Store, filled: str, ben: str) -> None:  # noqa: F811
    store.ensure_owner(ben)
    store.write(database_of(ben), b"t,device=pi01 value=1 %d" % T0)
    store.delete(filled, Selection(*ALWAYS))
    assert store.count(database_of(ben), Selection(*ALWAYS)) == 1


def test_the_space_is_known(store: Store, filled: str) -> None:  # noqa: F811
    spaces = store.spaces()
    assert spaces is None or spaces.get(filled, 0) >= 0
    assert "u_nobody_0000000000" not in (spaces or {})


# ---------------------------------------------------------------- naming servers
def test_servers_of_the_environment() -> None:
    one, two = named("influx1+http://admin:p%40ss@db:8086  influx2+https://my%20org:tok@en.example")
    assert one == Named("influx1", "http://db:8086", "admin", "p@ss")
    assert two == Named("influx2", "https://en.example", "my org", "tok")
    assert str(one) == "influx1@db:8086"
    assert named("") == []


@pytest.mark.parametrize(
    "text", ["http://admin:secret@db", "influx1+ftp://admin:secret@db", "influx1+http://db"]
)
def test_a_name_that_is_none_is_refused_without_its_secret(text: str) -> None:
    with pytest.raises(ValueError, match="number 1") as refusal:
        named(text)
    assert "secret" not in str(refusal.value)


# ---------------------------------------------------------------- dropping
def test_what_is_dropped_is_gone_and_may_come_again(store: Store, filled: str, anna: str, ben: str) -> None:  # noqa: F811
    store.ensure_owner(ben)
    store.share(anna, ben)
    assert {filled, database_of(ben)} <= set(store.databases())
    store.drop(filled)
    assert filled not in store.databases()
    assert database_of(ben) in store.databases()
    store.drop(filled)
    for common in ("fleet", "lab", "", "_internal"):
        with pytest.raises(ValueError, match="no owner's"):
            store.drop(common)
    store.ensure_owner(anna)
    assert store.count(filled, Selection(*ALWAYS)) == 0
    assert not store.write(filled, b"t value=1 %d" % T0)
    assert b"".join(store.query(anna, filled, "SELECT * FROM t WHERE time > 0")).count(b"\n") == 2
    with pytest.raises(NotAllowed):  # who had a share of the old one has none of the new one
        list(store.query(ben, filled, "SELECT * FROM t WHERE time > 0"))
