"""`Gathering`: the rules that every entry of an archive obeys, whatever the archive's kind."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from cyberlab.spec.files import file_entry, relative
from cyberlab.spec.image import FileEntry
from cyberlab.spec.names import shown
from cyberlab.wire import SpecLimits

ENTRIES_PER_FILE = 10
"""Entries of any kind (folders, skipped files) that may stand beside each file a spec may have."""
WORK_PER_BYTE = 4
"""Bytes that may be unpacked, skipped files included, for each byte a spec may have."""
SECONDS = 10.0

_CLUTTER = frozenset({"__pycache__", "node_modules", "venv", "__macosx", "thumbs.db", "desktop.ini"})
_DRIVE = re.compile(r"[A-Za-z]:")
_ANYWHERE = "/"
"""No workdir starts the path of an entry: absolute ones are refused before."""


class ArchiveRefused(ValueError):
    """`message` says to a student what is wrong and what to do; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def damaged(why: str) -> ArchiveRefused:
    return ArchiveRefused("archive-damaged", f"The archive is damaged: {why}. Pack it again.")


def ambiguous(why: str) -> ArchiveRefused:
    return ArchiveRefused(
        "archive-ambiguous",
        f"Programs would open this archive in different ways: {why}. Pack the files again, as an ordinary zip.",
    )


def is_clutter(path: str) -> bool:
    """A file that nobody means to send: hidden, or in a folder that tools fill by themselves."""
    return any(part.startswith(".") or part.casefold() in _CLUTTER for part in path.split("/"))


class Gathering:
    """Takes entries one after the other; raises `ArchiveRefused` at the first byte too many."""

    def __init__(self, limits: SpecLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._until = clock() + SECONDS
        self._entries = 0
        self._work = 0
        self._total = 0
        self._kept: list[FileEntry] = []
        self._placed: dict[str, tuple[str, bool]] = {}
        """How a path looks to a computer that ignores case -> the path, and whether it is a folder."""
        self._path = ""
        self._content: bytearray | None = None
        self._size = 0
        self.skipped = 0

    def tick(self) -> None:
        if self._clock() > self._until:
            raise ArchiveRefused(
                "archive-slow", f"Reading the files took longer than {SECONDS:g} s. Send fewer files."
            )

    def count(self) -> None:
        """One more entry of any kind."""
        self.tick()
        self._entries += 1
        most = self._limits.files * ENTRIES_PER_FILE
        if self._entries > most:
            raise ArchiveRefused(
                "archive-too-many",
                f"There are more than {most:,} files and folders. Leave out folders such as node_modules or venv.",
            )

    def folder(self, name: str) -> None:
        path = _inside(name.rstrip("/") if name.rstrip("/") else name)
        if path:
            self._claim(path, folder=True)

    def begin(self, name: str) -> None:
        """A file begins; `take` brings its content, `end` keeps it."""
        self._path = _inside(name)
        if not self._path:
            raise ArchiveRefused(
                "file-path", f"{shown(name)} is not the path of a file. Rename it and pack again."
            )
        self._claim(self._path, folder=False)
        self._size = 0
        self._content = None if is_clutter(self._path) else bytearray()
        if self._content is None:
            self.skipped += 1
        elif len(self._kept) >= self._limits.files:
            raise ArchiveRefused(
                "files-too-many",
                f"There are more than {self._limits.files} files. Leave out what the program does not need.",
            )

    def announced(self, size: int) -> None:
        """What the entry says about its size, before anything is unpacked."""
        if self._content is not None and size > self._limits.file_bytes:
            raise self._too_large()

    def take(self, piece: bytes) -> None:
        self.tick()
        self._work += len(piece)
        self._size += len(piece)
        if self._content is None:
            if self._work > self._limits.total_bytes * WORK_PER_BYTE:
                raise self._too_much()
            return
        self._total += len(piece)
        if self._size > self._limits.file_bytes:
            raise self._too_large()
        if self._total > self._limits.total_bytes or self._work > self._limits.total_bytes * WORK_PER_BYTE:
            raise self._too_much()
        self._content += piece

    def end(self) -> None:
        if self._content is not None:
            self._kept.append(file_entry(self._path, bytes(self._content)))
        self._content = None

    def files(self) -> tuple[FileEntry, ...]:
        if not self._kept:
            raise ArchiveRefused("archive-empty", "There is no file in it that could be added.")
        return tuple(sorted(self._kept, key=lambda entry: entry.path))

    # ------------------------------------------------------------ names
    def _claim(self, path: str, *, folder: bool) -> None:
        for at, char in enumerate(path):
            if char == "/":
                self._place(path[:at], folder=True)
        self._place(path, folder=folder)

    def _place(self, path: str, *, folder: bool) -> None:
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
        if key not in self._placed:
            self._placed[key] = (path, folder)
            return
        other, is_folder = self._placed[key]
        if other != path:
            raise ArchiveRefused(
                "file-case",
                f"{shown(path)} and {shown(other)} look the same to many computers. Rename one of them.",
            )
        if is_folder != folder:
            raise ArchiveRefused(
                "file-is-folder", f"{shown(path)} is both a file and a folder. Rename one of them."
            )
        if not folder:
            raise ArchiveRefused(
                "file-duplicate", f"{shown(path)} is there twice. Remove one and pack again."
            )

    def _too_large(self) -> ArchiveRefused:
        return ArchiveRefused(
            "file-too-large",
            f"{shown(self._path)} has more than {self._limits.file_bytes / 1e6:g} MB, which is what a file may have. "
            "Leave it out, or let the program download it.",
        )

    def _too_much(self) -> ArchiveRefused:
        return ArchiveRefused(
            "files-too-large",
            f"The files have more than {self._limits.total_bytes / 1e6:g} MB in all. Leave out the largest files.",
        )


def _inside(name: str) -> str:
    """The path below the program's folder; empty for that folder itself."""
    if name in ("", ".", "./"):
        return ""
    if name.startswith(("/", "\\")) or _DRIVE.match(name):
        raise ArchiveRefused(
            "file-path",
            f"{shown(name)} is a place on somebody's disk, not a path inside the archive. Pack the folder itself.",
        )
    try:
        return relative(name, _ANYWHERE)
    except ValueError as error:
        raise ArchiveRefused("file-path", str(error)) from error
