"""An archive becomes files of a spec, without ever touching a disk: zip, tar, tar.gz, tar.xz, tar.bz2.

    archives        the way in: kind, unpacking piece by piece, sentences
    gathering       what every entry must obey: names, counts, bytes, time
    archive_tar     one entry of a tar after the other
    archive_zip     a zip, read by its directory, which must agree with what it points at

Python's own `tarfile` and `zipfile` are made to open whatever programs ever wrote, and believe what it says: sizes,
names added later, several entries over the same bytes. These readers take only what has one meaning: regular files and
folders, each byte of the archive belonging to exactly one of them. Everything is counted while it streams, so a bomb is
refused at the first byte over a limit, whatever it claims. Modes, owners and times are dropped; archives inside stay
files.
"""

from __future__ import annotations

import bz2
import lzma
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Protocol

from cyberlab.spec.archive_tar import read_tar
from cyberlab.spec.archive_zip import read_zip
from cyberlab.spec.gathering import ArchiveRefused, Gathering, damaged
from cyberlab.spec.image import FileEntry
from cyberlab.wire import SpecLimits, Unpacked

__all__ = ["PACKED_BYTES", "ArchiveRefused", "gather", "is_archive", "unpack"]

PACKED_BYTES = 8_500_000
"""Of the archive itself: the files of a spec, not packed at all, and their names."""
PIECE = 65_536
XZ_MEMORY = 70 * 2**20
"""What ``xz -9`` needs, and no more."""
ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")


def is_archive(name: str) -> bool:
    """Whether a file of this name is one that `unpack` opens."""
    return name.lower().endswith(ENDINGS)


def unpack(
    pieces: Iterable[bytes],
    limits: SpecLimits | None = None,
    *,
    without_top: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Unpacked:
    """The files of an archive that arrives in pieces.

    Args:
        without_top: when everything lies in one folder, leave that folder out of the paths.

    Raises:
        ArchiveRefused: with a stable code and a sentence for a student.
    """
    gathering = Gathering(limits or SpecLimits(), clock)
    packed = _Packed(iter(pieces), gathering)
    head = packed.peek(6)
    if head.startswith(b"PK"):
        read_zip(packed.everything(), gathering)
    else:
        unpacker = _unpacker(head)
        read_tar(_Exactly(_Inflated(packed, unpacker).read if unpacker else packed.read), gathering)
    files = gathering.files()
    return Unpacked(files=_without_top(files) if without_top else files, skipped=gathering.skipped)


def gather(
    files: Iterable[tuple[str, bytes]],
    limits: SpecLimits | None = None,
    *,
    without_top: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Unpacked:
    """The files of a folder that a browser sent, by the same rules.

    Raises:
        ArchiveRefused
    """
    gathering = Gathering(limits or SpecLimits(), clock)
    for name, content in files:
        gathering.count()
        gathering.begin(name)
        gathering.take(content)
        gathering.end()
    kept = gathering.files()
    return Unpacked(files=_without_top(kept) if without_top else kept, skipped=gathering.skipped)


def _without_top(files: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
    tops = {file.path.partition("/")[0] if "/" in file.path else "" for file in files}
    if len(tops) != 1 or "" in tops:
        return files
    return tuple(file.model_copy(update={"path": file.path.partition("/")[2]}) for file in files)


# ---------------------------------------------------------------- bytes as they arrive
class _Packed:
    """The archive's own bytes, counted."""

    def __init__(self, pieces: Iterable[bytes], gathering: Gathering) -> None:
        self._pieces = iter(pieces)
        self._gathering = gathering
        self._waiting = b""
        self._seen = 0

    def read(self, most: int) -> bytes:
        """Up to so many bytes; none at the end."""
        while not self._waiting:
            self._gathering.tick()
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._waiting = bytes(piece)
            self._seen += len(piece)
            if self._seen > PACKED_BYTES:
                raise ArchiveRefused(
                    "archive-too-large",
                    f"The archive has more than {PACKED_BYTES / 1e6:g} MB. Leave out what the program does not need.",
                )
        taken, self._waiting = self._waiting[:most], self._waiting[most:]
        return taken

    def peek(self, count: int) -> bytes:
        head = b""
        while len(head) < count and (more := self.read(count - len(head))):
            head += more
        self._waiting = head + self._waiting
        return head

    def everything(self) -> bytes:
        whole = bytearray()
        while piece := self.read(PIECE):
            whole += piece
        return bytes(whole)


class _Unpacker(Protocol):
    """What gzip, xz and bzip2 have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class _Gzip:
    """`zlib` keeps what it did not take yet outside; the others keep it inside."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _unpacker(head: bytes) -> _Unpacker | None:
    if head.startswith(b"\x1f\x8b"):
        return _Gzip()
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    return None


class _Inflated:
    """What comes out of the unpacker, never more at once than was asked for."""

    def __init__(self, packed: _Packed, unpacker: _Unpacker) -> None:
        self._packed = packed
        self._unpacker = unpacker
        self._starved = True

    def read(self, most: int) -> bytes:
        while not self._unpacker.eof:
            data = self._packed.read(PIECE) if self._starved else b""
            ended = self._starved and not data
            try:
                out = self._unpacker.decompress(data, most)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
                raise damaged("its packed part cannot be read") from error
            self._starved = len(out) < most
            if out:
                return out
            if ended:
                raise damaged("it ends too early")
        if self._unpacker.unused_data or self._packed.read(1):
            raise ArchiveRefused(
                "archive-trailing",
                "Something follows after the end of the archive, such as a second archive. Pack everything into one.",
            )
        return b""


class _Exactly:
    """Reads all that was asked for, or what is left at the end."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def __call__(self, count: int) -> bytes:
        parts = []
        while count > 0 and (part := self._read(min(count, PIECE))):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
