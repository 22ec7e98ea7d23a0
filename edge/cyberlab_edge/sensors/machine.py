"""`system`: how busy the computer is: CPU, memory, disk, load, temperature.

On a Raspberry Pi these are the whole Pi's, from `/proc`. In a box (a simulated Pi, a container with limits) they are
the box's own, from its control group: `/proc` would show the machine underneath, which all boxes share. Load and
temperature belong to a whole machine and are left out of a box.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from cyberlab_edge.sensors import cgroup
from cyberlab_edge.sensors.reading import Reading

MB = 1e6


class Machine:
    """Reads the computer. CPU is the share since the reading before, so the first one has none yet.

    Fields: ``cpu_percent`` (0 to 100 of all CPUs it may use), ``memory_mb``, ``memory_percent``, ``disk_mb``,
    ``disk_percent`` and, of a whole machine, ``load_1m`` and ``temperature_c`` if there is a sensor. MB are 10^6.
    """

    def __init__(
        self,
        *,
        boxed: bool | None = None,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`boxed`: read the control group instead of `/proc`; None finds out, by the limits there are.

        `root`: where ``proc`` and ``sys`` are; for tests.
        """
        self._proc, self._sys, self._root = root / "proc", root / "sys", root
        self._cgroup = root / "sys/fs/cgroup"
        self._clock = clock
        self.boxed = self._is_boxed() if boxed is None else boxed
        self._before: tuple[float, float] | None = None

    def read(self) -> dict[str, float]:
        """The fields that can be read here and now."""
        fields = self._box() if self.boxed else self._whole()
        disk = shutil.disk_usage(self._root)
        fields["disk_mb"] = disk.used / MB
        fields["disk_percent"] = 100 * disk.used / (disk.used + disk.free)
        return {name: round(value, 2) for name, value in fields.items()}

    def _is_boxed(self) -> bool:
        box = cgroup.usage(self._cgroup)
        if box is None:
            return False
        total, _ = self._memory()
        return box.cpus is not None or (box.memory_limit is not None and box.memory_limit < total)

    def _box(self) -> dict[str, float]:
        box = cgroup.usage(self._cgroup)
        if box is None:
            return {}
        total = box.memory_limit or self._memory()[0]
        return {
            **self._cpu(box.cpu_seconds, self._clock() * (box.cpus or os.cpu_count() or 1)),
            "memory_mb": box.memory_bytes / MB,
            "memory_percent": 100 * box.memory_bytes / total,
        }

    def _whole(self) -> dict[str, float]:
        ticks = [int(t) for t in (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        idle = ticks[3] + ticks[4]
        total, available = self._memory()
        fields = {
            **self._cpu(sum(ticks) - idle, sum(ticks)),
            "memory_mb": (total - available) / MB,
            "memory_percent": 100 * (total - available) / total,
            "load_1m": float((self._proc / "loadavg").read_text().split()[0]),
        }
        if (heat := self._temperature()) is not None:
            fields["temperature_c"] = heat
        return fields

    def _cpu(self, used: float, possible: float) -> dict[str, float]:
        before, self._before = self._before, (used, possible)
        if before is None or possible <= before[1]:
            return {}
        share = 100 * (used - before[0]) / (possible - before[1])
        return {"cpu_percent": min(100.0, max(0.0, share))}

    def _memory(self) -> tuple[int, int]:
        """Bytes in all, and bytes a program could still have."""
        rows = dict(line.split(":", 1) for line in (self._proc / "meminfo").read_text().splitlines())
        total, available = (int(rows[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
        return total, available

    def _temperature(self) -> float | None:
        try:
            return int((self._sys / "class/thermal/thermal_zone0/temp").read_text()) / 1000
        except (OSError, ValueError):
            return None


def system(interval: float = 1.0, *, boxed: bool | None = None) -> Iterator[Reading]:
    """A `Reading` named ``system`` every `interval` seconds; its value is a dict of the fields of `Machine`."""
    machine = Machine(boxed=boxed)
    machine.read()  # the first one only starts the measuring of the CPU
    due = time.monotonic()
    while True:
        due = max(due + interval, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        yield Reading(machine.read(), None, datetime.now(UTC), "system")
