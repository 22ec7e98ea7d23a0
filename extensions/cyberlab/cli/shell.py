"""The border between the commands and the terminal: results, errors, exit codes.

A command opens `speaking` and says what it found; whether that becomes a table or JSON, and which exit code an
error has, is decided here alone.

    0  done    1  the job failed or time ran out    2  wrong usage    3  the lab refused it
    4  the lab or a part of it is down    130  interrupted

Results go to standard output, everything about progress and errors to standard error. With ``--json`` there is one
JSON document on standard output, also for an error (``{"error": {...}}``); what follows a log writes one a line.
Heavy modules (httpx, pydantic, rich, pandas) are imported where they are used: ``--help`` must not wait for them.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cyberlab.errors import JobFailed, LabError, OverQuota, PartDown, TimedOut, Unreachable

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

    from cyberlab.cli.specfile import SpecFile
    from cyberlab.jobs import JobHandle
    from cyberlab.lab import Lab
    from cyberlab.tables import Table
    from cyberlab.wire import Job

FAILED, USAGE, REFUSED, DOWN, INTERRUPTED = 1, 2, 3, 4, 130

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.", show_default=False)]


def exit_code(error: LabError) -> int:
    if error.code == "spec-missing":
        return USAGE
    if isinstance(error, (Unreachable, PartDown)) or error.code in ("internal", "answer-unreadable"):
        return DOWN
    if isinstance(error, JobFailed):
        return DOWN if error.code.endswith("-down") else FAILED
    return FAILED if isinstance(error, TimedOut) else REFUSED


class Out:
    """What one command says, and the lab it talks to."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.spec_file: SpecFile | None = None
        """The file whose lines problems point at."""

    @cached_property
    def lab(self) -> Lab:
        from cyberlab.lab import Lab

        return Lab()

    def close(self) -> None:
        if "lab" in vars(self):  # it was asked for
            self.lab.close()

    @cached_property
    def console(self) -> Console:
        from rich.console import Console

        console = Console(highlight=False)
        # what goes into a file or a pipe is not cut to a screen of 80 columns
        return console if console.is_terminal else Console(highlight=False, width=500)

    @cached_property
    def aside(self) -> Console:
        """Standard error."""
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    # ------------------------------------------------------------ results
    def data(self, value: Any) -> None:
        """One JSON document, on one line so that a stream of them can be read line by line."""
        text = json.dumps(value, ensure_ascii=False, default=str)
        # JSON leaves these as they are, and a terminal may obey them
        sys.stdout.write(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
        sys.stdout.flush()

    def view(self, model: BaseModel, text: str) -> None:
        """One thing: as JSON, or the sentence `text`."""
        if self.as_json:
            self.data(model.model_dump(mode="json"))
        else:
            self.say(text)

    def table(self, table: Table[Any], title: str = "") -> None:
        if self.as_json:
            self.data([row.model_dump(mode="json") for row in table])
            return
        from rich.table import Table as Grid
        from rich.text import Text

        if not table:
            self.aside.print(Text(table.nothing.capitalize(), "dim"))
            return
        grid = Grid(
            box=None, header_style="bold", title=title or None, title_justify="left", padding=(0, 2, 0, 0)
        )
        for name in table.columns:
            grid.add_column(name, no_wrap=name not in (*_LONG, _CUT))
        for row in table.cells:
            cells = zip(table.columns, row, strict=True)
            grid.add_row(*(Text(cell, _STYLES.get(cell, ""), **_FORM.get(name, {})) for name, cell in cells))
        self.console.print(grid)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Something beside the result."""
        if not self.as_json:
            self.aside.print(text, markup=False, soft_wrap=True, style="dim")

    # ------------------------------------------------------------ jobs
    def follow(self, handle: JobHandle) -> Job:
        """Watch a job to its end; its progress is not shown with ``--json``."""
        if self.as_json:
            return handle.wait()
        from cyberlab.progress import watch

        return watch(handle, console=self.aside, again=f"cyberlab logs -f {handle.id}")

    # ------------------------------------------------------------ errors
    def error(self, error: LabError) -> None:
        if self.as_json:
            problems = [problem.model_dump() for problem in error.problems]
            told: dict[str, Any] = {"code": error.code, "message": error.message, "problems": problems}
            if isinstance(error, OverQuota) and error.quota is not None:
                told["quota"] = error.quota.model_dump()
            self.data({"error": told})
            return
        from rich.text import Text

        # the progress display has already shown why a job failed
        if not isinstance(error, JobFailed) or error.problems:
            from cyberlab.progress.timeline import clean  # pydantic takes a moment

            headline = clean(error.headline)
            self.aside.print(Text.assemble(("✗ ", "bold red"), (headline, "bold")), soft_wrap=True)
        for problem in error.beneath:
            where = self.spec_file.where(problem.path) if self.spec_file else ""
            self.aside.print(
                Text.assemble(
                    "  ",
                    (f"{where}  " if where else "", "dim"),
                    (f"{problem.path}  ", "cyan"),
                    problem.message,
                ),
                soft_wrap=True,
            )


_STEERING = re.compile(r"[\x7f-\x9f]")
_LONG = frozenset({"devices", "fields", "tags", "trouble"})
"""Columns that may take several lines."""
_CUT = "outcome"
"""Cut off where the screen ends; all others are always whole."""
_FORM: dict[str, Any] = {
    _CUT: {"no_wrap": True, "overflow": "ellipsis"},
    **{name: {"overflow": "fold"} for name in _LONG},
}
_STYLES = {
    "done": "green",
    "running": "green",
    "ready": "green",
    "failed": "red",
    "away": "red",
    "cancelled": "yellow",
    "paused": "yellow",
}


@contextmanager
def remarks(out: Out) -> Iterator[None]:
    """Warnings of the client, such as that there is nothing to read, as notes and not as Python's lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for remark in caught:
        if issubclass(remark.category, UserWarning):
            out.note(str(remark.message))


@contextmanager
def speaking(as_json: bool) -> Iterator[Out]:
    """Inside, `LabError` is anybody's to raise: it is shown, and becomes the exit code."""
    out = Out(as_json)
    try:
        yield out
    except LabError as error:
        out.error(error)
        raise typer.Exit(exit_code(error)) from error
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None  # what was left running has been said already
    finally:
        out.close()


def pairs(values: list[str] | None, option: str) -> dict[str, str]:
    """``["A=1", "B=2"]`` as a dict."""
    found: dict[str, str] = {}
    for value in values or []:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{value!r} should look like NAME=VALUE.", param_hint=option)
        found[name] = text
    return found


def argv(words: list[str] | None) -> tuple[str, ...]:
    """The words of a command; the ``--`` before them is for the shell's reader, not for the program."""
    return tuple(words[1:] if words and words[0] == "--" else words or ())


def as_records(models: Mapping[str, Table[Any]]) -> dict[str, list[Any]]:
    return {name: [row.model_dump(mode="json") for row in table] for name, table in models.items()}
