"""Commands about things: ``things``, ``thing``, ``rm thing``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cyberlab.cli.run import gone, rm
from cyberlab.cli.shell import Json, speaking
from cyberlab.errors import LabError


def things(json: Json = False) -> None:
    """What sends readings with a token of its own.

    \b
    Example:
      cyberlab things
    """
    with speaking(json) as out:
        out.table(out.lab.things())


def thing(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What its readings say as their device, such as balcony.")
    ],
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write the certificate by which it knows the lab to this file."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a token with which a thing of yours, such as an Arduino, sends readings. It is shown this once.

    \b
    Examples:
      cyberlab thing balcony --ca ca.crt
      cyberlab rm thing balcony
    """
    with speaking(json) as out:
        made = out.lab.add_thing(name)
        out.view(
            made,
            f"{made.name} may send readings now. Its token, shown this once:\n\n"
            f"  {made.token}\n\n"
            f"As an InfluxDB client: URL {made.gateway}  organisation {made.org}  bucket {made.bucket}\n"
            f"By MQTT: {made.mqtt}  user {made.mqtt_user}  topic {made.mqtt_topic}/MEASUREMENT",
        )
        if ca is not None:  # last: a token that is made must be shown
            try:
                ca.write_text(made.ca)
            except OSError as error:
                raise LabError("file-unwritable", f"{ca} cannot be written: {error.strerror}.") from error


@rm.command("thing")
def rm_thing(name: str, json: Json = False) -> None:
    """Withdraw a thing's token. Its data stays.

    \b
    Example:
      cyberlab rm thing balcony
    """
    with speaking(json) as out:
        out.lab.remove_thing(name)
        gone(out, "thing", name)
