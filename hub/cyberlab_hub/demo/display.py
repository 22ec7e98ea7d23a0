"""The demonstration's display: a line for each finished step, and on a terminal what runs now, alive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cyberlab_hub.demo.lesson import LessonResult, Watcher

QUIET_SECONDS = 15.0
"""In a log, a step that still runs after this time says its newest line, and again after each such time."""


class Display:
    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def step(self, title: str) -> Iterator[Watcher]:
        """One step: spins while it runs, then leaves one line with its duration, or a cross when it failed."""
        running = _Running(title) if self.console.is_terminal else _Logged(title, self)
        try:
            if self.console.is_terminal:
                with Live(running, console=self.console, refresh_per_second=8, transient=True):
                    yield running
            else:
                yield running
        except BaseException:
            self.line("[red]failed[/]", running, "")
            raise
        self.line("[green]  done[/]", running, running.kept)

    def line(self, mark: str, running: _Running, detail: str) -> None:
        row = Text.from_markup(f"{mark} {running.seconds:6.1f} s  ")
        row.append(running.title)
        if detail:
            row.append(f"  {detail}", style="dim")
        self.console.print(row, highlight=False)

    def table(self, result: LessonResult) -> None:
        table = Table("device", title="Readings in the notebook", title_justify="left")
        for heading in ("points", "first value", "last value"):
            table.add_column(heading, justify="right")
        for row in result.devices:
            table.add_row(row.device, str(row.points), f"{row.first:.2f}", f"{row.last:.2f}")
        self.console.print(table)


class _Running:
    """The line of the running step; rich asks for it eight times a second."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.newest = ""
        self.kept = ""
        self._started = time.monotonic()
        self._spinner = Spinner("dots")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def tell(self, line: str) -> None:
        self.newest = line

    def note(self, line: str) -> None:
        self.kept = line

    def __rich__(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        newest = Text(self.newest, style="dim", overflow="ellipsis", no_wrap=True)
        grid.add_row(self._spinner, f"{self.seconds:5.0f} s", f"{self.title} …", newest)
        return grid


class _Logged(_Running):
    """The running step in a log: no spinner, but a line now and then while it takes long."""

    def __init__(self, title: str, display: Display) -> None:
        super().__init__(title)
        self._display = display
        self._spoke = time.monotonic()

    def tell(self, line: str) -> None:
        super().tell(line)
        if time.monotonic() - self._spoke > QUIET_SECONDS:
            self._spoke = time.monotonic()
            self._display.line("[dim]   ...[/]", self, line)
