"""What the line checks let through means to a real InfluxDB what it means to us."""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Iterator

import pytest
from cyberlab_edge.points import Point
from cyberlab_hub.ingest.influx1 import Influx1Store
from cyberlab_hub.ingest.intake import take
from cyberlab_hub.ingest.lines import Batch
from cyberlab_hub.ingest.store import database_of
from influx_server import Server, influxd  # noqa: F401 - a fixture

T = 1_700_000_000_000_000_000
TAGS = {"deployment": "green house", "device": "pi01"}


@pytest.fixture
def store(influxd: Server) -> Iterator[Influx1Store]:  # noqa: F811 - the fixture
    store = Influx1Store(influxd.url, influxd.password, "derive")
    store.set_up()
    yield store
    store.close()


def ask(store: Influx1Store, owner: str, influxql: str) -> list[dict[str, str]]:
    answer = b"".join(store.query(owner, database_of(owner), influxql)).decode()
    return list(csv.DictReader(answer.splitlines()))


def test_no_accepted_line_belongs_to_another_device(store: Influx1Store) -> None:
    """Thousands of lines out of the characters that matter, most of them nonsense."""
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret
    pieces = [
        *'t,= \\"1ia.#_',
        "device",
        "deployment",
        "pi02",
        "pi01",
        ",device=pi02",
        " v=1",
        "\\,",
        "\\ ",
        "\\=",
        '\\"',
    ]
    lines = [
        f"t{''.join(chance.choices(pieces, k=chance.randint(0, 9)))} v=1 {T + i}".encode()
        for i in range(20_000)
    ]
    written = take(store, "fuzz", Batch(b"\n".join(lines)), TAGS)
    assert 200 < written.written < 19_000
    series = [row["key"] for row in ask(store, "fuzz", "SHOW SERIES")]
    assert len(series) > 100
    for key in series:
        assert re.findall(r"(?<!\\),device=((?:[^,\\]|\\.)*)", key) == ["pi01"], key
        assert re.findall(r"(?<!\\),deployment=((?:[^,\\]|\\.)*)", key) == ["green\\ house"], key
    assert {row["value"] for row in ask(store, "fuzz", 'SHOW TAG VALUES WITH KEY = "device"')} == {"pi01"}


@pytest.mark.parametrize("tag", ["a b", "a,b", "a=b", "C:\\temp", "°C", 'say "hi"', "'", "\\x", "a" * 256])
@pytest.mark.parametrize("text", ["", 'a "b" \\ c', "x\\", "\\\\", "tab\there", "a,b=c d", "ü"])
def test_texts_and_tags_come_back_as_they_went(store: Influx1Store, tag: str, text: str) -> None:
    point = Point("texts and tags", {"note text": text, "n": 1.5}, T, {"room 1": tag})
    assert take(store, "texts", Batch(point.line().encode()), TAGS).refused == ()
    rows = ask(store, "texts", 'SELECT "n", "note text", "room 1" FROM "texts and tags"')
    assert [(row["note text"], row["n"]) for row in rows if row["room 1"] == tag] == [(text, "1.5")]


@pytest.mark.parametrize(
    "number", [0.1, -0.0, 1e-300, 1.7976931348623157e308, 5e-324, 123456789.123456789, 2.0**53, 1e16, -1.5e-7]
)
def test_floats_come_back_exactly(store: Influx1Store, number: float) -> None:
    point = Point("floats", {"value": number}, T)
    take(store, "floats", Batch(point.line().encode()), TAGS)
    (row,) = ask(store, "floats", "SELECT value FROM floats")
    assert float(row["value"]) == number
