"""One entry of a tar after the other: POSIX, GNU and the old form, as far as they have one meaning."""

from __future__ import annotations

import re
from collections.abc import Callable

from cyberlab.spec.gathering import ArchiveRefused, Gathering, ambiguous, damaged
from cyberlab.spec.names import shown

BLOCK = 512
LONG_BYTES = 65_536
"""Of a header that only extends the next one."""
PADDING_BYTES = 65_536
"""Zeros after the end; tar itself fills up to 10 kB."""

_KINDS = {"1": "link", "2": "link", "3": "special", "4": "special", "6": "special", "S": "sparse"}

Read = Callable[[int], bytes]


def read_tar(read: Read, gathering: Gathering) -> None:
    """Give every file and folder to `gathering`.

    Raises:
        ArchiveRefused
    """
    extension: str | None = None
    """The long name that a header before this one brought; empty when it brought none."""
    first = True
    while (block := read(BLOCK)) != bytes(BLOCK):
        gathering.count()
        kind, name, size = _header(block, first)
        first = False
        if kind in ("x", "L"):
            if extension is not None:
                raise ambiguous("an entry is extended twice")
            extension = _extension(kind, _small(read, size))
        elif kind == "g":
            _global(_small(read, size))
        else:
            _entry(read, gathering, kind, extension or name, size)
            extension = None
    if extension is not None:
        raise damaged("the last entry is missing")
    _nothing_more(read)


def _entry(read: Read, gathering: Gathering, kind: str, name: str, size: int) -> None:
    if kind == "5" or (kind in "0\0" and name.endswith("/")):
        if size:
            raise ambiguous("a folder has content")
        gathering.folder(name)
        return
    if kind not in ("0", "\0"):
        raise _unwanted(kind, name)
    gathering.begin(name)
    gathering.announced(size)
    left = size
    while left:
        piece = read(min(left, 65_536))
        if not piece:
            raise damaged("it ends too early")
        gathering.take(piece)
        left -= len(piece)
    _skip(read, -size % BLOCK)
    gathering.end()


# ---------------------------------------------------------------- headers
def _header(block: bytes, first: bool) -> tuple[str, str, int]:
    """Kind, name and size. The sum over the header is checked before anything in it is believed."""
    if len(block) < BLOCK:
        raise _not_an_archive() if first else damaged("it ends too early")
    blank = block[:148] + b" " * 8 + block[156:]
    said = re.fullmatch(rb" *([0-7]{1,8})[ \0]*", block[148:156])
    if said is None or int(said[1], 8) != sum(blank):
        raise _not_an_archive() if first else damaged("a header does not add up")
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    number = re.fullmatch(rb" *([0-7]{1,12})?[ \0]*", block[124:136])
    if number is None:  # the form for sizes over 8 GB, or nonsense
        raise ArchiveRefused("file-too-large", f"{shown(name)} says that it has gigabytes. Leave it out.")
    return chr(block[156]), name, int(number[1] or b"0", 8)


def _text(field: bytes) -> str:
    return _decoded(field.partition(b"\0")[0])


def _decoded(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArchiveRefused(
            "file-name-encoding",
            f"The file name {shown(name.decode('ascii', 'replace'))} is not written in UTF-8. Rename the file, "
            "with plain letters.",
        ) from error


# ---------------------------------------------------------------- headers that extend the next
def _small(read: Read, size: int) -> bytes:
    if size > LONG_BYTES:
        raise ambiguous("the name of an entry has more than 64 kB")
    content = read(size)
    if len(content) < size:
        raise damaged("it ends too early")
    _skip(read, -size % BLOCK)
    return content


def _extension(kind: str, content: bytes) -> str:
    """The long name that a header brings; empty when it brings other things only."""
    if kind == "L":
        return _text(content) or _unnamed()
    records = _records(content)
    if any(key.startswith("GNU.sparse") for key in records):
        raise _unwanted("S", records.get("GNU.sparse.name", "a file"))
    if "size" in records:
        raise ambiguous("an entry has two sizes")
    if "path" in records:
        return records["path"] or _unnamed()
    return ""


def _unnamed() -> str:
    raise ambiguous("an entry has an empty name")


def _global(content: bytes) -> None:
    """What holds for all entries may be a comment, such as git's; never a name or a size."""
    if {"path", "linkpath", "size"} & set(_records(content)):
        raise ambiguous("one name is given to all entries")


def _records(content: bytes) -> dict[str, str]:
    """``LENGTH KEY=VALUE\\n``, one after the other."""
    records: dict[str, str] = {}
    while content:
        head = re.match(rb"([1-9][0-9]{0,5}) ([^=\0\n]{1,255})=", content)
        if head is None or not head.end() < int(head[1]) <= len(content) or content[int(head[1]) - 1] != 10:
            raise damaged("a header cannot be read")
        key = _decoded(head[2])
        value = content[head.end() : int(head[1]) - 1]
        content = content[int(head[1]) :]
        if key in records:
            raise ambiguous("a header says the same thing twice")
        records[key] = _decoded(value) if key in ("path", "GNU.sparse.name") else ""
    return records


# ---------------------------------------------------------------- the rest
def _skip(read: Read, count: int) -> None:
    if len(read(count)) < count:
        raise damaged("it ends too early")


def _nothing_more(read: Read) -> None:
    """After the first empty block come only zeros, and not many."""
    seen = 0
    while piece := read(BLOCK):
        seen += len(piece)
        if piece.strip(b"\0") or seen > PADDING_BYTES:
            raise ArchiveRefused(
                "archive-trailing",
                "Something follows after the end of the archive, such as a second archive. Pack everything into one.",
            )
    if seen < BLOCK:
        raise damaged("it ends too early")


def _unwanted(kind: str, name: str) -> ArchiveRefused:
    what = _KINDS.get(kind, "unknown")
    said = {
        "link": "is a link to another file. Replace it by the file itself and pack again",
        "special": "is a device or a pipe, not a file. Leave it out and pack again",
        "sparse": "is stored with holes. Copy the file and pack again, without the option --sparse",
        "unknown": "is neither a file nor a folder. Leave it out and pack again",
    }[what]
    code = f"archive-{'special' if what == 'unknown' else what}"
    return ArchiveRefused(code, f"{shown(name)} {said}.")


def _not_an_archive() -> ArchiveRefused:
    return ArchiveRefused(
        "archive-unknown", "This is not an archive that the lab can open. Pack the files as .zip or .tar.gz."
    )
