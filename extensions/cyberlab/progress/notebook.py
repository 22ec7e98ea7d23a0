"""The progress of a job as HTML in one notebook output, updated in place.

Plain ``display`` updates, no widget: it also works in a notebook that nbclient runs without a browser.
Styles are inline and colours come from JupyterLab's ``--jp-*`` variables, so a saved notebook and the dark
theme look right too. While the job runs the log is open; when it is done everything folds into one line,
except for a trial, whose log is what it was run for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape

from cyberlab.progress.timeline import Stage, Timeline, clean, seconds
from cyberlab.wire import JobKind

_TEXT = "var(--jp-ui-font-color1,#212121)"
_MUTED = "var(--jp-ui-font-color2,#616161)"
_LINE = "var(--jp-border-color2,#d0d0d0)"
_GOOD = "var(--jp-success-color1,#2e7d32)"
_BAD = "var(--jp-error-color1,#c62828)"
_BUSY = "var(--jp-brand-color1,#1976d2)"
_CARD = (
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:1.5;"
    f"color:{_TEXT};background:var(--jp-layout-color1,#fff);border:1px solid {_LINE};"
    "border-left:3px solid %s;border-radius:4px;padding:8px 14px;max-width:820px;box-sizing:border-box"
)
_LOG = (
    "font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:1.45;margin:8px 0 2px;"
    f"padding:6px 10px;color:{_TEXT};background:var(--jp-layout-color2,#f5f5f5);border-radius:3px;"
    "overflow:auto;max-height:%s;white-space:pre-wrap;word-break:break-word"
)
_DIGITS = "font-variant-numeric:tabular-nums;white-space:nowrap"
_LIVE_LINES = {JobKind.BUILD: 8, JobKind.TRIAL: 20, JobKind.DEPLOY: 8}
_MIN_PAUSE = 0.2
"""Seconds between two updates of the page."""


def html(timeline: Timeline) -> str:
    """The whole card, as one string."""
    colour = _colour(timeline)
    head = (
        f'<span style="display:flex;align-items:baseline;gap:10px">'
        f'<span style="color:{colour}" aria-hidden="true">{_icon(timeline)}</span>'
        f'<strong style="flex:1;font-weight:600">{escape(timeline.title)}</strong>'
        f"{_hint(timeline)}"
        f'<span style="color:{_MUTED};{_DIGITS}">{seconds(timeline.elapsed)}</span></span>'
    )
    if timeline.over and not timeline.failed:
        unfolded = " open" if timeline.job.kind is JobKind.TRIAL else ""
        body = (
            f'<details{unfolded}><summary style="cursor:pointer;list-style:none">{head}</summary>'
            f"{_stages(timeline)}{_log(timeline)}</details>{_usage(timeline)}"
        )
    else:
        body = f"{head}{_stages(timeline)}{_bar(timeline)}{_log(timeline)}{_message(timeline)}"
    job = escape(timeline.job.id)
    return f'<div style="{_CARD % colour}" role="status" data-cyberlab-job="{job}">{body}</div>'


def _hint(timeline: Timeline) -> str:
    if not timeline.over or timeline.failed:
        return ""
    return f'<span style="color:{_MUTED};text-decoration:underline dotted">details</span>'


def _colour(timeline: Timeline) -> str:
    if timeline.failed:
        return _BAD
    return _GOOD if timeline.over else _BUSY


def _icon(timeline: Timeline) -> str:
    if timeline.failed:
        return "✕"
    return "✓" if timeline.over else "●"


def _stages(timeline: Timeline) -> str:
    rows = "".join(_stage(timeline, stage) for stage in timeline.stages)
    return f'<div style="margin-top:6px;color:{_MUTED}">{rows}</div>' if rows else ""


def _stage(timeline: Timeline, stage: Stage) -> str:
    running = stage.ended is None
    broke = timeline.failed and stage is timeline.stages[-1]
    mark, colour = ("●", _BUSY) if running else ("✕", _BAD) if broke else ("✓", _GOOD)
    weight = f"color:{_TEXT}" if running or broke else ""
    return (
        f'<div style="display:flex;gap:10px">'
        f'<span style="color:{colour};width:1em" aria-hidden="true">{mark}</span>'
        f'<span style="width:6.5em;{weight}">{stage.phase}</span>'
        f'<span style="flex:1;min-width:0;overflow-wrap:anywhere">{escape(stage.text)}</span>'
        f'<span style="{_DIGITS}">{seconds(timeline.took(stage))}</span></div>'
    )


def _bar(timeline: Timeline) -> str:
    fraction = timeline.fraction
    if fraction is None or timeline.failed:
        return ""
    percent = round(100 * fraction)
    return (
        f'<div role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100" '
        f'style="height:6px;margin:8px 0 4px;border-radius:3px;background:var(--jp-layout-color3,#e0e0e0)">'
        f'<div style="height:100%;width:{percent}%;border-radius:3px;background:{_BUSY}"></div></div>'
        f'<div style="display:flex;gap:10px;color:{_MUTED}">'
        f'<span style="white-space:nowrap">step {timeline.step} of {timeline.steps}</span>'
        f'<span style="flex:1;min-width:0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap">'
        f"{escape(timeline.step_text)}</span></div>"
    )


def _log(timeline: Timeline) -> str:
    if not timeline.log:
        return ""
    live = not timeline.over and not timeline.left
    shown = list(timeline.log)[-_LIVE_LINES[timeline.job.kind] :] if live else list(timeline.log)
    forgotten = timeline.lines - len(timeline.log)
    if forgotten and not live:
        shown.insert(0, f"… {forgotten} earlier lines are kept in the lab")
    return f'<pre style="{_LOG % ("none" if live else "22em")}">{escape(chr(10).join(shown))}</pre>'


def _usage(timeline: Timeline) -> str:
    if not timeline.usage:
        return ""
    return f'<div style="margin-top:4px;color:{_MUTED}">{escape(timeline.usage)}</div>'


def _message(timeline: Timeline) -> str:
    text = timeline.left or (clean(str(timeline.error)) if timeline.error else "")
    if not text:
        return ""
    colour = _BAD if timeline.failed else _TEXT
    return f'<div style="margin:8px 0 2px;color:{colour};white-space:pre-wrap">{escape(text)}</div>'


class NotebookView:
    """One output of the cell, redrawn at most five times a second."""

    def __init__(self) -> None:
        self._handle: object | None = None
        self._drawn = 0.0

    def __enter__(self) -> NotebookView:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def update(self, timeline: Timeline, *, last: bool = False) -> None:
        if not last and time.monotonic() - self._drawn < _MIN_PAUSE:
            return
        from IPython.display import display, update_display  # only a notebook has it

        bundle = {
            "text/html": html(timeline),
            "text/plain": f"{timeline.title} ({seconds(timeline.elapsed)})",
        }
        name = f"cyberlab-{timeline.job.id}-{id(self)}"
        # IPython ships no types for these two
        show: Callable[..., object] = display if self._handle is None else update_display
        show(bundle, raw=True, display_id=name)
        self._handle, self._drawn = name, time.monotonic()
