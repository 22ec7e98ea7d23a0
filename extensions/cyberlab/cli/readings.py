"""Commands about data: ``read query share publish``, and ``download`` of readings and of specs."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cyberlab.cli.build import Spec, load
from cyberlab.cli.shell import Json, Out, pairs, remarks, speaking
from cyberlab.errors import LabError

if TYPE_CHECKING:
    import pandas as pd

_ROWS_SHOWN = 30

Measurement = Annotated[
    str, typer.Argument(metavar="MEASUREMENT", help="What was measured, such as temperature.")
]
Start = Annotated[str, typer.Option(help='Since when: "-10m", "-2d", or a time in UTC.')]
Stop = Annotated[str | None, typer.Option(help="Until when; by default now.")]
Every = Annotated[str | None, typer.Option(help='One row for each such span: "10s", "5m", "1h".')]
Aggregate = Annotated[
    str, typer.Option(help="With --every: mean, min, max, sum, count, first, last, median.")
]
Devices = Annotated[
    list[str] | None, typer.Option("--device", "-d", help="Only this device; may be repeated.")
]
Database = Annotated[str, typer.Option("--db", help="mine, fleet, or the name of who shares with you.")]


def read(
    measurement: Measurement,
    start: Start = "-1h",
    stop: Stop = None,
    every: Every = None,
    aggregate: Aggregate = "mean",
    device: Devices = None,
    field: Annotated[list[str] | None, typer.Option(help="Only this field; may be repeated.")] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="TAG=VALUE", help="Only with this tag.")] = None,
    long: Annotated[
        bool, typer.Option("--long", help="One reading a row instead of one column a device.")
    ] = False,
    db: Database = "mine",
    csv: Annotated[
        Path | None, typer.Option(help="Write CSV there; - is standard output.", allow_dash=True)
    ] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write Parquet there.")] = None,
    json: Json = False,
) -> None:
    """Show readings, or save them. All times are UTC.

    \b
    Examples:
      cyberlab read temperature --start -10m
      cyberlab read temperature --start -1d --every 1h --aggregate max
      cyberlab read temperature --start 2026-03-01 --csv march.csv
      cyberlab read temperature --csv - | head
    """
    with speaking(json) as out:
        with remarks(out):
            frame = out.lab.read(
                measurement,
                fields=field or None,
                where=pairs(where, "--where") or None,
                start=start,
                stop=stop,
                every=every,
                aggregate=aggregate,
                devices=device or None,
                layout="long" if long else "wide",
                db=db,
            )
        _hand_over(out, frame, csv, parquet)


def query(
    influxql: Annotated[str, typer.Argument(metavar="INFLUXQL")],
    db: Database = "mine",
    csv: Annotated[
        Path | None, typer.Option(help="Write CSV there; - is standard output.", allow_dash=True)
    ] = None,
    json: Json = False,
) -> None:
    """Ask the database in its own language, InfluxQL.

    \b
    Examples:
      cyberlab query "SHOW MEASUREMENTS"
      cyberlab query 'SELECT max("value") FROM "temperature" WHERE time > now() - 1d GROUP BY "device"'
    """
    with speaking(json) as out:
        _hand_over(out, out.lab.query(influxql, db=db), csv, None)


def share(
    user: Annotated[
        str | None, typer.Argument(metavar="USER", help="Who may read; none: list what is shared.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Share no longer.")] = False,
    json: Json = False,
) -> None:
    """Let another user read your data and see which code wrote it, or list what is shared.

    \b
    Examples:
      cyberlab share ada
      cyberlab share ada --stop
      cyberlab share
    """
    with speaking(json) as out:
        if user is None:
            out.table(out.lab.shares())
        elif stop:
            out.lab.unshare(user)
            _done(
                out,
                {"removed": {"kind": "share", "name": user}},
                f"{user} may not read your data any longer.",
            )
        else:
            shared = out.lab.share(user)
            out.view(shared, f"{user} may read your data: lab.read(..., db={shared.owner!r})")


def publish(
    measurement: Measurement,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="A number, true or false, or a text.")],
    unit: Annotated[str | None, typer.Option(help="Such as C, hPa, %.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A tag; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Write one reading into your own data, stamped with now.

    \b
    Examples:
      cyberlab publish temperature 21.5 --unit C --tag room=lab
      cyberlab publish note "window opened"
    """
    with speaking(json) as out:
        given = _value(value)
        out.lab.publish(measurement, given, unit, **pairs(tag, "--tag"))
        text = f"{measurement} = {value}{f' {unit}' if unit else ''} is written."
        _done(out, {"measurement": measurement, "value": given, "unit": unit}, text)


