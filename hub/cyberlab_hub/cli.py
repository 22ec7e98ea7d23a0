"""`cyberlab-hub`: the operator's command. Each command is a few lines; the work is in `setup` and `accounts`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cyberlab_hub import cli_quota
from cyberlab_hub import settings as settings_module
from cyberlab_hub.errors import HubError
from cyberlab_hub.settings import Settings

app = typer.Typer(
    help="Set up and look after a cyberlab. `cyberlab-hub up` starts everything; `down` stops it and keeps the data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
user_app = typer.Typer(help="Accounts: list, add, approve, set a password.", no_args_is_help=True)
device_app = typer.Typer(
    help="Devices: list them, move them to a cluster, enrol and remove them.", no_args_is_help=True
)
registry_app = typer.Typer(help="The registry: give back the space of deleted images.", no_args_is_help=True)
app.add_typer(user_app, name="user")
app.add_typer(device_app, name="device")
app.add_typer(cli_quota.app, name="quota")
app.add_typer(registry_app, name="registry")


@contextmanager
def _session(*, root: bool = True) -> Iterator[tuple[Settings, Console]]:
    """Settings and console; an expected error becomes one clear line and exit status 1."""
    from cyberlab_hub.setup.steps import make_console

    console = make_console()
    try:
        settings = settings_module.load()
        if root and os.geteuid() != 0:
            raise HubError(
                "not-root", "this command needs root: it works on Docker and on /var/lib. Try it with sudo."
            )
        yield settings, console
    except (HubError, ValueError) as error:
        code = getattr(error, "code", "setting-invalid")
        # a code in brackets would pass for a style of rich's, and be left out
        Console(stderr=True, highlight=False).print(f"[red]error[/] {escape(f'[{code}] {error}')}")
        sys.exit(1)


@contextmanager
def _noted(settings: Settings, action: str, about: str) -> Iterator[None]:
    """The command inside reaches the audit as the operator's, refused or done."""
    from cyberlab_hub.audit_notes import note_command

    reason = "interrupted"
    try:
        yield
        reason = ""
    except HubError as error:
        reason = error.code
        raise
    finally:
        said = note_command(settings, action, about, reason)
        if said:
            Console(stderr=True, highlight=False).print(f"[yellow]note[/] {said}")


@app.command()
def up() -> None:
    """Start the lab, reusing what is there. PIS=20 in the environment: with twenty simulated Pis."""
    from cyberlab_hub.setup.up import announce
    from cyberlab_hub.setup.up import up as bring_up

    with _session() as (settings, console):
        bring_up(settings, console)
        announce(settings, console)


@app.command()
def down() -> None:
    """Stop exactly what `up` started. Homes, images, readings and accounts stay."""
    from cyberlab_hub.setup.down import down as bring_down

    with _session() as (settings, console):
        bring_down(settings, console)


