"""`publish`: how a program on a Pi says what it measured.

    from cyberlab_edge import publish

    publish("temperature", 21.5, unit="C")
    publish("air", {"co2": 612, "humidity": 41.0}, sensor="scd30", room="b12")

Where readings go is the environment's business: with ``CYBERLAB_GATEWAY`` (set by the lab on a device) to
the database, over TLS, in the background; without it one line of NDJSON each to standard output, or appended
to the file ``CYBERLAB_LOG``, which ``pandas.read_json(path, lines=True)`` reads back.

Set by the lab: ``CYBERLAB_GATEWAY``, ``CYBERLAB_DEVICE``, ``CYBERLAB_TOKEN_FILE``, ``CYBERLAB_CA_FILE``.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Protocol

from cyberlab_edge.outbox import Outbox
from cyberlab_edge.points import Point, reading
from cyberlab_edge.uplink import Uplink

AT_EXIT = 3.0
"""Seconds for the last readings when the program ends. An engine kills after ten."""
CLOCK_STEP_NS = 1_000_000
"""A clock that is behind the last stamp by more than this was set back on purpose."""


def publish(
    measurement: str,
    value: object,
    unit: str | None = None,
    *,
    at: int | float | datetime | None = None,
    sensor: str | None = None,
    **tags: object,
) -> None:
    """Send one reading: a number, True/False, a text, or a dict of several values that belong together.

    `unit` is what the number counts (``"C"``, ``"%"``, ``"hPa"``), `sensor` which of several sensors, `tags`
    anything else worth selecting by (``room="b12"``). `at` is the time of the reading: a datetime with a time
    zone, seconds as float, or whole nanoseconds; now, if left out. Returns at once; readings wait on the
    device while the network is away.

    Raises:
        PointError: the reading cannot be kept as it is; says what was expected.
    """
    stamp = _clock.now() if at is None else at
    _destination().put(reading(measurement, value, unit, at=stamp, sensor=sensor, tags=tags))


def flush(timeout: float = 10.0) -> bool:
    """Wait until all readings published so far have arrived. False when `timeout` seconds were not enough."""
    return _destination().flush(timeout)


class Clock:
    """Nanoseconds, each stamp later than the one before: two readings in one tick stay two points."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def now(self) -> int:
        with self._lock:
            stamp = time.time_ns()
            if self._last - CLOCK_STEP_NS <= stamp <= self._last:
                stamp = self._last + 1
            self._last = stamp
            return stamp


class Destination(Protocol):
    def put(self, point: Point) -> None: ...
    def flush(self, timeout: float) -> bool: ...
    def close(self, timeout: float) -> bool: ...


class LineLog:
    """One flat JSON object a reading: what a trial shows, and what pandas reads back."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._lock = threading.Lock()

    def put(self, point: Point) -> None:
        text = json.dumps(
            {"time": _iso(point.time_ns), "measurement": point.measurement, **point.fields, **point.tags},
            ensure_ascii=False,
        )
        with self._lock:
            if self._path is None:
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
            else:
                with open(self._path, "a", encoding="utf-8") as file:
                    file.write(text + "\n")

    def flush(self, timeout: float) -> bool:  # noqa: ARG002 - every line is out when `put` returns
        return True

    def close(self, timeout: float) -> bool:
        return self.flush(timeout)


def _iso(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


# ---------------------------------------------------------------- the one destination of this process
_clock = Clock()
_lock = threading.Lock()
_current: Destination | None = None


def _destination() -> Destination:
    global _current
    if _current is None:
        with _lock:
            if _current is None:
                _current = _open(os.environ)
                _end_well()
    return _current


def _open(env: os._Environ[str] | dict[str, str]) -> Destination:
    gateway = env.get("CYBERLAB_GATEWAY", "")
    if not gateway:
        return LineLog(env.get("CYBERLAB_LOG"))
    uplink = Uplink(
        gateway,
        device=env.get("CYBERLAB_DEVICE", ""),
        token_file=env.get("CYBERLAB_TOKEN_FILE", "/run/secrets/cyberlab_token"),
        ca_file=env.get("CYBERLAB_CA_FILE", "/run/cyberlab/ca.crt"),
    )
    return Outbox(uplink.send)


def _end_well() -> None:
    """Send what is left at exit; make SIGTERM an exit, unless the program has its own plan for it.

    As process 1 of a container Python would ignore SIGTERM and be killed ten seconds later, readings and all.
    """
    atexit.register(_close)
    if not isinstance(_current, Outbox) and os.getpid() != 1:
        return
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _close() -> None:
    if _current is not None:
        _current.close(AT_EXIT)


def _forked() -> None:
    """The queue and its thread belong to the parent; a child process opens its own."""
    global _current, _lock
    _current, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forked)
