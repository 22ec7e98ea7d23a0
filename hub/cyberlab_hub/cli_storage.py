"""`cyberlab-hub storage`: what each owner's readings take up, and removing those of accounts that are gone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from cyberlab_hub.errors import NotFound, SpecRefused
from cyberlab_hub.settings import Settings

if TYPE_CHECKING:
    from cyberlab.wire_keep import OwnerStorage

    from cyberlab_hub.service.departed import Departed, Noted
    from cyberlab_hub.service.owners import Gone, Owners


def show(settings: Settings, console: Console, owners: list[str], *, as_json: bool) -> None:
    """A row for each owner, or for `owners` only.

    Raises:
        NotFound: ``owner-unknown``. PartDown: ``database-down``, ``hub-down``.
    """
    from cyberlab_hub.accounts import names_in_use

    with _lab(settings) as lab:
        rows = lab.owners.all(names_in_use(settings))
    if owners:
        rows = [row for row in rows if {row.owner, row.database} & set(owners)]
        if not rows:
            raise NotFound("owner-unknown", "InfluxDB holds nothing of them. See `cyberlab-hub storage`.")
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


def drop(settings: Settings, console: Console, name: str, *, stop: bool, yes: bool, noted: Noted) -> None:
    """Remove the readings of an owner without an account; with `stop` first end what may still send some.

    Raises:
        SpecRefused: ``not-confirmed``. Conflict, NotFound, PartDown: as `Owners.drop` and `Departed.end`.
    """
    from cyberlab_hub.accounts import names_in_use

    with _lab(settings) as lab:
        accounts = names_in_use(settings)
        gone = lab.owners.gone(name, accounts)
        if gone.sending and not stop:
            lab.owners.drop(name, accounts)  # refuses, and says what to do
        if not yes:
            _ask(gone)
        if gone.sending:
            lab.departed.end(gone.owner, noted)
            console.print(f"ended: {', '.join(map(str, gone.sending))}")
        database = lab.owners.drop(name, accounts)
    console.print(f"{database} is gone")


def _ask(gone: Gone) -> None:
    if not sys.stdin.isatty():
        raise SpecRefused(
            "not-confirmed", "Nobody is there to be asked: add --yes to remove every reading of it."
        )
    ending = f"End {', '.join(map(str, gone.sending))}, and remove" if gone.sending else "Remove"
    typer.confirm(f"{ending} every reading of {gone.owner}, for ever?", abort=True)


class _Lab(NamedTuple):
    owners: Owners
    departed: Departed


@contextmanager
def _lab(settings: Settings) -> Iterator[_Lab]:
    from cyberlab_hub.ingest.space import Space
    from cyberlab_hub.ingest.store import open_store
    from cyberlab_hub.service.database import Database
    from cyberlab_hub.service.departed import Departed
    from cyberlab_hub.service.keeping import Keeping
    from cyberlab_hub.service.owners import Owners
    from cyberlab_hub.service.quotas import Quotas
    from cyberlab_hub.workshop.workshop import DockerWorkshop

    with (
        closing(Database.open(settings.db_url)) as database,
        closing(open_store(settings)) as store,
        closing(DockerWorkshop(settings)) as workshop,
    ):
        quotas = Quotas(database)
        space = Space(lambda owner: quotas.of(owner, "readings"), store.spaces)
        owners = Owners(database, store, quotas, Keeping(database, store, quotas, space))
        yield _Lab(owners, Departed(database, workshop))
