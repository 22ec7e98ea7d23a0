"""Processes of the lab on the host: started once, found again, stopped exactly.

Each has ``run/NAME.json`` in the state folder (pid, the kernel's start time of that pid, a fingerprint of the code it
runs) and ``logs/NAME.log``. A pid alone is not trusted: another program may have been given the number since.

What a process starts itself carries the path of that file in its environment (`PART`), as containers carry the lab's
label. So what outlives one that was killed, such as the hub's proxy and idle culler, is found and ended with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cyberlab_hub.settings import ROOT, Settings

PART = "CYBERLAB_PART"
STOP_SECONDS = 20
LEFT_SECONDS = 5.0
LOG_BYTES = 10_000_000
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Those started by this very process: they stay zombies until they are asked after."""


@dataclass(frozen=True)
class Running:
    pid: int
    born: str
    """Field 22 of /proc/PID/stat: clock ticks between boot and the start of the process."""
    code: str
    """Fingerprint of the code and settings it was started with."""


def start(
    settings: Settings, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None, code: str = ""
) -> Running:
    """Start `argv` detached, with its output appended to the log."""
    log = settings.logs / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.parent.chmod(0o700)  # logs name people
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        child = subprocess.Popen(
            # make and non-interactive shells hand down an ignored SIGINT, with which JupyterHub stops in 60 s
            ["env", "--default-signal=INT", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {}), PART: str(_record(settings, name))},
            cwd=settings.state,
            start_new_session=True,
        )
    _CHILDREN[child.pid] = child
    running = Running(child.pid, _born(child.pid) or "", code)
    record = _record(settings, name)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(asdict(running)))
    return running


def find(settings: Settings, name: str) -> Running | None:
    """The process if it runs; None when it was never started, has ended, or its pid is somebody else's now."""
    record = _record(settings, name)
    if not record.exists():
        return None
    running = Running(**json.loads(record.read_text()))
    born = _born(running.pid)
    if born is None or born != running.born:
        record.unlink()
        return None
    return running


def stop(settings: Settings, name: str, seconds: float = STOP_SECONDS) -> bool:
    """SIGTERM, then SIGKILL after `seconds`; the same for what it left behind. Returns whether there was something."""
    running = find(settings, name)
    if running is not None:
        _end(running, seconds, os.killpg)
        _record(settings, name).unlink(missing_ok=True)
    left = _left(settings, name)
    for one in left:
        _end(one, LEFT_SECONDS, os.kill)
    return running is not None or bool(left)


def _end(running: Running, seconds: float, kill: Callable[[int, int], None]) -> None:
    for send, number, patience in ((os.kill, signal.SIGTERM, seconds), (kill, signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            send(running.pid, number)
        deadline = time.monotonic() + patience
        while _born(running.pid) == running.born:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return


def _left(settings: Settings, name: str) -> list[Running]:
    """Every process that carries the mark of this one."""
    mark = f"{PART}={_record(settings, name)}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, or is not ours to look at
            born = _born(int(folder.name))
            if born and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(Running(int(folder.name), born, ""))
    return found


def last_lines(settings: Settings, name: str, count: int = 8) -> str:
    """The end of the log, for an error message."""
    log = settings.logs / f"{name}.log"
    if not log.exists():
        return f"(no log at {log})"
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:]) + f"\n(whole log: {log})"


def fingerprint(settings: Settings, folders: Sequence[str]) -> str:
    """Changes when the code in `folders` of the checkout, the checkout itself or a setting changes."""
    digest = hashlib.sha256(f"{ROOT}\n{settings}".encode())
    for folder in folders:
        path = ROOT / folder
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            if "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _record(settings: Settings, name: str) -> Path:
    return settings.state / "run" / f"{name}.json"


def _born(pid: int) -> str | None:
    if pid in _CHILDREN and _CHILDREN[pid].poll() is not None:
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    words = stat.rpartition(")")[2].split()
    return None if words[0] == "Z" else words[19]
