"""`cyberlab-hub quota`: the table of quotas, edited where the database is. The same as the API for administrators."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cyberlab_hub.errors import NotFound, SpecRefused
from cyberlab_hub.settings import Settings

if TYPE_CHECKING:
    from cyberlab_hub.service.quotas import Kind, Quotas

app = typer.Typer(
    help="Quotas: what users and groups may have. A user's own value goes before the groups', the largest of the "
    "groups' before the default.",
    no_args_is_help=True,
)

User = Annotated[str | None, typer.Option("--user", help="A user.")]
Group = Annotated[str | None, typer.Option("--group", help="A group of the hub.")]
Name = Annotated[str, typer.Argument(metavar="QUOTA", help="builds, images, gigabytes, trials, devices ...")]
AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]


@app.command("list")
def list_(user: User = None, group: Group = None, as_json: AsJson = False) -> None:
    """The defaults and every other value; with --user or --group what that one has."""
    from cyberlab_hub.service.quota_table import QUOTAS

    with _table() as (quotas, settings, console):
        if user is not None:
            _known(settings, user)
            rows = [allowed.view() for allowed in quotas.all_of(user).values()]
            if as_json:
                print(json.dumps([row.model_dump(mode="json") for row in rows]))
            else:
                shown = Table("quota", "value", "because", title=f"Quotas of {user}")
                for allowed in quotas.all_of(user).values():
                    shown.add_row(allowed.quota, str(allowed.value), f"{allowed.origin} {allowed.group}")
                console.print(shown)
            return
        found = [s for s in quotas.settings() if group is None or (s.kind, s.subject) == ("group", group)]
        if as_json:
            defaults = {} if group else {name: rule.limit for name, rule in QUOTAS.items()}
            print(json.dumps({"defaults": defaults, "settings": [s.model_dump(mode="json") for s in found]}))
            return
        shown = Table("whose", "quota", "value", title="Quotas")
        for name, rule in QUOTAS.items() if group is None else ():
            shown.add_row("everybody", name, f"{rule.limit} {rule.unit}".strip())
        for setting in found:
            shown.add_row(f"{setting.kind} {setting.subject}", setting.quota, str(setting.value))
        console.print(shown)


@app.command("set")
def set_(
    quota: Name,
    value: Annotated[int, typer.Argument(min=0, max=1_000_000_000)],
    user: User = None,
    group: Group = None,
) -> None:
    """Give a user or a group another value; it counts from the next request on."""
    from cyberlab_hub.cli import _noted

    with _table() as (quotas, settings, console):
        kind, subject = _one(settings, user, group)
        with _noted(settings, "set_quota", f"{kind}/{subject}/{quota}={value}"):
            made = quotas.set(kind, subject, quota, value)
        console.print(f"{made.kind} {made.subject}: {made.quota} = {made.value}")


@app.command("unset")
def unset(quota: Name, user: User = None, group: Group = None) -> None:
    """Take the value back: the groups or the default count again."""
    from cyberlab_hub.cli import _noted

    with _table() as (quotas, settings, console):
        kind, subject = _one(settings, user, group)
        with _noted(settings, "unset_quota", f"{kind}/{subject}/{quota}"):
            quotas.unset(kind, subject, quota)
        console.print(f"{kind} {subject}: {quota} is as for everybody else")


@contextmanager
def _table() -> Iterator[tuple[Quotas, Settings, Console]]:
    from cyberlab_hub.cli import _session
    from cyberlab_hub.service.database import Database
    from cyberlab_hub.service.quotas import Quotas

    with _session() as (settings, console):
        database = Database.open(settings.db_url)
        try:
            yield Quotas(database), settings, console
        finally:
            database.close()


def _one(settings: Settings, user: str | None, group: str | None) -> tuple[Kind, str]:
    if (user is None) == (group is None):
        raise SpecRefused("subject-missing", "Say whose: --user NAME or --group NAME, one of the two.")
    if user is not None:
        _known(settings, user)
        return "user", user
    return "group", str(group)


def _known(settings: Settings, user: str) -> None:
    """Raises NotFound when there is no such account: a value for a name with a typo would do nothing, silently."""
    from cyberlab_hub.accounts import list_accounts

    if user not in {account.name for account in list_accounts(settings)}:
        raise NotFound("account-unknown", f"There is no account “{user}”. See `cyberlab-hub user list`.")
