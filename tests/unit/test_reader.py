"""From a question to a DataFrame. The database is a table of answers; the real one is in tests/contract."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from cyberlab import influxql, reader
from cyberlab.errors import QueryRefused, SpecRefused

T = 1_700_000_000_000_000_000
S = 10**9


class Database:
    """Answers a query with the first text whose key it contains; remembers what it was asked."""

    def __init__(self, kinds: dict[str, str] | None = None, **answers: str) -> None:
        keys = "".join(f"t,,{name},{kind}\n" for name, kind in (kinds or {"value": "float"}).items())
        self.answers = {"SHOW FIELD KEYS": f"name,tags,fieldKey,fieldType\n{keys}" if keys else "", **answers}
        self.asked: list[str] = []

    @contextmanager
    def __call__(self, influxql: str, db: str) -> Iterator[Iterable[bytes]]:
        self.asked.append(influxql)
        text = next((text for key, text in self.answers.items() if key in influxql), "")
        data = text.encode()
        yield (data[i : i + 7] for i in range(0, len(data), 7))  # in pieces that respect no line


def test_one_field_is_a_column_for_each_device() -> None:
    db = Database(
        SELECT="name,tags,time,value\n"
        f't,"deployment=green,device=pi01,unit=C",{T},1.5\n'
        f't,"deployment=green,device=pi01,unit=C",{T + S},2.5\n'
        f't,"deployment=green,device=pi02,unit=C",{T + S},3.5\n'
    )
    frame = reader.read(db, "t", start="-1h")
    assert frame.columns.tolist() == ["pi01", "pi02"]
    assert frame.index.tolist() == [pd.Timestamp(T, tz="UTC"), pd.Timestamp(T + S, tz="UTC")]
    assert frame.index.name == "time"
    assert frame["pi01"].tolist() == [1.5, 2.5]
    assert frame["pi02"].isna().tolist() == [True, False]
    assert frame.attrs["units"] == {"value": "C", "pi01": "C", "pi02": "C"}
    assert frame.attrs["measurement"] == "t"
    assert frame.attrs["columns"]["pi02"] == ("value", "pi02")


def test_several_fields_are_named_before_the_device() -> None:
    db = Database(
        {"co2": "float", "ok": "boolean", "note": "string"},
        SELECT=f"name,tags,time,co2,ok,note\nt,device=pi01,{T},600,true,007\nt,device=pi02,{T},,false,\n",
    )
    frame = reader.read(db, "t")
    assert frame.columns.tolist() == ["co2 pi01", "ok pi01", "ok pi02", "note pi01"]
    assert frame.iloc[0].tolist() == [600.0, True, False, "007"]


def test_long_has_a_row_for_each_reading_and_the_types_of_the_database() -> None:
    db = Database(
        {"n": "integer", "ok": "boolean", "note": "string", "x": "float"},
        SELECT="name,tags,time,n,ok,note,x\n"
        f't,"device=pi02,room=b\\ 12\\,a",{T + S},9007199254740993,true,007,1\n'
        f"t,device=pi01,{T},,,NA,\n"
        f"t,,{T + 2 * S},1,false,,0.1\n",
    )
    frame = reader.read(db, "t", layout="long")
    assert frame.columns.tolist() == ["device", "room", "n", "ok", "note", "x"]
    assert frame["device"].tolist()[:2] == ["pi01", "pi02"]
    assert pd.isna(frame["device"].iloc[2]), "a reading from a notebook"
    assert frame["room"].iloc[1] == "b 12,a"
    assert frame["n"].iloc[1] == 9007199254740993
    assert frame["note"].tolist()[:2] == ["NA", "007"]
    assert frame["x"].iloc[2] == 0.1
    assert frame.index.is_monotonic_increasing


def test_several_sensors_or_units_of_one_device_have_columns_of_their_own() -> None:
    db = Database(
        SELECT="name,tags,time,value\n"
        f't,"device=pi01,sensor=in,unit=C",{T},1\n'
        f't,"device=pi01,sensor=out,unit=C",{T},2\n'
        f't,"device=pi02,sensor=in,unit=F",{T},3\n'
    )
    frame = reader.read(db, "t")
    assert frame.columns.tolist() == ["pi01 in", "pi01 out", "pi02 in"]
    assert frame.attrs["units"] == {"pi01 in": "C", "pi01 out": "C", "pi02 in": "F"}
    db = Database(
        SELECT='t,"x"\n'.join(["name,tags,time,value\n", ""]).replace(
            't,"x"\n', f't,"device=a,unit=C",{T},1\nt,"device=a,unit=F",{T},2\n'
        )
    )
    assert reader.read(db, "t").columns.tolist() == ["a (C)", "a (F)"]


def test_deployments_of_one_device_after_each_other_are_one_column() -> None:
    db = Database(
        SELECT="name,tags,time,value\n"
        f't,"deployment=one,device=pi01",{T},1\n'
        f't,"deployment=two,device=pi01",{T + S},2\n'
        f"t,deployment=notebook,{T},3\n"
    )
    frame = reader.read(db, "t")
    assert frame["pi01"].tolist() == [1, 2]
    assert frame["notebook"].iloc[0] == 3


def test_nothing_there_says_what_is_there() -> None:
    names = "name,tags,name\nmeasurements,,temperature\nmeasurements,,air\n"
    db = Database({}, **{"SHOW FIELD KEYS": "", "SHOW MEASUREMENTS": names})
    with pytest.warns(
        reader.NothingRead, match="no readings of 'temprature' yet. There are: temperature, air"
    ):
        frame = reader.read(db, "temprature")
    assert frame.empty
    assert str(frame.index.tz) == "UTC"
    assert frame.index.name == "time"
    with pytest.warns(reader.NothingRead, match="none in this time"):
        reader.read(Database(), "t", layout="long")


def test_the_question() -> None:
    db = Database({"value": "float", "note": "string"}, SELECT=f"name,tags,time,value\nt,device=pi01,{T},1\n")
    reader.read(
        db, "t", fields="value", devices=["pi01", "pi02"], where={"room": "b'12"}, start="-90s", stop="now"
    )
    assert db.asked[-1] == (
        'SELECT "value"::field FROM "t" WHERE time >= now() - 90000000000ns AND time < now() AND '
        "(\"room\" = 'b\\'12') AND (\"device\" = 'pi01' OR \"device\" = 'pi02') GROUP BY *"
    )
    reader.read(db, "t", every="10s", aggregate="max", start=None)
    assert db.asked[-2] == (
        'SELECT max("value") AS "value" FROM "t" GROUP BY time(10000000000ns), "device", "sensor", "unit" fill(none)'
    ), "text has no maximum, so it is left out"


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ("-1h", "now() - 3600000000000ns"),
        ("-1.5 m", "now() - 90000000000ns"),
        ("-2d", "now() - 172800000000000ns"),
        ("now", "now()"),
        ("2023-11-14T22:13:20Z", str(T)),
        ("2023-11-14 22:13:20", str(T)),
        ("2023-11-14", str(T - 80_000 * S)),
        (datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), str(T)),
        (datetime(2023, 11, 14, 22, 13, 20), str(T)),  # noqa: DTZ001 - without a zone it is UTC
        (pd.Timestamp(T + 1, tz="UTC").tz_convert("Europe/Berlin"), str(T + 1)),
    ],
)
def test_times(when: str | datetime, text: str) -> None:
    assert influxql.moment(when) == text


@pytest.mark.parametrize("when", ["yesterday", "-1", "1h", "-h", "", "-1h; DROP SERIES FROM t", "-1h\n;"])
def test_times_that_are_none(when: str) -> None:
    with pytest.raises(SpecRefused):
        influxql.moment(when)


def test_spans() -> None:
    assert (
        influxql.span_ns("1m")
        == influxql.span_ns(timedelta(minutes=1))
        == influxql.span_ns(pd.Timedelta("1min"))
    )
    for wrong in ("0s", "-1s", "s", "1y", "1s)", timedelta(0)):
        with pytest.raises(SpecRefused):
            influxql.span_ns(wrong)


@pytest.mark.parametrize(
    "arguments",
    [
        {"aggregate": "mean(value) INTO x", "every": "1s"},
        {"layout": "tall"},
        {"fields": "nothing"},
        {"devices": []},
        {"where": {"a": []}},
    ],
)
def test_wrong_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(SpecRefused):
        reader.read(Database(), "t", **arguments)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    "hostile", ['a"b', "a'b", "a\\", 'a\\"', "a\nb", '"; DROP SERIES FROM "t', "' OR 1=1 --", "/* a", ""]
)
def test_whatever_a_name_holds_it_stays_a_name(hostile: str) -> None:
    for quoted, mark in ((influxql.ident(hostile), '"'), (influxql.literal(hostile), "'")):
        assert quoted[0] == quoted[-1] == mark
        inner, escaped = quoted[1:-1], False
        for char in inner:
            assert escaped or char not in (mark, "\n"), quoted
            escaped = char == "\\" and not escaped
        assert not escaped, "the last quote is no part of the name"


def test_any_question() -> None:
    db = Database(SELECT=f'name,tags,time,mean\nt,"device=pi01,unit=C",{T},1.5\nt,device=pi02,{T},2\n')
    frame = reader.to_frame(db, "SELECT mean(value) FROM t GROUP BY device, unit")
    assert frame.columns.tolist() == ["device", "unit", "mean"]
    assert frame["device"].tolist() == ["pi01", "pi02"]
    assert frame.index[0] == pd.Timestamp(T, tz="UTC")
    assert frame.attrs["measurement"] == "t"
    db = Database(**{"SHOW TAG": "name,tags,tagKey\nt,,device\nair,,room\n"})
    frame = reader.to_frame(db, "SHOW TAG KEYS")
    assert frame["measurement"].tolist() == ["t", "air"]
    assert reader.to_frame(db, "SELECT nothing FROM t").empty


def test_two_questions_at_once_are_refused() -> None:
    db = Database(SELECT="name,tags,time,a\nt,,1,1\n\nname,tags,time,a,b\nt,,1,1,2\n")
    with pytest.raises(QueryRefused, match="one question"):
        reader.to_frame(db, "SELECT a FROM t; SELECT a, b FROM t")


def test_an_error_while_the_answer_arrives_is_not_a_short_answer() -> None:
    @contextmanager
    def broken(text: str, db: str) -> Iterator[Iterable[bytes]]:
        def pieces() -> Iterator[bytes]:
            yield b"name,tags,time,value\n" + b"t,,1,1\n" * 100_000
            raise QueryRefused("cut", "the answer was cut off")

        yield pieces()

    with pytest.raises(QueryRefused, match="cut off"):
        reader.to_frame(broken, "SELECT value FROM t")
