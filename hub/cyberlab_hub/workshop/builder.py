"""One run of the classic builder under limits: its steps and lines to `Progress`, its failure into one sentence.

The classic builder, because BuildKit inside an engine ignores memory and CPU limits. The engine has no build time-out:
the clock is ours, and closing the connection cancels the build in about 0.1 s.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cyberlab.wire import BuildUsage

from cyberlab_hub.errors import Cancelled, WorkFailed
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import build_words, limits
from cyberlab_hub.workshop.clock import StopClock
from cyberlab_hub.workshop.context import DOCKERFILE
from cyberlab_hub.workshop.engine import Engine
from cyberlab_hub.workshop.meter import Meter
from cyberlab_hub.workshop.orders import Progress
from cyberlab_hub.workshop.output import Brake, Lines, printable
from cyberlab_hub.workshop.room import Room

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_LAYER = re.compile(r" ---> ([0-9a-f]{12})")
_RUNNING = re.compile(r" ---> Running in ([0-9a-f]{12,64})")
_CACHED = " ---> Using cache"
_PLUMBING = re.compile(
    r" ---> .*|Removing intermediate container .*|Successfully (built|tagged) .*|Sending build context .*|\s*"
)


@dataclass(frozen=True)
class Built:
    image: Mapping[str, Any]
    """What the engine says about it."""
    usage: BuildUsage


class Builder:
    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._room = Room(engine, settings)

    def run(self, tag: str, context: bytes, progress: Progress, platform: str = "") -> Built:
        """Build `context` into the image `tag`.

        Raises:
            WorkFailed: ``build-failed``, ``build-timeout``, ``disk-full`` (what the build made is dropped then).
            Cancelled: the user stopped it.
            PartDown: the engine is away.
        """
        meter = Meter(self._engine)
        log = _BuildLog(progress, meter)
        with self._room.for_build():
            since = time.time()
            try:
                return self._run(tag, context, progress, platform, log)
            except WorkFailed as failure:
                if failure.code == "disk-full":
                    self._room.forget(log.layers, since)
                    self._room.make()
                raise

    def _run(self, tag: str, context: bytes, progress: Progress, platform: str, log: _BuildLog) -> Built:
        meter = log.meter
        seconds = self._settings.build_seconds
        params = self._limits | {"t": tag, "dockerfile": DOCKERFILE}
        if platform:
            params["platform"] = platform
        try:
            with (
                meter,
                self._engine.stream("POST", "/build", params=params, data=context) as stream,
                StopClock(stream.close, seconds) as clock,
            ):
                progress.on_cancel(clock.cancel)
                for message in stream.messages():
                    log.take(message)
        finally:
            log.finish()
        if clock.reason == "cancelled":
            raise Cancelled("cancelled", "You stopped this build.")
        if clock.reason == "time":
            raise WorkFailed(
                "build-timeout",
                f"The build was stopped after {seconds} s, in {log.where}. Fewer or smaller libraries build faster.",
            )
        usage = self._usage(meter, log)
        if log.failed:
            progress.log(usage.sentence)
        log.raise_failure(self._settings.build_memory_mb)
        return Built(self._engine.call("GET", f"/images/{tag}/json"), usage)

    def _usage(self, meter: Meter, log: _BuildLog) -> BuildUsage:
        cpu, memory = meter.cpu_seconds, meter.peak_memory
        return BuildUsage(
            seconds=round(meter.seconds, 1),
            seconds_limit=self._settings.build_seconds,
            cpu_seconds=None if cpu is None else round(cpu, 1),
            peak_memory_mb=None if memory is None else round(memory / limits.MB),
            memory_limit_mb=self._settings.build_memory_mb,
            steps=log.step,
            cached_steps=log.cached,
        )

    @cached_property
    def _limits(self) -> dict[str, str | int]:
        info = self._engine.call("GET", "/info")
        return limits.build_params(self._settings, info["CgroupDriver"], info["NCPU"])


class _BuildLog:
    """What the builder said so far."""

    def __init__(self, progress: Progress, meter: Meter) -> None:
        self._progress = progress
        self.meter = meter
        self.layers: deque[str] = deque(maxlen=100)
        """What was made so far, as the log says: see `Room.forget` before you believe it."""
        self._brake = Brake()
        self._lines = Lines(self._tell, self._brake)
        self._error = ""
        self._of = 0
        self._fresh = False
        """A step has been announced, and its program has not printed yet: what comes is the builder's own."""
        self.step = 0
        self.cached = 0
        self.where = "the first step"

    def take(self, message: Mapping[str, Any]) -> None:
        if "error" in message:
            self._lines.end()
            self._error = str(message["error"])
            return
        text = str(message.get("stream", ""))
        step = _STEP.fullmatch(text.rstrip("\n"))
        if step and self._is_next(int(step[1]), int(step[2])):
            self._step(int(step[1]), int(step[2]), step[3])
        elif not self._builders_own(text.rstrip()):
            self._fresh = False
            self._lines.feed(text)
        else:
            layer = _LAYER.fullmatch(text.rstrip())
            if layer:
                self.layers.append(layer[1])
            self._brake.passed(len(text))  # a program that prints nothing but such lines is a flood too
            if self._fresh and text.strip():
                self._begun(text.rstrip())

    def _builders_own(self, said: str) -> bool:
        # it ends each of its own lines with an empty one; a program's empty line ends that program's line
        return bool(_PLUMBING.fullmatch(said)) and (bool(said) or self._fresh)

    def _is_next(self, number: int, of: int) -> bool:
        """A program can print such a line too. It cannot make more steps of it than there are."""
        return number == self.step + 1 and number <= of and self._of in (0, of)

    def _begun(self, said: str) -> None:
        self._fresh = False
        running = _RUNNING.fullmatch(said)
        if running:
            self.meter.watch(running[1])
        elif said == _CACHED:
            self.cached += 1

    def _step(self, number: int, of: int, instruction: str) -> None:
        # what an earlier step printed does not explain the failure of a later one
        self._lines.end()
        self._lines.tail.clear()
        self.meter.watch("")
        self.step, self._of, self._fresh = number, of, True
        shown = " ".join(instruction.split())
        shown = "LABEL" if shown.startswith('LABEL "cyberlab.') else printable(shown)[:200]
        self.where = f"step {number} of {of} ({shown})"
        self._progress.step(number, of, shown)

    def _tell(self, line: str) -> None:
        if line.strip():
            self._progress.log(line)

    def finish(self) -> None:
        """Also after a cancel or a time-out: where it was is what one wants to know."""
        self._lines.finish()

    @property
    def failed(self) -> bool:
        return bool(self._error)

    def raise_failure(self, memory_mb: int) -> None:
        if self._error:
            said = build_words.explain(self.where, list(self._lines.tail), printable(self._error), memory_mb)
            raise WorkFailed(said.code, said.message, said.problems)
