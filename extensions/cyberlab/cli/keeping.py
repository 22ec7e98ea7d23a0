"""Commands about what is kept of readings, and where they come from: ``provenance``."""

from __future__ import annotations

from typing import Annotated

import typer

from cyberlab.cli.readings import Database, Devices, Measurement, Start, Stop
from cyberlab.cli.shell import Json, remarks, speaking


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
