"""`Data`: the half of the `Lab` that reads, writes and shares readings."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from cyberlab.errors import SpecRefused, TimedOut
from cyberlab.keeping import Keeping
from cyberlab.tables import Table
from cyberlab.transport import Transport, path_of
from cyberlab.wire import Device, Measurement, Share, View, Written
from cyberlab.wire_origin import Origin, Source

if TYPE_CHECKING:
    import pandas as pd

    from cyberlab.charts import Chart

V = TypeVar("V", bound=View)


def names(devices: Iterable[Device | str] | str) -> tuple[str, ...]:
    """Device names, from names or devices, or one name."""
    if isinstance(devices, str):
        return (devices,)
    return tuple(one.name if isinstance(one, Device) else one for one in devices)


class Data(Keeping):
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @overload
    def read(
        self,
        measurement: str,
        fields: str | Sequence[str] | None = ...,
        where: Mapping[str, str | Sequence[str]] | None = ...,
        start: str | datetime = ...,
        stop: str | datetime | None = ...,
        every: str | timedelta | None = ...,
        aggregate: str = ...,
        devices: Iterable[Device | str] | str | None = ...,
        layout: Literal["wide", "long"] = ...,
        db: str = ...,
        *,
        chunks: None = ...,
        engine: Literal["pandas"] = ...,
    ) -> pd.DataFrame: ...
    @overload
    def read(
        self,
        measurement: str,
        fields: str | Sequence[str] | None = ...,
        where: Mapping[str, str | Sequence[str]] | None = ...,
        start: str | datetime = ...,
        stop: str | datetime | None = ...,
        every: str | timedelta | None = ...,
        aggregate: str = ...,
        devices: Iterable[Device | str] | str | None = ...,
        layout: Literal["wide", "long"] = ...,
        db: str = ...,
        *,
        chunks: int,
        engine: Literal["pandas"] = ...,
    ) -> Iterator[pd.DataFrame]: ...
    @overload
    def read(
        self,
        measurement: str,
        fields: str | Sequence[str] | None = ...,
        where: Mapping[str, str | Sequence[str]] | None = ...,
        start: str | datetime = ...,
        stop: str | datetime | None = ...,
        every: str | timedelta | None = ...,
        aggregate: str = ...,
        devices: Iterable[Device | str] | str | None = ...,
        layout: Literal["wide", "long"] = ...,
        db: str = ...,
        *,
        chunks: int | None = ...,
        engine: Literal["arrow", "polars"],
    ) -> Any: ...
    def read(
        self,
        measurement: str,
        fields: str | Sequence[str] | None = None,
        where: Mapping[str, str | Sequence[str]] | None = None,
        start: str | datetime = "-1h",
        stop: str | datetime | None = None,
        every: str | timedelta | None = None,
        aggregate: str = "mean",
        devices: Iterable[Device | str] | str | None = None,
        layout: Literal["wide", "long"] = "wide",
        db: str = "mine",
        *,
        chunks: int | None = None,
        engine: Literal["pandas", "arrow", "polars"] = "pandas",
    ) -> Any:
        """Readings as a DataFrame indexed by time (UTC). ``df.attrs["units"]`` and ``df.attrs["sensors"]`` say what is
        known of each column's sensor: unit, kind, place, calibration. Empty: the columns are those of readings.

        Args:
            start, stop: a time, or before now as in ``"-10m"``; `stop` itself is not included.
            every: one row for each such span, of the `aggregate` of its readings.
            layout: ``wide``: a column for each device. ``long``: a row for each reading, tags as columns.
            db: ``mine``, ``fleet``, or the name of who shares with you.
            chunks: for more than fits into memory: an iterator of frames of about so many readings each, in the
                order of time, which together are the whole.
            engine: ``arrow`` gives a `pyarrow.Table`, ``polars`` a Polars frame; ``time`` is their first column.

        Raises:
            QueryRefused: with the database's own words. NotAllowed: the database is not shared with you.
            SpecRefused: an argument cannot be right; ``engine-missing``: how to install it.
        """
        from cyberlab import pieces, reader  # pandas takes a second to load

        arguments: dict[str, Any] = {
            "fields": fields,
            "where": where,
            "start": start,
            "stop": stop,
            "every": every,
            "aggregate": aggregate,
            "devices": None if devices is None else names(devices),
            "layout": layout,
            "db": db,
            "engine": engine,
        }
        if chunks is not None:
            return pieces.pieces(self._csv, measurement, chunks, **arguments)
        return reader.read(self._csv, measurement, **arguments)

    def provenance(self, df: pd.DataFrame) -> Table[Origin]:
        """Which code wrote these readings: author, image, digest, spec, Dockerfile and files of every version of every
        deployment that was in force when they were made, the oldest first. Also of deployments that are gone, and of
        parts of a frame: ``lab.provenance(df[df["pi01"] > 30])``. Of readings that are shared with you, environment
        values are hidden.

        Raises:
            SpecRefused: ``frame-unknown``: not a frame of `read`. NotFound: ``origin-unknown``: they are older than
            what the lab remembers.
        """
        from cyberlab import origins  # pandas takes a second to load

        return Table(Origin, origins.find(self._transport, self._csv, df))

    def source(self, origin: Origin, db: str = "mine") -> Source:
        """The files of an origin's image, as they were. `db`: that of the readings.

        Raises:
            NotFound: ``source-gone``: the lab keeps the newest 256 MB of each user's files.
        """
        return self._transport.get("/provenance/source", Source, {"version": origin.version, "db": db})

    def query(self, influxql: str, db: str = "mine") -> pd.DataFrame:
        """The answer to a question in InfluxQL."""
        from cyberlab import reader  # pandas takes a second to load

        return reader.to_frame(self._csv, influxql, db)

    def measurements(self, db: str = "mine") -> Table[Measurement]:
        """What there is to read."""
        return self._table(Measurement, "/measurements", {"db": db})

    def wait_for(
        self,
        measurement: str,
        *,
        devices: Iterable[Device | str] | str | None = None,
        start: str | datetime | None = None,
        timeout: float = 60,
        db: str = "mine",
    ) -> pd.DataFrame:
        """Wait until readings newer than `start` (now, if you give none) have come from each of `devices`
        (from any device, if you name none), and give them.

        Raises:
            TimedOut: names the devices that have not sent anything.
        """
        since, over = start or datetime.now(UTC), time.monotonic() + timeout
        wanted = None if devices is None else names(devices)
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # nothing there yet is what we wait for
                frame = self.read(measurement, start=since, devices=wanted, layout="long", db=db)
            missing = set(wanted or ()) - set(frame.get("device", ()))
            if len(frame) and not missing:
                return self.read(measurement, start=since, devices=wanted, db=db)
            if time.monotonic() >= over:
                raise _nothing_came(measurement, sorted(missing), timeout)
            time.sleep(0.5)

    def plot(
        self, df: pd.DataFrame, title: str | None = None, *, theme: Literal["light", "dark"] = "light"
    ) -> Chart:
        """A line chart of what `read` gave; ``cyberlab.charts.save(chart, "x.png")`` keeps it.

        Raises:
            ValueError: there is nothing to draw.
        """
        from cyberlab import charts  # matplotlib takes a second to load

        return charts.line(df, title, theme=theme)

    def publish(self, measurement: str, value: object, unit: str | None = None, **tags: object) -> None:
        """Write one reading, stamped with now, into your own data; a dict gives several fields.

        Raises:
            SpecRefused: the name, value or a tag is not possible; says what was expected.
        """
        from cyberlab_edge.points import PointError, reading

        try:
            point = reading(measurement, value, unit, at=time.time_ns(), tags=tags)
        except PointError as error:
            raise SpecRefused(error.code, str(error)) from error
        answer = self._transport.post(
            "/write", Written, point.line().encode(), mime="text/plain; charset=utf-8"
        )
        if answer.refused:
            raise SpecRefused("point-refused", f"The lab refused the reading: {answer.refused[0].reason}")

    def share(self, reader: str) -> Share:
        """Let another user read your data (not change it), and see which code of yours wrote it: image, Dockerfile and
        files, without the values of its environment."""
        return self._transport.put(path_of("shares", reader), Share)

    def unshare(self, reader: str) -> None:
        self._transport.delete(path_of("shares", reader))

    def shares(self) -> Table[Share]:
        """What you share, and what is shared with you."""
        return self._table(Share, "/shares")

    # ------------------------------------------------------------ one place each
    @contextmanager
    def _csv(self, influxql: str, db: str) -> Iterator[Iterator[bytes]]:
        """The answer to a query as pieces of CSV (times in nanoseconds), while it arrives."""
        params = {"db": db, "q": influxql}
        headers = {"Accept": "application/csv"}
        with self._transport.stream("/query", params=params, headers=headers, silence=300) as response:
            yield response.iter_bytes()

    def _table(self, kind: type[V], path: str, params: Mapping[str, Any] | None = None) -> Table[V]:
        return Table(kind, self._transport.get(path, tuple[kind, ...], params))  # type: ignore[valid-type]  # mypy cannot see that a variable names a model


def _nothing_came(measurement: str, missing: Sequence[str], timeout: float) -> TimedOut:
    whence = f" from {', '.join(missing)}" if missing else ""
    return TimedOut(
        "no-readings",
        f"No {measurement} arrived{whence} within {timeout:g} s. Look at what the program writes with "
        "lab.deployment_logs(NAME), and at what has arrived so far with lab.measurements().",
    )
