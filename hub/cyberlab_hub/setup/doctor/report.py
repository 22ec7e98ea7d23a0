"""What the doctor found, for people and for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from cyberlab_hub.setup.doctor.check import LAYERS, STATES, Finding, State

COLOURS: dict[State, str] = {"wrong": "red", "cannot-tell": "yellow", "ok": "green"}
MOST = 12
"""Details of one check that are shown; JSON has all."""


def exit_status(findings: Sequence[Finding]) -> int:
    """0: every promise holds. 1: one is broken. 2: none is, but one could not be looked at."""
    states = {finding.state for finding in findings}
    return 1 if "wrong" in states else 2 if "cannot-tell" in states else 0


def as_json(findings: Sequence[Finding]) -> str:
    counts = {state: sum(f.state == state for f in findings) for state in STATES}
    return json.dumps({"counts": counts, "checks": [asdict(finding) for finding in findings]})


def show(findings: Sequence[Finding], console: Console) -> None:
    """The faults first, each with its cause and the next step; then what is in order, a line a layer's check."""
    for state in STATES[:2]:
        for finding in _by_layer([f for f in findings if f.state == state]):
            _show_fault(finding, console)
    good = _by_layer([f for f in findings if f.state == "ok"])
    if good:
        table = Table("layer", "in order", "seen", box=None, pad_edge=False, header_style="dim")
        before = ""
        for finding in good:
            layer = finding.layer if finding.layer != before else ""
            before = finding.layer
            table.add_row(layer, f"[green]ok[/] {escape(finding.promise)}", _dim("; ".join(finding.details)))
        console.print(table)
    counts = [sum(f.state == state for f in findings) for state in STATES]
    words = f"{counts[0]} wrong, {counts[1]} could not be looked at, {counts[2]} in order"
    worst: State = next((s for s, n in zip(STATES, counts, strict=True) if n), "ok")
    console.print(f"[bold {COLOURS[worst]}]{words}[/]")


def _show_fault(finding: Finding, console: Console) -> None:
    colour = COLOURS[finding.state]
    word = finding.state.replace("-", " ")
    console.print(
        f"[bold {colour}]{word}[/] [bold]{finding.layer}[/]: {escape(finding.promise)} [dim]({finding.id})[/]"
    )
    lines = [*finding.details[:MOST]]
    if len(finding.details) > MOST:
        lines.append(f"… and {len(finding.details) - MOST} more (--json has all)")
    lines.append(f"next: {finding.mend}")
    for line in lines:
        console.print(Padding(escape(line), (0, 0, 0, 6)))
    console.print()


def _by_layer(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: LAYERS.index(f.layer))


def _dim(text: str) -> str:
    return f"[dim]{escape(text)}[/]"
