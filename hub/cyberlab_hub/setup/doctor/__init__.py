"""`cyberlab-hub doctor`: holds a running lab against docs/security.md, and says what is wrong and how to mend it.

    check        one promise: a function in a table, with an id, a layer, and how to mend it
    patient      the lab as it is, looked at once and never changed
    examine      runs the checks, a few at a time, none for ever
    report       what was found, for people and as JSON

    engine devices inside     the workshop engine, the swarm, the Pis, and what must hold inside each
    parts                     containers of the system engine
    firewall                  the rules of this machine, and the one way out
    files leaks certificates  what lies in the state folder, and where it must not lie as well
    readings database         InfluxDB's rights, the audit's triggers
    ports web registry disk   what listens, what the pages promise, who may pull, who may fill what
    broker campus             who may sign in at the MQTT broker, what the gateway answers beyond the devices' network

Every check takes its paths and addresses from the settings, so a test can point it at a broken copy. Checks change
nothing: what a check tries would do nothing even where it is allowed. What is refused may be seen in the audit.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.doctor import (
    broker,
    campus,
    certificates,
    database,
    devices,
    disk,
    engine,
    files,
    firewall,
    leaks,
    parts,
    ports,
    readings,
    registry,
    report,
    web,
)
from cyberlab_hub.setup.doctor.check import LAYERS, TABLE, CannotTell, Check, Finding, Wrong
from cyberlab_hub.setup.doctor.examine import examine
from cyberlab_hub.setup.doctor.patient import Patient

GROUPS = (
    engine,
    devices,
    parts,
    firewall,
    files,
    leaks,
    certificates,
    readings,
    database,
    ports,
    campus,
    web,
    registry,
    broker,
    disk,
)
"""Importing a group puts its checks into the table."""

__all__ = [
    "GROUPS",
    "TABLE",
    "CannotTell",
    "Check",
    "Finding",
    "Patient",
    "Wrong",
    "attend",
    "chosen",
    "examine",
]


def attend(settings: Settings, console: Console, only: Sequence[str] = (), *, as_json: bool = False) -> int:
    """Run the checks, show what was found, and return the exit status.

    Raises: SetupError ``no-such-check``.
    """
    checks = chosen(only)
    if as_json:
        findings = examine(Patient(settings), checks, lambda _: None)
        print(report.as_json(findings))
        return report.exit_status(findings)
    done: list[str] = []
    begin = f"looking at {len(checks)} promises …"
    if not console.is_terminal:
        console.print(begin)
    with console.status(begin) as status:

        def tell(finding: Finding) -> None:
            done.append(finding.id)
            status.update(f"{len(done)} of {len(checks)} promises looked at; just now: {finding.promise}")

        findings = examine(Patient(settings), checks, tell)
    report.show(findings, console)
    return report.exit_status(findings)


def chosen(only: Sequence[str]) -> list[Check]:
    """The checks of these ids and layers (`way-out` is `way out`); all when none is named.

    Raises: SetupError ``no-such-check``.
    """
    layers = {layer.replace(" ", "-"): layer for layer in LAYERS}
    wanted = {layers.get(word.replace(" ", "-"), word) for word in only}
    for word in sorted(wanted - set(TABLE) - set(LAYERS)):
        raise SetupError(
            "no-such-check",
            f"there is no check and no layer {word!r}. Layers: {', '.join(layers)}. Checks: {', '.join(TABLE)}",
        )
    return [c for c in TABLE.values() if not only or c.id in wanted or c.layer in wanted]
