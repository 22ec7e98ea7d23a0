"""Whether an owner still has space for readings: what InfluxDB's disk holds of theirs, against the quota `readings`.

InfluxDB is asked once a minute for all owners together, so a batch costs a look into a table, and an owner gets over
the line by what they send in a minute at most. Nothing is refused while InfluxDB does not say how much there is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from cyberlab_hub.errors import PartDown
from cyberlab_hub.ingest.remembered import Remembered
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.service import policy
from cyberlab_hub.service.policy import Allowance

MEASURED_SECONDS = 60.0
"""How long a measurement of the space counts."""

log = logging.getLogger(__name__)


class Space:
    """Safe to use from every thread; measuring and looking up a quota block."""

    def __init__(
        self,
        allowed: Callable[[str], Allowance],
        spaces: Callable[[], Mapping[str, int] | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`allowed` gives an owner's quota `readings`, `spaces` the bytes of each database (`Store.spaces`)."""
        self._quotas = Remembered(allowed, policy.default("readings"), clock)
        self._spaces = spaces
        self._clock = clock
        self._lock = threading.Lock()
        self._measuring = threading.Lock()
        self._measured: Mapping[str, int] | None = None
        self._measured_at: float | None = None

    def used(self, owner: str) -> int | None:
        """Bytes on InfluxDB's disk, as of the last minute; None when it does not say."""
        measured = self._measurement()
        return None if measured is None else measured.get(database_of(owner), 0)

    def admit(self, owner: str) -> None:
        """Raises:
        OverQuota: ``quota-readings``, with the seconds after which to come again.
        """
        used = self.used(owner)
        if used is None:
            return
        allowed = self._quotas.of(owner)
        if used >= allowed.value * 1e9:
            raise policy.no_space(allowed, used, MEASURED_SECONDS)

    def forget(self) -> None:
        """Something was deleted: measure again."""
        self._measured_at = None

    def _measurement(self) -> Mapping[str, int] | None:
        at = self._measured_at
        if at is not None and self._clock() - at < MEASURED_SECONDS:
            return self._measured
        # one thread measures, the others go on with what is known: a slow answer must not hold up every batch
        if self._measuring.acquire(blocking=at is None):
            try:
                if self._measured_at == at:
                    self._measure()
            finally:
                self._measuring.release()
        return self._measured

    def _measure(self) -> None:
        try:
            self._measured = self._spaces()
        except PartDown as error:
            log.warning("the space of readings cannot be measured (%s): as before", error)
        self._measured_at = self._clock()