@app.command()
def clean(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop the lab and remove its images, volumes (also the users' homes!) and state."""
    from cyberlab_hub.setup.down import clean as remove_all

    with _session() as (settings, console):
        if not yes and sys.stdin.isatty():
            typer.confirm(
                f"Remove the lab in {settings.state} with every home and every reading?", abort=True
            )
        remove_all(settings, console)


@app.command()
def demo() -> None:
    """Start the lab and run the first lesson as the user `student`, from the form to the chart."""
    from cyberlab_hub.demo import run_demo
    from cyberlab_hub.setup.up import announce
    from cyberlab_hub.setup.up import up as bring_up

    with _session() as (settings, console):
        bring_up(settings, console)
        announce(settings, console)
        run_demo(settings, console)


@app.command()
def bases(names: Annotated[list[str] | None, typer.Argument(help="Which; default: all.")] = None) -> None:
    """Build base images for users' code now, instead of when somebody first uses one."""
    from cyberlab_hub.setup.bases import ensure_bases
    from cyberlab_hub.setup.steps import Step, StepRunner

    with _session() as (settings, console):
        steps: list[Step] = []
        for name in names or ["python", "python-science", "python-vision", "node"]:
            after = (steps[-1].name,) if steps else ()  # one heavy build at a time
            steps.append(Step(name, f"Base image {name}", partial(ensure_bases, settings, [name]), after))
        StepRunner(console).run(steps)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False) -> None:
    """What runs, where, and what is wrong. Exit status 1 when a part is down."""
    from cyberlab_hub.setup.status import collect

    with _session() as (settings, console):
        parts = collect(settings)
        if as_json:
            print(json.dumps([asdict(part) for part in parts]))
        else:
            table = Table("part", "state", "detail", title=f"{settings.name} at {settings.public_url}")
            for part in parts:
                state = "[yellow]look[/]" if part.warning else "[green]runs[/]"
                table.add_row(part.part, state if part.ok else "[red]down[/]", part.detail)
            console.print(table)
        if not all(part.ok for part in parts):
            sys.exit(1)


@app.command()
def doctor(
    only: Annotated[
        list[str] | None,
        typer.Argument(help="Layers or ids of checks, such as firewall or secrets-logs; default: all."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Hold the running lab against docs/security.md: what is wrong, why, and how to mend it.

    Looks at engines, containers, packet filters, files, secrets, certificates, rights in the databases, open ports,
    pages and disks, and changes nothing. Run it after setting up, after each change of the machine, and once a week.

    Exit status 0: every promise holds. 1: something is wrong. 2: nothing is, but something could not be looked at.
    """
    from cyberlab_hub.setup import doctor as doctors

    with _session() as (settings, console):
        sys.exit(doctors.attend(settings, console, only or [], as_json=as_json))


@app.command()
def token(
    user: Annotated[str, typer.Option("--user", help="Whose.")],
    hours: Annotated[float, typer.Option(help="How long it lives.")] = 24,
) -> None:
    """Print a narrow API token of a user for scripts: it may use the lab service and nothing else."""
    from cyberlab_hub.accounts import api_token

    with _session() as (settings, _), _noted(settings, "make_token", user):
        print(api_token(settings, user, expires_in=timedelta(hours=hours)))


@app.command()
def audit(
    user: Annotated[str | None, typer.Option("--user", help="What this user did (or `operator`).")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Such as start_build or sign_in.")] = None,
    about: Annotated[str | None, typer.Option("--object", help="Any part of the object's name.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    since: Annotated[str | None, typer.Option("--since", help="2h, 7d, or 2026-03-01T12:00.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many of the last rows.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each new row.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Who did what to which object, from where, allowed or refused and why."""
    from cyberlab_hub import audit_cli
    from cyberlab_hub.service.audit import Wanted

    with _session() as (settings, console):
        begin = audit_cli.moment(since) if since else None
        wanted = Wanted(user, action, about, allowed=False if refused else None, since=begin)
        audit_cli.show(settings, console, wanted, limit=limit, follow=follow, as_json=as_json)


@app.command()
def storage(
    owners: Annotated[
        list[str] | None, typer.Argument(metavar="[OWNER]...", help="Whose; default: everybody's.")
    ] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="Remove the readings of these, whose accounts are gone.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="With --drop: first end what of them may still send readings.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """What everybody's readings take up, for how long they are kept, and whose account is gone.

    The readings of an account that was removed stay until they are dropped: database, reader, shares, rules and tokens.
    That is refused while there is an account or group of that name, and, without --stop, while deployments or things
    of it may still send; --stop stops these deployments on every device and withdraws the tokens of the things.

    \b
    Examples:
      cyberlab-hub storage
      cyberlab-hub storage --drop anna ben
      cyberlab-hub storage --drop anna --stop
    """
    from cyberlab_hub import cli_storage

    if drop and not owners:
        raise typer.BadParameter("say whose readings: cyberlab-hub storage --drop OWNER")
    if (stop or yes) and not drop:
        raise typer.BadParameter("--stop and --yes belong to --drop")
    with _session() as (settings, console):
        noted = partial(_noted, settings)
        if not drop:
            cli_storage.show(settings, console, owners or [], as_json=as_json)
            return
        for owner in owners or []:
            with noted("drop_readings", owner):
                cli_storage.drop(settings, console, owner, stop=stop, yes=yes, noted=noted)


# ---------------------------------------------------------------- accounts
@user_app.command("list")
def user_list() -> None:
    """Every account, whether it is approved, and how full its home is."""
    from cyberlab_hub.accounts import list_accounts
    from cyberlab_hub.disks import Disks, home_disk

    with _session() as (settings, console):
        disks = Disks(settings.disks)
        table = Table("name", "approved", "administrator", "home")
        for account in list_accounts(settings):
            use = disks.use(home_disk(account.name).name)
            home = f"[yellow]{use}[/]" if use and use.nearly_full else str(use or "")
            table.add_row(
                account.name, "yes" if account.approved else "no", "yes" if account.admin else "", home
            )
        console.print(table)


@user_app.command("add")
def user_add(name: str, admin: Annotated[bool, typer.Option("--admin")] = False) -> None:
    """Add an account and print its password, once."""
    import secrets

    from cyberlab_hub.accounts import create_account

    with (
        _session() as (settings, _),
        _noted(settings, "add_account", f"{name} (administrator)" if admin else name),
    ):
        password = secrets.token_urlsafe(9)
        create_account(settings, name, password, admin=admin)
        print(password)


@user_app.command("approve")
def user_approve(name: str) -> None:
    """Let somebody who signed up sign in."""
    from cyberlab_hub.accounts import approve

    with _session() as (settings, _), _noted(settings, "approve_account", name):
        approve(settings, name)


@user_app.command("password")
def user_password(name: str) -> None:
    """Set a new password and print it, once."""
    import secrets

    from cyberlab_hub.accounts import set_password
    from cyberlab_hub.certs import write_private

    with _session() as (settings, _), _noted(settings, "set_password", name):
        password = secrets.token_urlsafe(9)
        set_password(settings, name, password)
        if name == "student":
            # the demonstration signs in with it
            write_private(settings.secrets / "student.password", password.encode())
        print(password)


# ---------------------------------------------------------------- registry
@registry_app.command("clean")
def registry_clean() -> None:
    """Give back the space of deleted images. The registry is away for some seconds; builds that push go first."""
    from cyberlab_hub.setup.engines import system_engine
    from cyberlab_hub.setup.registry import clean as collect

    with _session() as (settings, console), _noted(settings, "clean_registry", "registry"):
        console.print(f"{collect(settings, system_engine())} layers and manifests removed")


# ---------------------------------------------------------------- devices
@device_app.command("list")
def device_list(as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False) -> None:
    """Every device of the swarm."""
    from cyberlab_hub.workshop.workshop import DockerWorkshop

    with _session() as (settings, console):
        devices = DockerWorkshop(settings).devices()
        if as_json:
            print(json.dumps([d.model_dump() for d in devices]))
            return
        table = Table("device", "state", "cluster", "platform", "CPUs", "memory", "address", "tasks")
        for d in devices:
            kind = f"{d.platform}{' (simulated)' if d.simulated else ''}"
            table.add_row(
                d.name,
                d.state,
                d.cluster or "",
                kind,
                f"{d.cpus:g}",
                f"{d.memory_mb} MB",
                d.address,
                str(d.running),
            )
        console.print(table)


def main() -> None:
    app()
