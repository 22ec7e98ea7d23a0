"""One run of the classic builder under limits: its steps and lines to `Progress`, its failure into one sentence.

The classic builder, because BuildKit inside an engine ignores memory and CPU limits. The engine has no build time-out:
the clock is ours, and closing the connection cancels the build in about 0.1 s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from cyberlab_hub.errors import Cancelled, WorkFailed
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import build_words, limits
from cyberlab_hub.workshop.clock import StopClock
from cyberlab_hub.workshop.context import DOCKERFILE
from cyberlab_hub.workshop.engine import Engine
from cyberlab_hub.workshop.orders import Progress
from cyberlab_hub.workshop.output import Lines

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_PLUMBING = re.compile(
    r" ---> .*|Removing intermediate container .*|Successfully (built|tagged) .*|Sending build context .*|\s*"
)


class Builder:
    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings

    def run(self, tag: str, context: bytes, progress: Progress, platform: str = "") -> dict[str, Any]:
        """Build `context` into the image `tag`; return what the engine says about the image.

        Raises:
            WorkFailed: ``build-failed``, ``build-timeout``, ``disk-full``.
            Cancelled: the user stopped it.
            PartDown: the engine is away.
        """
        log = _BuildLog(progress)
        seconds = self._settings.build_seconds
        params = self._limits | {"t": tag, "dockerfile": DOCKERFILE}
        if platform:
            params["platform"] = platform
        with (
            self._engine.stream("POST", "/build", params=params, data=context) as stream,
            StopClock(stream.close, seconds) as clock,
        ):
            progress.on_cancel(clock.cancel)
            for message in stream.messages():
                log.take(message)
        if clock.reason == "cancelled":
            raise Cancelled("cancelled", "You stopped this build.")
        if clock.reason == "time":
            raise WorkFailed(
                "build-timeout",
                f"The build was stopped after {seconds} s, in {log.where}. Fewer or smaller libraries build faster.",
            )
        log.raise_failure(self._settings.build_memory_mb)
        image: dict[str, Any] = self._engine.call("GET", f"/images/{tag}/json")
        return image

    @cached_property
    def _limits(self) -> dict[str, str | int]:
        info = self._engine.call("GET", "/info")
        return limits.build_params(self._settings, info["CgroupDriver"], info["NCPU"])


class _BuildLog:
    """What the builder said so far."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lines = Lines(self._tell)
        self._error = ""
        self.where = "the first step"

    def take(self, message: Mapping[str, Any]) -> None:
        if "error" in message:
            self._lines.end()
            self._error = str(message["error"])
            return
        text = str(message.get("stream", ""))
        step = _STEP.fullmatch(text.rstrip("\n"))
        if step:
            self._step(int(step[1]), int(step[2]), step[3])
        elif not _PLUMBING.fullmatch(text.rstrip()):
            self._lines.feed(text)

    def _step(self, number: int, of: int, instruction: str) -> None:
        # what an earlier step printed does not explain the failure of a later one
        self._lines.end()
        self._lines.tail.clear()
        shown = " ".join(instruction.split())
        shown = "LABEL" if shown.startswith('LABEL "cyberlab.') else shown[:200]
        self.where = f"step {number} of {of} ({shown})"
        self._progress.step(number, of, shown)

    def _tell(self, line: str) -> None:
        if line.strip():
            self._progress.log(line)

    def raise_failure(self, memory_mb: int) -> None:
        self._lines.end()
        if self._error:
            said = build_words.explain(self.where, list(self._lines.tail), self._error, memory_mb)
            raise WorkFailed(said.code, said.message, said.problems)
