"""`WorkPanel`: one job of the form (build, trial or deployment) from click to end.

Two threads: the worker begins the job and reads its events; a short timer tells the browser, at most ten times
a second however fast the log runs. What the panel knows is one JSON-like dict, so that a page which is opened
again shows the job as it is, and the log is sent again from `log_lines`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cyberlab.errors import LabError
from cyberlab.progress.timeline import clean
from cyberlab.wire import BuildUsage, Job, JobEvent, Problem

if TYPE_CHECKING:
    from cyberlab.lab import JobHandle

KEPT_LINES = 5_000
TELL_SECONDS = 0.1

Tell = Callable[[dict[str, Any]], None]
TellLog = Callable[[bool, list[str]], None]
Refused = Callable[[tuple[Problem, ...]], None]
IDLE: dict[str, Any] = {
    "busy": False,
    "phase": "",
    "text": "",
    "step": 0,
    "steps": 0,
    "error": None,
    "next": "",
    "usage": "",
}


class WorkPanel:
    """`tell` gets the whole state; `tell_log` gets whether a new log begins, and the lines that came."""

    def __init__(self, lock: threading.RLock, tell: Tell, tell_log: TellLog) -> None:
        """`lock` is the form's own: with two locks a handler and a worker could wait for each other."""
        self._lock = lock
        self._tell = tell
        self._tell_log = tell_log
        self._timer: threading.Timer | None = None
        self._handle: JobHandle | None = None
        self._thread: threading.Thread | None = None
        self._stop_asked = False
        self._told_lines = 0
        self.log_lines: list[str] = []
        self.state: dict[str, Any] = dict(IDLE)

    # ------------------------------------------------------------ from the form
    def start(
        self,
        begin: Callable[[], JobHandle],
        done: Callable[[Job], str],
        refused: Refused | None = None,
        **about: Any,
    ) -> bool:
        """Begin a job in a thread and follow it. False when one is running already.

        `done` gets the job that ended well and returns the "what next" line; `refused` gets the problems of a
        request that was not accepted (without it they join the error); `about` goes into the state.
        """
        with self._lock:
            if self.state["busy"]:
                return False
            self._stop_asked = False
            self.log_lines, self._told_lines, self._handle = [], 0, None
            asking = {"busy": True, "phase": "queued", "started": _now(), "text": "Asking the lab"}
            self.state = {**IDLE, **asking, **about}
            self._tell_log(True, [])
            self._tell(self.state)
            self._thread = threading.Thread(target=self._work, args=(begin, done, refused), daemon=True)
            self._thread.start()
        return True

    def cancel(self) -> None:
        """Ask the lab to stop the job; the panel goes on until the lab says that it ended."""
        with self._lock:
            if not self.state["busy"] or self._stop_asked:
                return
            self._stop_asked = True
            self._change(text="Stopping", stopping=True)
            handle = self._handle
        if handle is not None:
            threading.Thread(target=self._ask_stop, args=(handle,), daemon=True).start()

    def note(self, **values: Any) -> None:
        """Add to the state from outside, for example the tasks of a deployment."""
        self._change(**values)

    def fail(self, error: LabError) -> None:
        with self._lock:
            self._change(error={"code": error.code, "message": error.message})

    def join(self, timeout: float) -> None:
        """Wait until the worker has ended; for code cells and tests."""
        if self._thread is not None:
            self._thread.join(timeout)

    # ------------------------------------------------------------ worker
    def _work(
        self, begin: Callable[[], JobHandle], done: Callable[[Job], str], refused: Refused | None
    ) -> None:
        try:
            handle = begin()
            with self._lock:
                self._handle = handle
                self._change(job=handle.id)
                stop_now = self._stop_asked
            if stop_now:
                handle.cancel()
            for event in handle.events():
                self._take(event)
            self._end(handle.job, done)
        except LabError as error:
            message = error.message
            if error.problems and refused is not None:
                refused(error.problems)
            elif error.problems:
                message = "\n".join([message, *(problem.message for problem in error.problems)])
            self._finish(phase="failed", error={"code": error.code, "message": message})
        except BaseException:
            # a fault of ours must not leave the panel busy for ever; the traceback still reaches the kernel's log
            message = "The form met a problem of its own. The work may go on in the lab: open the form again to see."
            self._finish(phase="failed", error={"code": "form-fault", "message": message})
            raise

    def _ask_stop(self, handle: JobHandle) -> None:
        try:
            handle.cancel()
        except LabError as error:
            with self._lock:
                self._stop_asked = False
                self._change(stopping=False, error={"code": error.code, "message": error.message})

    def _take(self, event: JobEvent) -> None:
        with self._lock:
            state = {**self.state, "phase": str(event.phase)}
            if event.kind == "log":
                self.log_lines.extend(clean(event.text).split("\n"))
            elif event.kind == "step":
                state.update(step=event.step or 0, steps=event.steps or 0, text=event.text)
            elif event.kind == "phase":
                state.update(text=event.text or state["text"])
                state.update(step=0, steps=0)
            elif event.text:
                self.log_lines.extend(clean(event.text).split("\n"))
            self.state = state
            self._tell_soon()

    def _end(self, job: Job, done: Callable[[Job], str]) -> None:
        values: dict[str, Any] = {"phase": str(job.phase), "result": job.result, "text": "", "next": ""}
        if job.error is not None:
            values["error"] = {"code": job.error.code, "message": job.error.message}
        if job.phase == "done":
            values["next"] = done(job)
        if used := job.result.get("usage"):
            values["usage"] = BuildUsage.model_validate(used).sentence
        self._finish(**values)

    def _finish(self, **values: Any) -> None:
        with self._lock:
            self.state = {**self.state, **values, "busy": False, "stopping": False, "finished": _now()}
            self._flush()

    # ------------------------------------------------------------ to the browser
    def _change(self, **values: Any) -> None:
        with self._lock:
            self.state = {**self.state, **values}
            self._tell_soon()

    def _tell_soon(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(TELL_SECONDS, self._flush)
            self._timer.daemon = True
            self._timer.start()

    def _flush(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._told_lines < len(self.log_lines):
                self._tell_log(False, self.log_lines[self._told_lines :])
            if len(self.log_lines) > KEPT_LINES:
                del self.log_lines[: len(self.log_lines) - KEPT_LINES]
            self._told_lines = len(self.log_lines)
            self._tell(self.state)


def _now() -> int:
    """Milliseconds since 1970, what a browser's clock counts in."""
    return time.time_ns() // 1_000_000
