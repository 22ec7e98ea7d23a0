"""Means of windows, on the fake and on every InfluxDB: what is in them, and that making them again changes nothing."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from cyberlab_hub.ingest.influx import ident
from cyberlab_hub.ingest.store import Means, Selection, Store, database_of
from fakes import FakeStore
from influx_server import influxd  # noqa: F401 - a fixture
from test_store import anna, influx, store  # noqa: F401 - fixtures

HOUR = 3600 * 10**9
DAY = 24 * HOUR
T0 = 1_700_006_400 * 10**9  # the beginning of a day in UTC
ALWAYS = (-(2**63) + 2, 2**63 - 2)


def written(store: Store, owner: str, *lines: str) -> str:  # noqa: F811 - the fixture
    store.ensure_owner(owner)
    assert not store.write(database_of(owner), "\n".join(lines).encode())
    return database_of(owner)


def rows(store: Store, owner: str, measurement: str) -> list[dict[str, Any]]:  # noqa: F811
    """Every point with its tags, by time."""
    text = b"".join(
        store.query(owner, database_of(owner), f"SELECT * FROM {ident(measurement)} WHERE time > 0")  # noqa: S608 - quoted
    )
    return [
        {key: value for key, value in row.items() if value != "" and key not in ("name", "tags")}
        for row in csv.DictReader(text.decode().splitlines())
    ]


def count(store: Store, owner: str, measurement: str) -> int:  # noqa: F811
    return store.count(database_of(owner), Selection(*ALWAYS, measurement))


def test_a_mean_for_each_series_and_window_made_once(store: Store, anna: str) -> None:  # noqa: F811
    lines = [
        f"air,device={device} co2={400 + minute} {T0 + minute * 60 * 10**9}"
        for device in ("pi01", "pi02")
        for minute in range(0, 180, 10)
    ]
    database = written(store, anna, *lines)
    wanted = Means("air", "air_1h", 3600, T0, T0 + DAY)
    for _ in range(2):
        store.make_means(database, wanted)
        assert count(store, anna, "air_1h") == 6
        assert count(store, anna, "air") == 36
    assert store.first(database, "air_1h", 0, 2**62) == T0
    assert store.first(database, "air", T0 + 1, 2**62) == T0 + 600 * 10**9
    assert store.first(database, "air", T0 + DAY, 2**62) is None
    assert store.first(database, "nothing", 0, 2**62) is None


def test_a_late_reading_changes_its_window_and_no_other(store: Store, anna: str) -> None:  # noqa: F811
    database = written(store, anna, f"t value=1 {T0}", f"t value=10 {T0 + HOUR}")
    store.make_means(database, Means("t", "t_1h", 3600, T0, T0 + 2 * HOUR))
    written(store, anna, f"t value=3 {T0 + 5}", f"t value=99 {T0 + HOUR + 1}")
    store.make_means(database, Means("t", "t_1h", 3600, T0, T0 + HOUR))
    if isinstance(store, FakeStore):
        assert {line.split(b" ")[1] for line in store.lines[database] if line.startswith(b"t_1h")} == {
            b"value=2.0,value_min=1.0,value_max=3.0,value_count=2i",
            b"value=10.0,value_min=10.0,value_max=10.0,value_count=1i",
        }
        return
    first, second = rows(store, anna, "t_1h")
    assert (first["value"], first["value_min"], first["value_max"], first["value_count"]) == (
        "2",
        "1",
        "3",
        "2",
    )
    assert (second["value"], second["value_count"]) == ("10", "1")


# ---------------------------------------------------------------- only a real one has types, tags and odd names
def test_text_is_left_out_and_tags_stay(influx: Store, anna: str) -> None:  # noqa: F811
    database = written(
        influx,
        anna,
        f'air,device=pi01,deployment=greenhouse,unit=ppm co2=400i,note="hot",ok=true {T0}',
        f"air,device=pi01,deployment=greenhouse,unit=ppm co2=500i,hum=0.5 {T0 + 1}",
        f"air,device=pi02 hum=1 {T0 + HOUR}",
    )
    influx.make_means(database, Means("air", "air_1h", 3600, T0, T0 + DAY))
    assert rows(influx, anna, "air_1h") == [
        {
            "time": str(T0), "device": "pi01", "deployment": "greenhouse", "unit": "ppm",
            "co2": "450", "co2_min": "400", "co2_max": "500", "co2_count": "2",
            "hum": "0.5", "hum_min": "0.5", "hum_max": "0.5", "hum_count": "1",
        },
        {
            "time": str(T0 + HOUR), "device": "pi02",
            "hum": "1", "hum_min": "1", "hum_max": "1", "hum_count": "1",
        },
    ]  # fmt: skip


def test_a_measurement_without_numbers_gives_nothing(influx: Store, anna: str) -> None:  # noqa: F811
    database = written(influx, anna, f'log text="x",ok=true {T0}')
    influx.make_means(database, Means("log", "log_1h", 3600, T0, T0 + DAY))
    influx.make_means(database, Means("nothing", "nothing_1h", 3600, T0, T0 + DAY))
    assert [m.measurement for m in influx.measurements(anna, database)] == ["log"]


def test_an_own_field_wins_over_one_of_ours(influx: Store, anna: str) -> None:  # noqa: F811
    database = written(influx, anna, f"t v=1,v_min=7 {T0}", f"t v=3,v_min=9 {T0 + 1}")
    influx.make_means(database, Means("t", "t_1d", 86_400, T0, T0 + DAY))
    (row,) = rows(influx, anna, "t_1d")
    assert (row["v"], row["v_min"], row["v_min_min"], row["v_max"]) == ("2", "8", "7", "3")


def test_integers_in_one_year_and_floats_in_the_next(influx: Store, anna: str) -> None:  # noqa: F811
    earlier = T0 - 800 * DAY
    database = written(influx, anna, f"t v=4i {earlier}", f"t v=1.5 {T0}")
    for start in (earlier, T0):
        influx.make_means(database, Means("t", "t_1d", 86_400, start, start + DAY))
    assert [row["v_min"] for row in rows(influx, anna, "t_1d")] == ["4", "1.5"]


def test_more_fields_than_one_statement_takes(influx: Store, anna: str) -> None:  # noqa: F811
    database = written(influx, anna, f"t {','.join(f'f{n}={n}' for n in range(130))} {T0}")
    influx.make_means(database, Means("t", "t_1d", 86_400, T0, T0 + DAY))
    (row,) = rows(influx, anna, "t_1d")
    assert (len(row), row["f129_max"]) == (1 + 4 * 130, "129")


@pytest.mark.parametrize(
    ("line", "name", "field"),
    [
        ("o'b\\ \"x", "o'b \"x", "v"),
        ('x";\\ DROP\\ DATABASE\\ "fleet', 'x"; DROP DATABASE "fleet', "v"),
        ("größe", "größe", "länge"),
        ("/.*/", "/.*/", "v"),
        ("t", "t", "count(v)"),
        ("t", "t", 'v") INTO "fleet".."stolen" FROM "t" --'),
        (":MEASUREMENT", ":MEASUREMENT", "time_"),
    ],
)
def test_odd_names_are_names(influx: Store, anna: str, line: str, name: str, field: str) -> None:  # noqa: F811
    escaped = field.replace(" ", "\\ ")
    database = written(influx, anna, f"{line} {escaped}=1 {T0}", f"other {escaped}=5 {T0}")
    influx.make_means(database, Means(name, f"{name}_1h", 3600, T0, T0 + DAY))
    assert count(influx, anna, f"{name}_1h") == 1
    there = {m.measurement: m.fields for m in influx.measurements(anna, database)}
    assert set(there) == {name, f"{name}_1h", "other"}
    assert {field, f"{field}_min", f"{field}_max", f"{field}_count"} == set(there[f"{name}_1h"])
    influx.delete(database, Selection(*ALWAYS, name))
    assert (count(influx, anna, name), count(influx, anna, f"{name}_1h")) == (0, 1)
