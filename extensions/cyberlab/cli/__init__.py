"""``cyberlab``: the lab from a terminal. ``cyberlab --help`` teaches it; every command takes ``--json``."""

from __future__ import annotations

from typing import Annotated

import typer

from cyberlab.cli import build, keeping, readings, run, things

app = typer.Typer(
    name="cyberlab",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 job failed or time over, 2 wrong usage, 3 refused, 4 lab or a part of it down.",
)

_CODE, _DEVICES, _DATA = "From code to an image", "On devices", "Data"
_AS_TYPED = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""What follows the first argument is the command's own: ``cyberlab exec JOB ls -l``."""


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # takes longer than all of ours

        typer.echo(f"cyberlab {version('cyberlab')}")
        raise typer.Exit


@app.callback()
def start(
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Your code on Raspberry Pis, and their readings back.

    \b
      cyberlab init greenhouse                   write a spec and a program
      cyberlab build greenhouse.yaml             make an image of it
      cyberlab run greenhouse                    try it out
      cyberlab deploy greenhouse --device pi01   run it on a device
      cyberlab read temperature --start -10m     see what it measured
    """


app.command(rich_help_panel=_CODE)(build.init)
app.command(rich_help_panel=_CODE)(build.render)
app.command(rich_help_panel=_CODE)(build.build)
app.command(rich_help_panel=_CODE)(run.images)
app.command(rich_help_panel=_CODE)(run.run)
app.command("exec", rich_help_panel=_CODE, context_settings=_AS_TYPED)(run.exec_)
app.command(rich_help_panel=_DEVICES)(run.devices)
app.command(rich_help_panel=_DEVICES)(run.deploy)
app.command(rich_help_panel=_DEVICES)(run.ps)
app.command(rich_help_panel=_DEVICES)(run.logs)
app.command(rich_help_panel=_DEVICES)(run.cancel)
app.command(rich_help_panel=_DEVICES)(run.quota)
app.command(rich_help_panel=_DEVICES)(things.things)
app.command(rich_help_panel=_DEVICES)(things.thing)
app.add_typer(run.rm, name="rm", rich_help_panel=_DEVICES)
app.command(rich_help_panel=_DATA)(readings.read)
app.command(rich_help_panel=_DATA)(readings.query)
app.command(rich_help_panel=_DATA)(keeping.provenance)
app.command(rich_help_panel=_DATA)(keeping.export)
app.command(rich_help_panel=_DATA)(keeping.storage)
app.command(rich_help_panel=_DATA)(keeping.keep)
app.command(rich_help_panel=_DATA)(keeping.downsample)
app.command(rich_help_panel=_DATA)(keeping.forget)
app.command(rich_help_panel=_DATA, context_settings={"ignore_unknown_options": True})(readings.publish)
app.command(rich_help_panel=_DATA)(readings.share)
app.add_typer(readings.download, name="download", rich_help_panel=_DATA)


def main() -> None:
    """The console script."""
    app()