download = typer.Typer(no_args_is_help=True, help="Save readings, or a spec with its Dockerfile.")


@download.command("readings")
def download_readings(
    measurement: Measurement,
    to: Annotated[Path, typer.Option(help="A .csv or .parquet file.")],
    start: Start = "-1d",
    stop: Stop = None,
    every: Every = None,
    aggregate: Aggregate = "mean",
    device: Devices = None,
    db: Database = "mine",
    json: Json = False,
) -> None:
    """Save readings as CSV or Parquet.

    \b
    Example:
      cyberlab download readings temperature --start -7d --every 1m --to week.csv
    """
    with speaking(json) as out:
        with remarks(out):
            frame = out.lab.read(
                measurement,
                start=start,
                stop=stop,
                every=every,
                aggregate=aggregate,
                devices=device or None,
                db=db,
            )
        kind = to.suffix.lower()
        if kind not in (".csv", ".parquet"):
            raise LabError("format-unknown", f"{to}: name a file that ends in .csv or .parquet.")
        _hand_over(out, frame, to if kind == ".csv" else None, to if kind == ".parquet" else None)


@download.command("spec")
def download_spec(
    spec: Spec,
    to: Annotated[Path, typer.Option(help="A folder to make, or a .zip file.")],
    json: Json = False,
) -> None:
    """Save what a spec is built from: the Dockerfile and its files, ready for docker build elsewhere.

    \b
    Examples:
      cyberlab download spec greenhouse.yaml --to greenhouse.zip
      cyberlab download spec greenhouse.yaml --to greenhouse/
    """
    with speaking(json) as out:
        wanted = load(out, spec)
        from cyberlab.cli.context import context, write

        catalogue = out.lab.catalogue()
        files = context(wanted, catalogue)
        write(files, to)
        _done(out, {"to": str(to), "files": sorted(files)}, f"{to}: {len(files)} files.")


# ---------------------------------------------------------------- frames
def _hand_over(out: Out, frame: pd.DataFrame, csv: Path | None, parquet: Path | None) -> None:
    """Write the frame where it was asked for; otherwise show it."""
    if csv is None and parquet is None:
        _show(out, frame)
        return
    from cyberlab import export

    if csv is not None and str(csv) == "-":
        out.console.out(export.csv(frame), end="", highlight=False)
        return
    for path, save in ((csv, export.save_csv), (parquet, export.save_parquet)):
        if path is not None:
            save(frame, path)
            _done(out, {"to": str(path), "rows": len(frame)}, f"{path}: {len(frame)} rows.")


def _show(out: Out, frame: pd.DataFrame) -> None:
    if out.as_json:
        from cyberlab import export

        rows = jsonlib.loads(export.flat(frame).to_json(orient="records", date_format="iso", date_unit="ms"))
        out.data({"units": frame.attrs.get("units", {}), "rows": rows})
        return
    if frame.empty:
        return
    out.console.out(frame.tail(_ROWS_SHOWN).to_string(na_rep=""), highlight=False)
    if len(frame) > _ROWS_SHOWN:
        out.note(f"The last {_ROWS_SHOWN} of {len(frame)} rows; --csv saves all.")


def _value(text: str) -> float | bool | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _done(out: Out, value: Mapping[str, Any], text: str) -> None:
    if out.as_json:
        out.data(value)
    else:
        out.say(text)
