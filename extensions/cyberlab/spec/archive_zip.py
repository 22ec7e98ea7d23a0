"""A zip, read by its directory: which must account for every byte of the file, once, and agree with what it points at.

That is what stops overlapping entries (one small packed part that is listed a thousand times), a second directory, data
between entries and a local header that names another file than the directory does.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from cyberlab.spec.gathering import ArchiveRefused, Gathering, ambiguous, damaged
from cyberlab.spec.names import shown

PIECE = 65_536
_END = struct.Struct("<4s4H2LH")
_LISTED = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED, _LATER, _STRONG, _UTF8, _MASKED = 1, 1 << 3, 1 << 6, 1 << 11, 1 << 13
_STORED, _DEFLATED = 0, 8
_WIDE = 0xFFFFFFFF
"""“The true number stands elsewhere”: only archives over 4 GB need that."""


@dataclass(frozen=True)
class _Entry:
    """One row of the directory."""

    name: str
    raw: bytes
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    mode: int
    start: int
    """Where its local header stands."""


def read_zip(whole: bytes, gathering: Gathering) -> None:
    """Give every file and folder to `gathering`.

    Raises:
        ArchiveRefused
    """
    directory, length, count = _end(whole)
    position = 0
    for entry in sorted(
        _listed(whole[directory : directory + length], count, gathering), key=lambda e: e.start
    ):
        position = _unpacked(whole, entry, position, directory, gathering)
    if position != directory:
        raise ambiguous("it holds bytes that belong to no file")


def _end(whole: bytes) -> tuple[int, int, int]:
    """Start, length and rows of the one directory."""
    ends = []
    at = whole.find(b"PK\x05\x06", max(0, len(whole) - _END.size - 65_535))
    while at >= 0:
        if at + _END.size <= len(whole) and at + _END.size + _END.unpack_from(whole, at)[7] == len(whole):
            ends.append(at)
        at = whole.find(b"PK\x05\x06", at + 1)
    if not ends:
        raise damaged("its end is missing, or something follows after it")
    if len(ends) > 1:
        raise ambiguous("it has two ends")
    _, disk, first_disk, here, count, length, start, _ = _END.unpack_from(whole, ends[0])
    if disk or first_disk or here != count:
        raise ArchiveRefused("archive-parts", "This is one part of several. Pack everything into one file.")
    if count == 0xFFFF or _WIDE in (length, start) or whole[max(0, ends[0] - 20) :][:4] == b"PK\x06\x07":
        raise ambiguous("it is written in the form for archives over 4 GB")
    if start + length != ends[0]:
        raise ambiguous("its directory is not where it should be")
    return start, length, count


def _listed(directory: bytes, count: int, gathering: Gathering) -> Iterator[_Entry]:
    at = 0
    for _ in range(count):
        gathering.count()
        if at + _LISTED.size > len(directory):
            raise damaged("its directory ends too early")
        row = _LISTED.unpack_from(directory, at)
        (
            sign,
            _,
            _,
            flags,
            method,
            _,
            _,
            checksum,
            packed,
            size,
            name,
            extra,
            comment,
            disk,
            _,
            mode,
            start,
        ) = row
        at += _LISTED.size
        raw = directory[at : at + name]
        at += name + extra + comment
        if sign != b"PK\x01\x02" or at > len(directory):
            raise damaged("its directory cannot be read")
        if disk or _WIDE in (packed, size, start):
            raise ambiguous("an entry is written in the form for archives over 4 GB")
        yield _Entry(_decoded(raw), raw, flags, method, checksum, packed, size, mode >> 16, start)
    if at != len(directory):
        raise ambiguous("its directory has more rows than it says")


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArchiveRefused(
            "file-name-encoding",
            f"The file name {shown(raw.decode('ascii', 'replace'))} is not written in UTF-8. Rename the file, "
            "with plain letters.",
        ) from error


# ---------------------------------------------------------------- one entry
def _unpacked(whole: bytes, entry: _Entry, position: int, directory: int, gathering: Gathering) -> int:
    """Give the entry to `gathering`; return where the next one must begin."""
    _check_kind(entry)
    if entry.start != position:
        raise ambiguous("two entries share bytes, or some belong to none")
    data = _local(whole, entry, directory)
    end = data + entry.packed
    if end > directory:
        raise ambiguous("an entry reaches into the directory")
    if entry.name.endswith("/"):
        if entry.size or entry.packed > 2:  # two bytes: nothing, packed
            raise ambiguous("a folder has content")
        gathering.folder(entry.name)
    else:
        gathering.begin(entry.name)
        gathering.announced(entry.size)
        _content(whole, entry, data, gathering)
        gathering.end()
    return end + _trailer(whole, entry, end)


def _check_kind(entry: _Entry) -> None:
    if entry.flags & (_ENCRYPTED | _STRONG | _MASKED):
        raise ArchiveRefused(
            "archive-encrypted", "The archive is locked with a password. Pack it again without one."
        )
    if entry.method not in (_STORED, _DEFLATED):
        raise ArchiveRefused(
            "archive-method",
            f"{shown(entry.name)} is packed in an unusual way. Pack the files again, as an ordinary zip.",
        )
    kind = stat.S_IFMT(entry.mode)
    if kind == stat.S_IFLNK:
        raise ArchiveRefused(
            "archive-link",
            f"{shown(entry.name)} is a link to another file. Replace it by the file itself and pack again.",
        )
    if kind and kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveRefused(
            "archive-special",
            f"{shown(entry.name)} is a device or a pipe, not a file. Leave it out and pack again.",
        )
    if (kind == stat.S_IFDIR) and not entry.name.endswith("/"):
        raise ambiguous("a folder is named like a file")


def _local(whole: bytes, entry: _Entry, directory: int) -> int:
    """Where the content begins, after a local header that says the same as the directory."""
    if entry.start + _LOCAL.size > directory:
        raise damaged("an entry is missing")
    sign, _, flags, method, _, _, checksum, packed, size, name, extra = _LOCAL.unpack_from(whole, entry.start)
    at = entry.start + _LOCAL.size
    same = (flags, method, whole[at : at + name]) == (entry.flags, entry.method, entry.raw)
    if sign != b"PK\x03\x04" or not same:
        raise ambiguous("an entry and the directory differ")
    open_ = (
        (0, _WIDE) if flags & _LATER else (_WIDE,)
    )  # the numbers stand behind the content, or in the long form
    numbers = ((checksum, entry.checksum), (packed, entry.packed), (size, entry.size))
    if any(said != true and said not in open_ for said, true in numbers):
        raise ambiguous("an entry and the directory give different sizes")
    return at + int(name) + int(extra)


def _content(whole: bytes, entry: _Entry, start: int, gathering: Gathering) -> None:
    """Unpacked in pieces: no more than was announced, and exactly that."""
    checksum, size = 0, 0
    for piece in _pieces(memoryview(whole)[start : start + entry.packed], entry.method):
        gathering.take(piece)
        checksum = zlib.crc32(piece, checksum)
        size += len(piece)
        if size > entry.size:
            raise ambiguous("a file is larger than it says")
    if size != entry.size:
        raise ambiguous("a file is smaller than it says")
    if checksum != entry.checksum:
        raise damaged("a file does not have the content it should have")


def _pieces(packed: memoryview, method: int) -> Iterator[bytes]:
    if method == _STORED:
        for at in range(0, len(packed), PIECE):
            yield bytes(packed[at : at + PIECE])
        return
    unpacker = zlib.decompressobj(wbits=-15)
    at = 0
    try:
        while at < len(packed) and not unpacker.eof:
            waiting = bytes(packed[at : at + PIECE])
            at += len(waiting)
            while waiting and not unpacker.eof:
                yield unpacker.decompress(waiting, PIECE)
                waiting = unpacker.unconsumed_tail
    except zlib.error as error:
        raise damaged("a file cannot be unpacked") from error
    if not unpacker.eof or unpacker.unused_data or at < len(packed):
        raise damaged("a file ends too early or too late")


def _trailer(whole: bytes, entry: _Entry, at: int) -> int:
    """Bytes of the sizes that follow the content when they were not known before it."""
    if not entry.flags & _LATER:
        return 0
    for form in ("<4sLLL", "<4sLQQ", "<LLL", "<LQQ"):
        size = struct.calcsize(form)
        if at + size > len(whole):
            continue
        found = struct.unpack_from(form, whole, at)
        sign, said = (found[0], found[1:]) if form.startswith("<4s") else (b"PK\x07\x08", found)
        if sign == b"PK\x07\x08" and said == (entry.checksum, entry.packed, entry.size):
            return size
    raise ambiguous("the sizes after a file differ from the directory's")
