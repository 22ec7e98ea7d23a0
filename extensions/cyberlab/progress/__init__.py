"""Live progress of a job, wherever the reader is: a notebook, a terminal or a log file.

`watch` feeds a `Timeline` with the job's events and lets one view draw it. Interrupting it, or losing the lab
out of sight, leaves the job running and says how to come back.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

from rich.console import Console

from cyberlab.errors import JobFailed, TimedOut, Unreachable
from cyberlab.jobs import JobHandle
from cyberlab.progress.timeline import Timeline
from cyberlab.wire import Job

__all__ = ["in_notebook", "watch"]


class View(AbstractContextManager[Any], Protocol):
    def __enter__(self) -> Self: ...
    def update(self, timeline: Timeline, *, last: bool = False) -> None:
        """Draw. Called for every event and at least twice a second; with `last` once, at the end."""


def in_notebook() -> bool:
    """True under a Jupyter kernel; False in a terminal, also in IPython's."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython  # already loaded, or we would not be here

    return hasattr(get_ipython(), "kernel")


def _view(console: Console | None) -> View:
    if console is None and in_notebook():
        from cyberlab.progress.notebook import NotebookView

        return NotebookView()
    from cyberlab.progress.terminal import PlainView, TerminalView

    console, output = console or Console(stderr=True), Console(highlight=False)
    return TerminalView(console, output) if console.is_terminal else PlainView(console, output)


def watch(
    handle: JobHandle, *, timeout: float | None = None, console: Console | None = None, again: str = ""
) -> Job:
    """Show the job's progress until it has ended, and give the job.

    `console`: draw there instead of in the notebook or on standard error; what a trial's program writes goes to
    standard output. `again`: what to type to come back
    to the job when the reader leaves; ``lab.job("...").wait()`` if empty.

    Raises:
        JobFailed, JobCancelled, TimedOut, Unreachable: as `JobHandle.wait`.
        KeyboardInterrupt: after saying how to come back. The job goes on.
    """
    again = again or f'lab.job("{handle.id}").wait()'
    timeline = Timeline(handle.job)
    with _view(console) as view:
        try:
            for event in handle.follow(timeout=timeout):
                if event is not None:
                    timeline.add(event)
                view.update(timeline)
            timeline.end(handle.job)
            return handle.result()
        except JobFailed as error:
            timeline.end(handle.job, error)
            raise
        except KeyboardInterrupt:
            timeline.leave(f"You stopped watching; the lab goes on with it. To come back:\n  {again}")
            raise
        except (TimedOut, Unreachable) as error:
            timeline.leave(error.message)
            raise
        finally:
            view.update(timeline, last=True)
