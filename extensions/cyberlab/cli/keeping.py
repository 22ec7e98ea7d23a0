"""Commands about what is kept of readings, and where they come from: ``provenance export storage keep forget``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cyberlab.cli.readings import Aggregate, Database, Devices, Every, Measurement, Start, Stop
from cyberlab.cli.shell import Json, Out, remarks, speaking

if TYPE_CHECKING:
    from cyberlab.wire_keep import Forgotten

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask: delete.")]


def provenance(
    measurement: Measurement,
    start: Start = "-1h",
    stop: Stop = None,
    device: Devices = None,
    dockerfile: Annotated[
        bool, typer.Option("--dockerfile", help="Also print the Dockerfile of each image.")
    ] = False,
    db: Database = "mine",
    json: Json = False,
) -> None:
    """Which code wrote these readings: author, image, digest and files, as they were at the time.

    \b
    Examples:
      cyberlab provenance temperature --start -7d
      cyberlab provenance temperature --start 2026-03-01 --stop 2026-03-02 --dockerfile
    """
    with speaking(json) as out:
        with remarks(out):
            frame = out.lab.read(
                measurement,
                start=start,
                stop=stop,
                devices=device or None,
                every="10s",
                aggregate="count",
                db=db,
            )
            found = out.lab.provenance(frame)
        out.table(found)
        if dockerfile and not json:
            for origin in found:
                out.console.out(f"\n# {origin.image}\n{origin.dockerfile}", highlight=False)


def export(
    measurement: Measurement,
    to: Annotated[Path, typer.Option(help="The file to write: .csv or .parquet.")],
    start: Start = "-1h",
    stop: Stop = None,
    every: Every = None,
    aggregate: Aggregate = "mean",
    device: Devices = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="One column a device instead of one reading a row.")
    ] = False,
    db: Database = "mine",
    json: Json = False,
) -> None:
    """Write a time range into one file, however long it is: CSV or Parquet. All times are UTC.

    \b
    Examples:
      cyberlab export temperature --start 2026-03-01 --stop 2026-04-01 --to march.parquet
      cyberlab export temperature --start -30d --every 1h --to hours.csv
    """
    with speaking(json) as out:
        with remarks(out):
            path = out.lab.export(
                measurement,
                to,
                start=start,
                stop=stop,
                every=every,
                aggregate=aggregate,
                devices=device or None,
                layout="wide" if wide else "long",
                db=db,
            )
        size = path.stat().st_size
        if json:
            out.data({"to": str(path), "bytes": size})
        else:
            out.say(f"{path}: {size} bytes.")


def storage(json: Json = False) -> None:
    """How much space your readings take up, and how long they are kept.

    \b
    Examples:
      cyberlab storage
    """
    with speaking(json) as out:
        found = out.lab.storage()
        used = "an unknown amount" if found.used_mb is None else f"{found.used_mb:g} MB"
        kept = "without end" if found.keep_days is None else f"for {found.keep_days} days"
        text = f"Your readings take up {used} of {found.possible_mb:g} MB and are kept {kept}."
        if found.full:
            text += (
                " There is no space left: new readings are not taken, devices keep theirs until there is. "
                "Delete some (cyberlab forget), or keep them for fewer days (cyberlab keep)."
            )
        out.view(found, text)


def keep(
    days: Annotated[
        str, typer.Argument(metavar="DAYS", help="A number, or `all`: as long as your quota says.")
    ],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Keep your readings for so many days; delete older ones, now and from now on.

    \b
    Examples:
      cyberlab keep 90
      cyberlab keep all --yes
    """
    if days != "all" and not days.isdecimal():
        raise typer.BadParameter("a number of days, or: all")
    wanted = None if days == "all" else int(days)
    with speaking(json) as out:
        _counted_first(out, lambda really: out.lab.keep(wanted, really=really), yes)


def forget(
    measurement: Measurement,
    start: Annotated[str | None, typer.Option(help="Since when; by default from the first one on.")] = None,
    stop: Annotated[str | None, typer.Option(help="Until when; by default to the last one.")] = None,
    device: Devices = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete readings of yours, for ever. Tells how many it will be, and asks.

    \b
    Examples:
      cyberlab forget temperature --stop -30d
      cyberlab forget test --device pi01 --yes
    """
    with speaking(json) as out:
        _counted_first(
            out,
            lambda really: out.lab.forget(measurement, start, stop, device or None, really=really),
            yes,
        )


def _counted_first(out: Out, work: Callable[[bool], Forgotten], yes: bool) -> None:
    """Say what would be lost, ask, do it. With ``--json`` and without ``--yes`` it is only counted."""
    found = work(False)
    if not yes:
        if out.as_json:
            out.view(found, "")
            return
        typer.confirm(f"{found.readings} readings will be deleted, for ever. Go on?", abort=True)
    done = work(True)
    out.view(done, f"{done.readings} readings are deleted.")
