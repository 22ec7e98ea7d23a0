"""How fast an owner may send readings: a token bucket for each owner, over all tokens and devices of that owner.

A bucket holds `BURST_SECONDS` of the owner's rate and is full at first, so what a device kept while it was cut off
comes in quickly. A batch is let in while anything is in the bucket, and is paid for whole: it may leave a debt, which
has to run off before the next one. So a batch never has to fit, and over time nobody has more than the rate.

A full bucket and none are the same, which bounds the memory: full ones are dropped. The lab service and the gateway
each have their own buckets: one for what notebooks write, one for what devices send.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from cyberlab_hub.ingest.remembered import Remembered
from cyberlab_hub.service import policy
from cyberlab_hub.service.policy import Allowance

BURST_SECONDS = 10.0
LONGEST_SECONDS = 60.0
"""Longest wait that is told: a quota may be raised meanwhile, and one of 0 never lets anything pass."""
KEPT = 5_000
"""Buckets; more only while so many owners really send."""


@dataclass
class _Bucket:
    allowed: Allowance
    level: float
    at: float
    """When `level` was true."""

    def fill(self, now: float) -> None:
        most = self.allowed.value * BURST_SECONDS
        self.level = min(most, self.level + (now - self.at) * self.allowed.value)
        self.at = now

    @property
    def full(self) -> bool:
        return self.level >= self.allowed.value * BURST_SECONDS


class Pace:
    """Safe to use from every thread; looking up a quota blocks."""

    def __init__(
        self,
        allowed: Callable[[str], Allowance],
        clock: Callable[[], float] = time.monotonic,
        admit: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`allowed` gives an owner's quota `points`; `admit` raises what else speaks against the owner's sending."""
        self._quotas = Remembered(allowed, policy.default("points"), clock)
        self._admit = admit
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}

    def take(self, owner: str, points: int) -> None:
        """Let `points` of the owner's in.

        Raises:
            OverQuota: ``quota-points``, with the seconds after which to come again; and as `admit`.
        """
        self._admit(owner)
        allowed = self._quotas.of(owner)
        with self._lock:
            bucket = self._bucket(owner, allowed, self._clock())
            if bucket.level > 0:
                bucket.level -= points
                return
            wait = LONGEST_SECONDS
            if allowed.value:
                wait = min(wait, (1 - bucket.level) / allowed.value)
        raise policy.too_fast(allowed, wait)

    def give_back(self, owner: str, points: int) -> None:
        """They were not written after all."""
        with self._lock:
            bucket = self._buckets.get(owner)
            if bucket is not None:
                bucket.level += points

    def _bucket(self, owner: str, allowed: Allowance, now: float) -> _Bucket:
        """The owner's, filled; `allowed` counts from now on. The lock is held."""
        bucket = self._buckets.get(owner)
        if bucket is None:
            self._make_room(now)
            bucket = self._buckets[owner] = _Bucket(allowed, allowed.value * BURST_SECONDS, now)
        bucket.fill(now)  # with the old rate until now
        bucket.allowed = allowed
        return bucket

    def _make_room(self, now: float) -> None:
        if len(self._buckets) < KEPT:
            return
        for bucket in self._buckets.values():
            bucket.fill(now)
        self._buckets = {owner: bucket for owner, bucket in self._buckets.items() if not bucket.full}
