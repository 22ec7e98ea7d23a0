"""Trials: one container from an image, watched to its end and always removed.

A trial is caged as a deployment is (no capabilities, read-only root, the same limits), so that what works here
works on a device. It has the network that a deployment has, on a bridge of its own where trials do not reach each
other: programs that fetch something can be tried. It holds no token of the lab.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from cyberlab.wire import Phase

from cyberlab_hub.errors import Cancelled, Conflict, HubError, NotFound, WorkFailed
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import limits, words
from cyberlab_hub.workshop.clock import StopClock
from cyberlab_hub.workshop.engine import Engine, filters
from cyberlab_hub.workshop.images import Images
from cyberlab_hub.workshop.orders import ExecOutcome, Progress, TrialEnd, TrialOrder
from cyberlab_hub.workshop.output import TAIL, Brake, Lines

TRIAL = "cyberlab.trial"
END_SECONDS = 10
TIMED_OUT = 124
"""Exit code of coreutils' `timeout` when it had to end the command."""


class Trials:
    def __init__(self, engine: Engine, images: Images, settings: Settings) -> None:
        self._engine = engine
        self._images = images
        self._settings = settings
        self._network_lock = threading.Lock()

    def run(self, order: TrialOrder, progress: Progress) -> TrialEnd:
        """Run to the end, time over or cancel. See `Workshop.run_trial`.

        Raises:
            Cancelled: the user stopped it.
            WorkFailed: ``image-missing``; ``trial-failed``: the program could not be started.
        """
        progress.phase(Phase.STARTING)
        reference = self._images.ensure_local(order.repository, order.digest)
        self._ensure_network()
        if progress.cancelled:
            raise Cancelled("cancelled", "You stopped this trial.")
        container = f"{self._prefix}{secrets.token_hex(8)}"
        self._engine.call(
            "POST", "/containers/create", params={"name": container}, body=self._description(order, reference)
        )
        try:
            return self._watch(container, order, progress)
        finally:
            self._remove(container)

    def exec(self, job: str, command: Sequence[str], seconds: float) -> ExecOutcome:
        """Run `command` inside the trial of `job`; its output is cut at 64 KB.

        Raises:
            NotFound: ``trial-ended``. WorkFailed: ``exec-timeout``.
        """
        container = self._running(job)
        # the engine cannot end an exec: `timeout` inside the container does
        argv = ["timeout", "-k", "1", "--", f"{seconds:g}", *command]
        body = {"AttachStdout": True, "AttachStderr": True, "Cmd": argv}
        try:
            made = self._engine.call("POST", f"/containers/{container}/exec", body=body)["Id"]
            output = self._exec_output(made, seconds)
            code = self._engine.call("GET", f"/exec/{made}/json")["ExitCode"]
        except (NotFound, Conflict) as error:
            raise _ended() from error
        if code is None or code == TIMED_OUT:
            raise WorkFailed("exec-timeout", f"The command was ended after {seconds:g} s.")
        return ExecOutcome(exit_code=int(code), output=output)

    def sweep(self) -> None:
        """Remove the trials of jobs that died with the service."""
        mine = filters(label=[f"cyberlab.lab={self._settings.name}", TRIAL], name=f"^/{self._prefix}")
        for container in self._engine.call("GET", "/containers/json", params={"all": 1, **mine}):
            self._remove(_name(container))

    # ------------------------------------------------------------ the container
    def _description(self, order: TrialOrder, reference: str) -> dict[str, Any]:
        return {
            "Image": reference,
            **({"Cmd": list(order.command)} if order.command else {}),
            "Env": [f"{n}={v}" for n, v in {**limits.proxied(self._settings), **dict(order.env)}.items()],
            "Labels": {"cyberlab.lab": self._settings.name, "cyberlab.owner": order.owner, TRIAL: order.job},
            "HostConfig": {
                **limits.cage(),
                "Init": True,
                "Tmpfs": {"/tmp": f"size={limits.RUN_TMP_BYTES},mode=1777"},  # noqa: S108 - inside the container
                "NetworkMode": self._network,
            },
        }

    def _watch(self, container: str, order: TrialOrder, progress: Progress) -> TrialEnd:
        try:
            self._engine.call("POST", f"/containers/{container}/start")
        except (WorkFailed, NotFound) as error:
            raise WorkFailed("trial-failed", error.message) from error
        progress.phase(Phase.RUNNING)
        lines = Lines(progress.log)
        try:
            with (
                self._engine.stream(
                    "GET", f"/containers/{container}/logs", params={"follow": 1, "stdout": 1, "stderr": 1}
                ) as stream,
                StopClock(lambda: self._stop(container), order.seconds) as clock,
                # a log that hangs must not keep the job
                StopClock(stream.close, order.seconds + limits.STOP_SECONDS + 10),
            ):
                progress.on_cancel(clock.cancel)
                for _source, chunk in stream.frames():
                    lines.feed(chunk)
        finally:
            self._read_end(container, lines)
            lines.finish()
        if clock.reason == "cancelled":
            raise Cancelled("cancelled", "You stopped this trial.")
        if clock.reason == "time":
            return TrialEnd(None, f"time over: it was stopped after {order.seconds} s")
        return _end(self._engine.call("GET", f"/containers/{container}/json")["State"])

    def _read_end(self, container: str, lines: Lines) -> None:
        """The engine keeps 2 MB of a log and overtakes whoever reads slower than it writes: the end is asked for."""
        if not lines.cut:
            return
        params = {"stdout": 1, "stderr": 1, "tail": TAIL}
        with (
            suppress(HubError),
            self._engine.stream("GET", f"/containers/{container}/logs", params=params) as stream,
            StopClock(stream.close, END_SECONDS),
        ):
            lines.ends_with([chunk for _source, chunk in stream.frames()])

    def _stop(self, container: str) -> None:
        with suppress(NotFound, Conflict):
            self._engine.call("POST", f"/containers/{container}/stop", params={"t": limits.STOP_SECONDS})

    def _remove(self, container: str) -> None:
        # gone, or being removed already
        with suppress(NotFound, Conflict):
            self._engine.call("DELETE", f"/containers/{container}", params={"force": 1, "v": 1})

    # ------------------------------------------------------------ exec
    def _running(self, job: str) -> str:
        mine = filters(label=[f"cyberlab.lab={self._settings.name}", f"{TRIAL}={job}"])
        found = self._engine.call("GET", "/containers/json", params=mine)
        if not found:
            raise _ended()
        return _name(found[0])

    def _exec_output(self, made: str, seconds: float) -> str:
        kept = b""
        brake = Brake()
        body = {"Detach": False, "Tty": False}
        with (
            self._engine.stream("POST", f"/exec/{made}/start", body=body) as stream,
            StopClock(stream.close, seconds + 5),
        ):
            for _source, chunk in stream.frames():
                kept += chunk[: max(0, limits.EXEC_OUTPUT_BYTES + 1 - len(kept))]
                brake.passed(len(chunk))
        text = kept[: limits.EXEC_OUTPUT_BYTES].decode(errors="replace")
        return text + ("\n(the rest is cut)\n" if len(kept) > limits.EXEC_OUTPUT_BYTES else "")

    # ------------------------------------------------------------ names
    @property
    def _prefix(self) -> str:
        """The engine lets this part touch containers of such names only, so they are called by name, never by id."""
        return f"{self._settings.name}-trial-"

    @property
    def _network(self) -> str:
        return f"{self._settings.name}-trials"

    def _ensure_network(self) -> None:
        with self._network_lock:
            if self._engine.exists(f"/networks/{self._network}"):
                return
            body = {
                "Name": self._network,
                "CheckDuplicate": True,
                "Driver": "bridge",
                "Options": {"com.docker.network.bridge.enable_icc": "false"},
                "Labels": {"cyberlab.lab": self._settings.name},
            }
            self._engine.call("POST", "/networks/create", body=body)


def _name(container: dict[str, Any]) -> str:
    """Of a container as the engine lists it."""
    return str(container["Names"][0]).removeprefix("/")


def _end(state: dict[str, Any]) -> TrialEnd:
    code = int(state["ExitCode"])
    if state.get("OOMKilled") or code == words.KILLED:
        return TrialEnd(code, f"out of memory: a program may use {limits.RUN_MEMORY_MB} MB")
    if code == words.NO_PROGRAM:
        return TrialEnd(code, "the image has no such program as the command names")
    return TrialEnd(code, "ended by itself")


def _ended() -> NotFound:
    return NotFound("trial-ended", "This trial is not running any more. Start a new one.")
