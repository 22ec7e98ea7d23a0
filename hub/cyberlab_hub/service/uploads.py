"""Archives that users send: unpacked in memory, a few at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CapacityLimiter, to_thread
from cyberlab.spec.archives import ArchiveRefused, unpack
from cyberlab.wire import Problem, SpecLimits, Unpacked

from cyberlab_hub.errors import OverQuota, SpecRefused

AT_ONCE = 2
AT_ONCE_EACH = 2
"""Waiting or being unpacked, of one user."""


class Uploads:
    def __init__(self) -> None:
        self._threads = CapacityLimiter(AT_ONCE)
        self._going_on: Counter[str] = Counter()

    async def unpack(self, owner: str, packed: bytes, limits: SpecLimits, *, without_top: bool) -> Unpacked:
        """The files of an archive.

        Raises:
            SpecRefused: with the code of `cyberlab.spec.archives`. OverQuota: ``quota-uploads``.
        """
        with self._one_more(owner):
            return await to_thread.run_sync(_unpacked, packed, limits, without_top, limiter=self._threads)

    @contextmanager
    def _one_more(self, owner: str) -> Iterator[None]:
        if self._going_on[owner] >= AT_ONCE_EACH:
            raise OverQuota(
                "quota-uploads",
                f"{AT_ONCE_EACH} archives of yours are being unpacked, and {AT_ONCE_EACH} are possible at once. "
                "Wait until one is done.",
            )
        self._going_on[owner] += 1
        try:
            yield
        finally:
            self._going_on[owner] -= 1
            if not self._going_on[owner]:
                del self._going_on[owner]


def _unpacked(packed: bytes, limits: SpecLimits, without_top: bool) -> Unpacked:
    try:
        return unpack((packed,), limits, without_top=without_top)
    except ArchiveRefused as error:
        problem = Problem(path="files", code=error.code, message=error.message)
        raise SpecRefused(error.code, error.message, (problem,)) from error
