"""The 2.x store, on a stand-in for the documented API (there is no 2.x server in the distribution's packages)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cyberlab_hub.errors import NotAllowed, NotFound, PartDown
from cyberlab_hub.ingest.influx2 import Influx2Store
from cyberlab_hub.ingest.store import FLEET, Means, database_of
from fake_influx2 import OPERATOR, ORG, State, influx2

T = 1_700_000_000_000_000_000
Fake = tuple[str, State]


@pytest.fixture
def fake() -> Iterator[Fake]:
    with influx2() as running:
        yield running


@pytest.fixture
def store(fake: Fake) -> Iterator[Influx2Store]:
    store = Influx2Store(fake[0], OPERATOR, ORG)
    store.set_up()
    yield store
    store.close()


def read(store: Influx2Store, reader: str, database: str) -> list[str]:
    return b"".join(store.query(reader, database, "SELECT value FROM t")).decode().splitlines()


def test_a_bucket_with_its_mapping_for_each_owner(store: Influx2Store, fake: Fake) -> None:
    store.ensure_owner("anna")
    store.ensure_owner("anna")
    store.set_up()
    assert set(fake[1].buckets) == {"fleet", "lab", database_of("anna")}
    assert [(d["database"], d["retention_policy"], d["default"]) for d in fake[1].dbrps] == [
        ("fleet", "autogen", True),
        ("lab", "autogen", True),
        (database_of("anna"), "autogen", True),
    ]
    assert store.ping() == "2.7.11"


def test_points_are_read_back_with_a_token_that_reads_only(store: Influx2Store, fake: Fake) -> None:
    store.ensure_owner("anna")
    assert not store.write(database_of("anna"), b"t value=1 %d" % T)
    assert read(store, "anna", database_of("anna")) == ["name,tags,time,value", f"t,,{T},1"]
    (token,) = fake[1].authorizations.values()
    assert {p["action"] for p in token["permissions"]} == {"read"}
    assert {p["resource"]["id"] for p in token["permissions"]} == set(fake[1].buckets.values())
    assert store.measurements("anna", FLEET)[0].tags == ("device",)


def test_sharing_changes_what_influxdb_lets_the_reader_see(store: Influx2Store, fake: Fake) -> None:
    store.ensure_owner("anna")
    store.write(database_of("anna"), b"t value=1 %d" % T)
    for _ in range(2):
        with pytest.raises(NotAllowed) as error:
            read(store, "ben", database_of("anna"))
        assert error.value.code == "database-not-shared"
        store.share("anna", "ben")
        assert len(read(store, "ben", database_of("anna"))) == 2
        store.unshare("anna", "ben")
    store.unshare("anna", "anna")
    assert len(read(store, "anna", database_of("anna"))) == 2
    assert len(fake[1].authorizations) == 2, "old tokens are gone"


def test_what_is_shared_outlives_a_restart_and_no_token_is_kept(store: Influx2Store, fake: Fake) -> None:
    store.ensure_owner("anna")
    store.share("anna", "ben")
    restarted = Influx2Store(fake[0], OPERATOR, ORG)
    assert len(read(restarted, "ben", database_of("anna"))) == 1
    # the first process finds its token gone and makes one again
    assert len(read(store, "ben", database_of("anna"))) == 1
    restarted.close()


def test_refused_lines_and_a_bucket_that_was_deleted(store: Influx2Store, fake: Fake) -> None:
    store.ensure_owner("anna")
    (refused,) = store.write(database_of("anna"), b't value=1 %d\nt value="x" %d' % (T, T + 1))
    assert refused.line == 2
    assert "cannot become string" in refused.reason
    del fake[1].buckets[database_of("anna")]
    with pytest.raises(NotFound):
        store.write(database_of("anna"), b"t value=1 %d" % T)
    store.ensure_owner("anna")
    assert not store.write(database_of("anna"), b"t value=1 %d" % T)


def test_a_wrong_token_of_the_lab_says_what_to_do_and_is_not_told(fake: Fake) -> None:
    store = Influx2Store(fake[0], "wrong-token", ORG)
    for call in (store.set_up, lambda: store.write("fleet", b"t value=1 1")):
        with pytest.raises(PartDown, match=r"influx\.token") as error:
            call()
        assert "wrong-token" not in str(error.value)
    store.close()


def test_nothing_answers() -> None:
    store = Influx2Store("http://127.0.0.1:9", OPERATOR, ORG)
    for call in (store.ping, store.set_up, lambda: store.query("anna", FLEET, "SELECT value FROM t")):
        with pytest.raises(PartDown):
            call()
    store.close()


def test_the_space_of_each_owner_is_what_the_metrics_say(store: Influx2Store, fake: Fake) -> None:
    assert store.spaces() is None, "a server that hides its metrics"
    store.ensure_owner("anna")
    mine, fleet = fake[1].buckets[database_of("anna")], fake[1].buckets[FLEET]
    fake[1].metrics = (
        "# HELP storage_shard_disk_size x\n"
        f'storage_shard_disk_size{{bucket="{mine}",engine="tsm1",id="1"}} 1.5e+06\n'
        f'storage_shard_disk_size{{bucket="{mine}",engine="tsm1",id="2"}} 500\n'
        f'storage_shard_disk_size{{id="3",my_bucket="{mine}",bucket="{fleet}"}} 7\n'
        f'storage_shard_disk_size_total{{bucket="{mine}"}} 9\n'
    )
    assert store.spaces() == {database_of("anna"): 1_500_500, FLEET: 7, "lab": 0}


def test_means_are_flux_whose_names_travel_as_parameters(store: Influx2Store, fake: Fake) -> None:
    store.ensure_owner("anna")
    name = 'x" or true) |> to(bucket: "fleet") // ${1}'
    hour = 3600 * 10**9
    store.make_means(database_of("anna"), Means(name, f"{name}_1h", 3600, 10 * hour, 12 * hour))
    assert len(fake[1].flux) == 4
    for asked, suffix in zip(fake[1].flux, ("", "_min", "_max", "_count"), strict=True):
        assert "fleet" not in asked["query"]
        given = {
            one["assignment"]["id"]["name"]: one["assignment"]["init"] for one in asked["extern"]["body"]
        }
        assert given["_measurement"] == {"type": "StringLiteral", "value": name}
        assert given["_target"]["value"] == f"{name}_1h"
        assert given["_bucket"]["value"] == database_of("anna")
        assert given["_suffix"]["value"] == suffix
        assert given["_start"]["type"] == "DateTimeLiteral"
        assert given["_start"]["value"].startswith("1970-01-01T10:00:00.000000")
        assert [one["value"] for one in given["_fields"]["elements"]] == ["value"]
        assert 'timeSrc: "_start"' in asked["query"]


def test_what_is_dropped_is_gone_with_its_reader_and_may_come_again(store: Influx2Store, fake: Fake) -> None:
    for owner in ("anna", "ben"):
        store.ensure_owner(owner)
        read(store, owner, database_of(owner))
    assert store.databases() == (database_of("anna"), database_of("ben"))
    store.drop(database_of("anna"))
    assert store.databases() == (database_of("ben"),)
    assert [d["database"] for d in fake[1].dbrps] == ["fleet", "lab", database_of("ben")]
    assert len(fake[1].authorizations) == 1
    with pytest.raises(ValueError, match="no owner's"):
        store.drop(FLEET)
    store.ensure_owner("anna")
    assert len(read(store, "anna", database_of("anna"))) == 1
