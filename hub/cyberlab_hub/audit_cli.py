"""``cyberlab-hub audit``: who did what, as a table or as JSON lines, from the lab's database itself.

It needs no running lab: the log is also there when the service is not.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from cyberlab.wire import AuditEntry
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cyberlab_hub.errors import SpecRefused
from cyberlab_hub.service.audit import Audit, Wanted
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import now
from cyberlab_hub.settings import Settings

POLL_SECONDS = 1.0
_AGE = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COLUMNS = ("time", "who", "did", "to", "", "from")


def moment(text: str) -> datetime:
    """``2h``, ``7d`` (ago) or ``2026-03-01``, ``2026-03-01T12:00`` (this machine's time).

    Raises:
        SpecRefused: ``time-invalid``.
    """
    try:
        if age := _AGE.fullmatch(text.strip()):
            return now() - timedelta(**{_UNITS[age[2]]: int(age[1])})
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SpecRefused(
            "time-invalid", f"{text!r} is no time. Write 2h, 7d, 2026-03-01 or 2026-03-01T12:00."
        ) from error


def show(
    settings: Settings, console: Console, wanted: Wanted, *, limit: int, follow: bool, as_json: bool
) -> None:
    """The last `limit` rows, oldest first; with `follow` each new one too, until interrupted.

    Raises:
        PartDown: ``database-down``.
    """
    database = Database.open(settings.db_url, upgrade=False)
    try:
        audit = Audit(database)
        rows = audit.newest(limit, wanted)[::-1]
        last = rows[-1].id if rows else audit.last_id()
        if as_json:
            _lines(rows)
        else:
            console.print(_table(rows) if rows else "The audit has no such rows.")
        if follow:
            for row in _following(audit, last, wanted):
                if as_json:
                    _lines([row])
                else:
                    console.print(_table([row], head=False))
    except KeyboardInterrupt:
        return
    finally:
        database.close()


def _following(audit: Audit, last: int, wanted: Wanted) -> Iterator[AuditEntry]:
    while True:
        for row in audit.everything(last, None, wanted):
            last = row.id
            yield row
        time.sleep(POLL_SECONDS)


def _lines(rows: Iterable[AuditEntry]) -> None:
    for row in rows:
        sys.stdout.write(row.model_dump_json() + "\n")
        sys.stdout.flush()


def _table(rows: Iterable[AuditEntry], *, head: bool = True) -> Table:
    table = Table(box=None, show_header=head, pad_edge=False, header_style="bold")
    for number, name in enumerate(_COLUMNS):
        table.add_column(name, no_wrap=number == 0, overflow="fold", min_width=(19, 8, 14, 16, 8, 9)[number])
    for row in rows:
        verdict = Text("done", "green") if row.allowed else Text(f"refused {row.reason}".strip(), "red")
        if row.times > 1:
            verdict.append(f" ({row.times} times)", "bold")
        table.add_row(
            f"{row.at.astimezone():%Y-%m-%d %H:%M:%S}",
            Text(_plain(row.actor) or "(no token)", "" if row.actor else "dim"),
            _plain(row.action),
            Text(_plain(row.object)),
            verdict,
            _plain(row.address),
        )
    return table


def _plain(text: str) -> str:
    """What users wrote must not steer the operator's terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
