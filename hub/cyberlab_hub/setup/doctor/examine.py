"""Run checks, a few at a time, none for ever: what hangs or breaks becomes a finding like the others."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable

from cyberlab_hub.errors import HubError
from cyberlab_hub.setup.doctor.check import STATES, CannotTell, Check, Finding, State, Wrong
from cyberlab_hub.setup.doctor.patient import Patient

WORKERS = 3
"""Two cores, and checks that mostly wait for an answer."""
SECONDS = 60
"""For one check. They take milliseconds to a few seconds on an idle machine."""


def examine(
    patient: Patient, checks: Iterable[Check], tell: Callable[[Finding], None], seconds: float = SECONDS
) -> list[Finding]:
    """Run every check and `tell` of each as it ends. Returns them as they are shown: the worst first."""
    waiting = list(checks)
    order = {check.id: number for number, check in enumerate(waiting)}
    running: dict[str, tuple[Check, float]] = {}
    ended: queue.Queue[Finding] = queue.Queue()
    findings: list[Finding] = []
    while waiting or running:
        while waiting and len(running) < WORKERS:
            check = waiting.pop(0)
            running[check.id] = (check, time.monotonic() + seconds)
            # a daemon: one that hangs must not keep the command from ending
            threading.Thread(target=_run, args=(patient, check, ended), daemon=True).start()
        first = min(deadline for _, deadline in running.values())
        try:
            fresh = [ended.get(timeout=max(0.0, first - time.monotonic()))]
        except queue.Empty:
            late = [check for check, deadline in running.values() if deadline <= time.monotonic()]
            fresh = [
                _finding(patient, c, "cannot-tell", (f"no answer within {seconds:.0f} s",)) for c in late
            ]
        for finding in fresh:
            if running.pop(finding.id, None) is not None:
                findings.append(finding)
                tell(finding)
    return sorted(findings, key=lambda f: (STATES.index(f.state), order[f.id]))


def _run(patient: Patient, check: Check, ended: queue.Queue[Finding]) -> None:
    try:
        finding = _finding(patient, check, "ok", (check.look(patient),))
    except Wrong as wrong:
        finding = _finding(patient, check, "wrong", wrong.details)
    except CannotTell as reason:
        finding = _finding(patient, check, "cannot-tell", (str(reason),))
    except HubError as error:
        finding = _finding(patient, check, "cannot-tell", (f"[{error.code}] {error.message}",))
    except Exception as error:
        # a check of ours that breaks must neither end the others nor pass for a good answer
        finding = _finding(patient, check, "cannot-tell", (f"{type(error).__name__}: {str(error)[:300]}",))
    ended.put(finding)


def _finding(patient: Patient, check: Check, state: State, details: tuple[str, ...]) -> Finding:
    settings = patient.settings
    words = {
        "name": settings.name,
        "state": settings.state,
        "secrets": settings.secrets,
        "certs": settings.certs,
    }
    mend = "" if state == "ok" else check.mend.format(**words)
    return Finding(check.id, check.layer, check.promise, state, tuple(d for d in details if d), mend)
