"""`cyberlab-hub storage`: what each owner's readings take up, and removing those of accounts that are gone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from cyberlab_hub.errors import SpecRefused
from cyberlab_hub.settings import Settings

if TYPE_CHECKING:
    from cyberlab.wire_keep import OwnerStorage

    from cyberlab_hub.service.owners import Owners


def show(settings: Settings, console: Console, *, as_json: bool) -> None:
    """A row for each owner.

    Raises:
        PartDown: ``database-down``, ``hub-down``.
    """
    from cyberlab_hub.accounts import names_in_use

    with _owners(settings) as owners:
        rows = owners.all(names_in_use(settings))
    if as_json:
        sys.stdout.write(json.dumps([row.model_dump(mode="json") for row in rows]) + "\n")
        return
    table = Table("owner", "MB", "of", "kept", "means", "account", title="Readings in InfluxDB")
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)
    if any(not row.account for row in rows):
        console.print("Readings without an account are removed with: cyberlab-hub storage --drop OWNER")


def _cells(row: OwnerStorage) -> tuple[str, ...]:
    return (
        row.owner or row.database,
        "?" if row.used_mb is None else f"{row.used_mb:g}",
        "" if row.possible_mb is None else str(row.possible_mb),
        "for ever" if row.keep_days is None else f"{row.keep_days} days",
        str(row.means or ""),
        "yes" if row.account else "[yellow]gone[/]",
    )


def drop(settings: Settings, console: Console, name: str, *, yes: bool) -> None:
    """Remove the readings of an owner without an account.

    Raises:
        SpecRefused: ``not-confirmed``. Conflict, NotFound, PartDown: as `Owners.drop`.
    """
    from cyberlab_hub.accounts import names_in_use

    if not yes:
        if not sys.stdin.isatty():
            raise SpecRefused(
                "not-confirmed", "Nobody is there to be asked: add --yes to remove every reading of it."
            )
        typer.confirm(f"Remove every reading of {name}, for ever?", abort=True)
    with _owners(settings) as owners:
        database = owners.drop(name, names_in_use(settings))
    console.print(f"{database} is gone")


@contextmanager
def _owners(settings: Settings) -> Iterator[Owners]:
    from cyberlab_hub.ingest.space import Space
    from cyberlab_hub.ingest.store import open_store
    from cyberlab_hub.service.database import Database
    from cyberlab_hub.service.keeping import Keeping
    from cyberlab_hub.service.owners import Owners
    from cyberlab_hub.service.quotas import Quotas

    with closing(Database.open(settings.db_url)) as database, closing(open_store(settings)) as store:
        quotas = Quotas(database)
        space = Space(lambda owner: quotas.of(owner, "readings"), store.spaces)
        yield Owners(database, store, quotas, Keeping(database, store, quotas, space))
