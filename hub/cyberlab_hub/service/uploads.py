"""Archives that users send: unpacked in memory, a few at once."""

from __future__ import annotations

from functools import partial

from cyberlab.spec.archives import ArchiveRefused, unpack
from cyberlab.wire import Problem, SpecLimits, Unpacked

from cyberlab_hub.errors import SpecRefused
from cyberlab_hub.service.at_once import AtOnce


class Uploads:
    def __init__(self) -> None:
        self._at_once = AtOnce("quota-uploads", "archives", threads=2, each=2)

    async def unpack(self, owner: str, packed: bytes, limits: SpecLimits, *, without_top: bool) -> Unpacked:
        """The files of an archive.

        Raises:
            SpecRefused: with the code of `cyberlab.spec.archives`. OverQuota: ``quota-uploads``.
        """
        return await self._at_once.run(owner, partial(_unpacked, packed, limits, without_top))


def _unpacked(packed: bytes, limits: SpecLimits, without_top: bool) -> Unpacked:
    try:
        return unpack((packed,), limits, without_top=without_top)
    except ArchiveRefused as error:
        problem = Problem(path="files", code=error.code, message=error.message)
        raise SpecRefused(error.code, error.message, (problem,)) from error
