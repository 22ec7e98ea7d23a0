"""`AuditPost`: entries of the audit from a process that must not wait for the lab's database (gateway, hub).

`put` only appends to a bounded queue; one thread writes. A database that is away costs entries, which are logged, and
holds nobody up.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from cyberlab.wire import AuditEntry

from cyberlab_hub.errors import HubError
from cyberlab_hub.service.audit import Audit

WAITING = 1_000
FLUSH_SECONDS = 5.0

log = logging.getLogger(__name__)


class AuditPost:
    def __init__(self, opened: Callable[[], Audit]) -> None:
        """`opened` gives the audit when it is first needed, and is called again after it raised a `HubError`."""
        self._opened = opened
        self._audit: Audit | None = None
        self._waiting: queue.Queue[AuditEntry | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, entry: AuditEntry) -> None:
        """Never waits."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="audit-post", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(entry)
        except queue.Full:
            log.error("not in the audit, %d others wait: %s", WAITING, entry)  # noqa: TRY400 - no traceback for each

    def close(self, seconds: float = 3.0) -> None:
        """Write what waits, within that time."""
        if self._thread is None:
            return
        try:
            self._waiting.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            try:
                entry = self._waiting.get(timeout=FLUSH_SECONDS)
            except queue.Empty:
                if self._audit is not None:
                    self._audit.flush()
                continue
            if entry is None:
                break
            self._write(entry)
        if self._audit is not None:
            self._audit.close()

    def _write(self, entry: AuditEntry) -> None:
        try:
            if self._audit is None:
                self._audit = self._opened()
            self._audit.record(entry)
        except HubError as error:
            log.error("not in the audit (%s): %s", error.code, entry)  # noqa: TRY400 - no traceback for each
        except Exception:
            log.exception("not in the audit: %s", entry)
