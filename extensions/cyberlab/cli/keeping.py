"""Commands about what is kept of readings, and where they come from.

``provenance export storage keep downsample forget``
"""

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
        if found.means and not json:
            from cyberlab.tables import Table  # loads pydantic: only who asks waits for it
            from cyberlab.wire_keep import MeansRule

            out.table(Table(MeansRule, found.means))


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


def downsample(
    measurement: Measurement,
    every: Annotated[
        str | None, typer.Option(help="Window: 1m, 5m, 10m, 15m, 30m, 1h, 3h, 6h, 12h or 1d.")
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            metavar="DAYS",
            min=1,
            help="How long the means are kept; by default as the quota says.",
        ),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Make no more of them. What was made stays.")] = False,
    json: Json = False,
) -> None:
    """Make means, smallest and largest values of your readings, which may be kept for longer than the readings.

    `cyberlab downsample air --every 1h` fills the measurement air_1h: of what is there, in the background, and of what
    comes. Read it as any other: `cyberlab read air_1h`. `cyberlab storage` shows how far it is.

    \b
    Examples:
      cyberlab downsample air --every 1h --keep 730
      cyberlab keep 30
      cyberlab downsample air --off
    """
    if off is (every is not None):
        raise typer.BadParameter("give --every WINDOW to make means, or --off to stop")
    with speaking(json) as out:
        made = out.lab.downsample(measurement, None if off else every, keep)
        out.table(made)
        if off:
            out.note(
                f"No more are made. What was made stays; forget it with: cyberlab forget {made[0].target}"
            )
        else:
            out.note("Means of what is there follow in the background: cyberlab storage shows how far.")


def forget(
    measurement: Measurement,
    start: Annotated[str | None, typer.Option(help="Since when; by default from the first one on.")] = None,
    stop: Annotated[str | None, typer.Option(help="Until when; by default to the last one.")] = None,
    device: Devices = None,
    keep_means: Annotated[
        bool, typer.Option("--keep-means", help="Leave the means that were made of them.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete readings of yours, for ever, and the means made of them. Tells how many it will be, and asks.

    \b
    Examples:
      cyberlab forget temperature --stop -30d
      cyberlab forget test --device pi01 --yes
    """
    with speaking(json) as out:
        _counted_first(
            out,
            lambda really: out.lab.forget(
                measurement, start, stop, device or None, means=not keep_means, really=really
            ),
            yes,
        )


def _counted_first(out: Out, work: Callable[[bool], Forgotten], yes: bool) -> None:
    """Say what would be lost, ask, do it. With ``--json`` and without ``--yes`` it is only counted."""
    found = work(False)
    if not yes:
        if out.as_json:
            out.view(found, "")
            return
        typer.confirm(f"{_counted(found)} will be deleted, for ever. Go on?", abort=True)
    done = work(True)
    later = " Some go in the background, when their means are made." if done.later else ""
    out.view(done, f"{_counted(done)} are deleted.{later}")


def _counted(found: Forgotten) -> str:
    return f"{found.readings} readings" + (f" and {found.means} means of them" if found.means else "")
