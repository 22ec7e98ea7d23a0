"""The progress of a job in a terminal: a live picture on a tty, plain lines in a pipe or a log file."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cyberlab.progress.timeline import Stage, Timeline, clean, seconds
from cyberlab.wire import JobKind

_LIVE_LINES = 8
_FAILED_LINES = 30


class _Picture:
    """Drawn anew at every refresh, so the seconds run while the job is silent."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._spinner = Spinner("dots", style="cyan")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        timeline = self.timeline
        yield self._head()
        for stage in timeline.stages:
            yield self._stage(stage)
        if timeline.fraction is not None and not timeline.over and not timeline.left:
            yield self._bar(options.max_width)
        if timeline.job.kind is not JobKind.TRIAL:
            yield from self._log(min(_LIVE_LINES, max(options.max_height - len(timeline.stages) - 5, 0)))

    def _head(self) -> RenderableType:
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(ratio=1, no_wrap=True)
        line.add_column(justify="right", no_wrap=True)
        line.add_row(Text(self.timeline.title, "bold"), Text(seconds(self.timeline.elapsed), "dim"))
        return line

    def _stage(self, stage: Stage) -> RenderableType:
        line = Table.grid(expand=True, padding=(0, 1))
        for width in (1, 10, None):
            line.add_column(width=width, ratio=None if width else 1, no_wrap=True, overflow="ellipsis")
        line.add_column(justify="right", no_wrap=True)
        running = stage.ended is None
        broke = self.timeline.failed and stage is self.timeline.stages[-1]
        mark: RenderableType = Text("✗", "red") if broke else Text("✓", "green")
        if running:
            mark = Text("•", "cyan") if self.timeline.left else self._spinner
        line.add_row(
            mark,
            Text(str(stage.phase), "bold" if running else ""),
            Text(stage.text, "dim"),
            Text(seconds(self.timeline.took(stage)), "dim"),
        )
        return Padding(line, (0, 0, 0, 2))

    def _bar(self, width: int) -> RenderableType:
        timeline = self.timeline
        line = Table.grid(padding=(0, 1))
        line.add_column(width=min(30, width // 3))
        line.add_column(no_wrap=True)
        line.add_column(no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(total=1.0, completed=timeline.fraction or 0.0, complete_style="cyan")
        line.add_row(bar, f"{timeline.step}/{timeline.steps}", Text(timeline.step_text, "dim"))
        return Padding(line, (0, 0, 0, 4))

    def _log(self, count: int) -> RenderResult:
        timeline = self.timeline
        if timeline.over and not timeline.failed:
            return
        count = _FAILED_LINES if timeline.over else count
        for text in list(timeline.log)[-count:] if count else []:
            yield Padding(Text(text, "dim", no_wrap=True, overflow="ellipsis"), (0, 0, 0, 4))


class TerminalView:
    """A live picture. When the job is done it stays as a few lines; the log only when it failed.

    The log of a trial is what the trial was run for: it stays above the picture, or goes to `output`.
    """

    def __init__(self, console: Console, output: Console) -> None:
        self._console = console
        # on one screen, rich has to know of every line to keep the picture below them
        self._output = console if output.is_terminal else output
        self._live: Live | None = None
        self._printed = 0

    def __enter__(self) -> TerminalView:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, timeline: Timeline, *, last: bool = False) -> None:
        if self._live is None:
            self._live = Live(_Picture(timeline), console=self._console, refresh_per_second=8)
            self._live.start()
        if timeline.job.kind is JobKind.TRIAL:
            self._printed = _print_log(timeline, self._printed, self._output)
        if not last:
            return
        self._live.update(Group(_Picture(timeline), *_ending(timeline)), refresh=True)
        self._live.stop()


def _ending(timeline: Timeline) -> list[RenderableType]:
    if timeline.error is not None:
        return [Text(clean(str(timeline.error)), "red")]
    if timeline.left:
        return [Text(timeline.left, "yellow")]
    return [Text(f"  {timeline.usage}", "dim")] if timeline.usage else []


def _print_log(timeline: Timeline, seen: int, output: Console) -> int:
    for line in timeline.fresh(seen):
        output.print(Text(line), soft_wrap=True)
    return timeline.lines


class PlainView:
    """One line an event, for logs of other programs: no colours, no cursor movements.

    What a trial's program writes goes to `output`, as it is.
    """

    def __init__(self, console: Console, output: Console) -> None:
        self._console = console
        self._output = output
        self._lines = 0
        self._step = 0
        self._stages = 0

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def update(self, timeline: Timeline, *, last: bool = False) -> None:
        for stage in timeline.stages[self._stages :]:
            self._say(timeline, f"{stage.phase} {stage.text}".rstrip())
        self._stages = len(timeline.stages)
        if timeline.step != self._step:
            self._say(timeline, f"step {timeline.step} of {timeline.steps} {timeline.step_text}".rstrip())
            self._step = timeline.step
        if timeline.job.kind is JobKind.TRIAL:
            self._lines = _print_log(timeline, self._lines, self._output)
        for line in timeline.fresh(self._lines):
            self._say(timeline, f"  {line}")
        self._lines = timeline.lines
        if last:
            self._say(timeline, timeline.title)
            for text in (timeline.usage, timeline.left, clean(str(timeline.error or ""))):
                if text:
                    self._print(text)

    def _say(self, timeline: Timeline, text: str) -> None:
        after = (timeline.heard - timeline.job.created).total_seconds()
        self._print(f"{timeline.job.name} {seconds(after):>7}  {text}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
