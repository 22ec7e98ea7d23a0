"""`Table`: a list of views that shows itself as a table, in a notebook, in a terminal and as a DataFrame.

It is a `list`: index it, loop over it, take ``len`` of it. What it shows of each view is chosen here, the
views themselves stay plain wire models.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from cyberlab.wire import (
    Advice,
    Deployment,
    Device,
    Image,
    Job,
    LogLine,
    Measurement,
    QuotaUse,
    SavedSpec,
    Share,
    Thing,
    View,
)
from cyberlab.wire_keep import MeansRule
from cyberlab.wire_origin import Origin

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T", bound=View)

Columns = Mapping[str, Callable[[Any], object]]


def _when(moment: datetime | None) -> str:
    """Local to nobody: all times of the lab are UTC."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _took(job: Job) -> str:
    if job.finished is None:
        return ""
    return f"{(job.finished - job.created).total_seconds():.1f} s"


def _outcome(job: Job) -> str:
    if job.error is not None:
        return job.error.message.splitlines()[0]
    if "exit_code" in job.result:
        return f"exit code {job.result['exit_code']}"
    return str(job.result.get("image", ""))


def _running(deployment: Deployment) -> str:
    up = sum(task.state == "running" for task in deployment.tasks)
    return f"{up} of {len(deployment.devices)}"


def _trouble(deployment: Deployment) -> str:
    return "; ".join(f"{t.device}: {t.message or t.state}" for t in deployment.tasks if t.state != "running")


def _amount(number: float | None, unit: str) -> str:
    if number is None:
        return "–"
    return f"{number:.2f}".rstrip("0").rstrip(".") + (f" {unit}" if unit else "")


_WHENCE = {"default": "the lab's default", "group": "group", "own": "set for you"}

COLUMNS: dict[type[View], Columns] = {
    Job: {
        "id": lambda j: j.id,
        "kind": lambda j: j.kind,
        "name": lambda j: j.name,
        "phase": lambda j: j.phase,
        "created (UTC)": lambda j: _when(j.created),
        "took": _took,
        "outcome": _outcome,
    },
    Advice: {
        "line": lambda a: a.line,
        "advice": lambda a: a.message,
        "rule": lambda a: a.code,
    },
    Image: {
        "image": lambda i: f"{i.name}:{i.version}",
        "base": lambda i: i.base,
        "size": lambda i: f"{i.size_mb} MB",
        "created (UTC)": lambda i: _when(i.created),
        "digest": lambda i: i.digest.removeprefix("sha256:")[:12],
    },
    Deployment: {
        "name": lambda d: d.name,
        "image": lambda d: d.image,
        "running": _running,
        "devices": lambda d: ", ".join(d.devices),
        "updated (UTC)": lambda d: _when(d.updated),
        "trouble": _trouble,
    },
    Device: {
        "device": lambda d: d.name,
        "cluster": lambda d: d.cluster or "",
        "state": lambda d: d.state,
        "platform": lambda d: d.platform,
        "CPUs": lambda d: f"{d.cpus:g}",
        "memory": lambda d: f"{d.memory_mb} MB",
        "running": lambda d: d.running,
        "kind": lambda d: "simulated" if d.simulated else "Raspberry Pi",
    },
    SavedSpec: {
        "name": lambda s: s.spec.name,
        "base": lambda s: s.spec.base,
        "scenario": lambda s: s.spec.scenario,
        "files": lambda s: len(s.spec.files),
        "updated (UTC)": lambda s: _when(s.updated),
    },
    Thing: {
        "thing": lambda t: t.name,
        "created (UTC)": lambda t: _when(t.created),
        "MQTT user": lambda t: t.mqtt_user,
        "MQTT topic": lambda t: f"{t.mqtt_topic}/MEASUREMENT",
    },
    Origin: {
        "deployment": lambda o: o.deployment or o.kind,
        "author": lambda o: o.author,
        "image": lambda o: o.image,
        "digest": lambda o: o.digest.removeprefix("sha256:")[:12],
        "since (UTC)": lambda o: _when(o.since),
        "until (UTC)": lambda o: _when(o.until),
        "devices": lambda o: ", ".join(o.devices),
        "files": lambda o: ", ".join(file.path for file in o.files),
    },
    Share: {
        "owner": lambda s: s.owner,
        "reader": lambda s: s.reader,
        "since (UTC)": lambda s: _when(s.created),
    },
    Measurement: {
        "measurement": lambda m: m.measurement,
        "fields": lambda m: ", ".join(m.fields),
        "tags": lambda m: ", ".join(m.tags),
    },
    QuotaUse: {
        "quota": lambda q: q.title,
        "in use": lambda q: _amount(q.in_use, q.unit),
        "possible": lambda q: _amount(q.value, q.unit),
        "because": lambda q: f"{_WHENCE[q.origin]} {q.group}".rstrip(),
        "name": lambda q: q.quota,
    },
    MeansRule: {
        "of": lambda m: m.measurement,
        "every": lambda m: m.every,
        "in": lambda m: m.target,
        "kept": lambda m: "without end" if m.days is None else f"{m.days} days",
        "made until": lambda m: "not begun" if m.made_until is None else f"{m.made_until:%Y-%m-%d %H:%M} UTC",
        "state": lambda m: m.problem or ("goes on" if m.active else "stopped"),
    },
    LogLine: {"device": lambda line: line.device, "text": lambda line: line.text},
}


class Table(list[T]):
    """Rows of one kind of view."""

    def __init__(self, kind: type[T], rows: Iterable[T] = ()) -> None:
        super().__init__(rows)
        self.kind = kind

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(COLUMNS[self.kind])

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """What is shown, row by row."""
        show = COLUMNS[self.kind].values()
        return [tuple(str(column(row)) for column in show) for row in self]

    @property
    def nothing(self) -> str:
        """What is shown instead of an empty table."""
        return f"no {_PLURAL[self.kind]}"

    def to_frame(self) -> pd.DataFrame:
        """Every field of every row."""
        import pandas as pd  # only who asks for a DataFrame waits for pandas

        return pd.DataFrame(
            [row.model_dump() for row in self], columns=pd.Index(list(self.kind.model_fields))
        )

    def __repr__(self) -> str:
        if not self:
            return f"({self.nothing})"
        lines = [self.columns, *self.cells]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        if not self:
            return f"<em>{self.nothing}</em>"
        head = "".join(f'<th style="text-align:left">{escape(name)}</th>' for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row) + "</tr>"
            for row in self.cells
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def show_single_views() -> None:
    """Under IPython, show one view as a table of one row; without it as Python shows any model."""
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython  # already loaded, or we would not be here

    shell: Any = get_ipython()
    if shell is None:
        return
    formatters = shell.display_formatter.formatters
    for kind in COLUMNS:
        formatters["text/html"].for_type(kind, lambda view: Table(type(view), [view])._repr_html_())
        formatters["text/plain"].for_type(
            kind, lambda view, printer, _cycle: printer.text(repr(Table(type(view), [view])))
        )


_PLURAL: dict[type[View], str] = {
    Origin: "code that is known",
    Advice: "advice",
    Job: "jobs",
    Image: "images yet: build one with lab.build(spec)",
    Deployment: "deployments",
    Device: "devices",
    SavedSpec: "saved specs",
    Share: "shares",
    MeansRule: "means: make some with lab.downsample(measurement, every)",
    Thing: "things yet: make one with lab.add_thing(name)",
    Measurement: "measurements yet",
    QuotaUse: "quotas",
    LogLine: "lines yet",
}
