"""What the steps of a build use, sampled while their containers run.

One thread asks the engine a few times a second and never waits for the build, nor the build for it: an engine that
answers late or not at all costs figures, not time. What is used between the last sample and a step's end is not seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from cyberlab_hub.errors import HubError
from cyberlab_hub.workshop.engine import Engine

PAUSE_SECONDS = 0.25
ANSWER_SECONDS = 5.0


class Meter:
    """Inside `with`, tell it which container runs; afterwards read the figures."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._over = False
        self._container = ""
        self._cpu: dict[str, float] = {}
        self._peak = 0
        self._began = time.monotonic()
        self._ended: float | None = None

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        threading.Thread(target=self._run, name="meter", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._ended = time.monotonic()
        self._over = True
        self._changed.set()

    def watch(self, container: str) -> None:
        """This container runs now; "": none."""
        self._container = container
        self._changed.set()

    # ------------------------------------------------------------ figures
    @property
    def seconds(self) -> float:
        return (self._ended or time.monotonic()) - self._began

    @property
    def cpu_seconds(self) -> float | None:
        """Of all steps; None when no sample came (all steps from the cache, or each too short)."""
        with self._lock:
            return sum(self._cpu.values()) if self._cpu else None

    @property
    def peak_memory(self) -> int | None:
        """Bytes, without what the kernel would give back when asked (its file cache)."""
        with self._lock:
            return self._peak or None

    # ------------------------------------------------------------ sampling
    def _run(self) -> None:
        while not self._over:
            container = self._container
            if container:
                self._sample(container)
            self._changed.wait(PAUSE_SECONDS if container else None)
            self._changed.clear()

    def _sample(self, container: str) -> None:
        params = {"stream": 0, "one-shot": 1}
        try:
            said = self._engine.call(
                "GET", f"/containers/{container}/stats", params=params, seconds=ANSWER_SECONDS
            )
            cpu, memory = figures(said)
        except (HubError, ValueError, TypeError, KeyError, AttributeError):
            return  # the container has just ended, or the engine says something else than we know
        with self._lock:
            self._cpu[container] = max(cpu, self._cpu.get(container, 0.0))
            self._peak = max(self._peak, memory)


def figures(said: Mapping[str, Any]) -> tuple[float, int]:
    """Seconds of processor and bytes of memory, of what the engine says about a container.

    Raises:
        KeyError: it had ended already.
    """
    memory = said["memory_stats"]
    inside = memory.get("stats", {})
    # cgroup v1 and v2 name it differently
    cache = inside.get("total_inactive_file", inside.get("inactive_file", 0))
    return said["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, max(0, int(memory["usage"]) - int(cache))
