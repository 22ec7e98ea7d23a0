"""`FileShelf`: the files of the form, held in the kernel; the browser sees a list and the file being edited."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from cyberlab.spec.files import file_entry
from cyberlab.spec.image import FileEntry
from cyberlab.wire import Scenario

EDITABLE_BYTES = 200_000
"""A longer text is listed but not opened in the editor: each pause in typing sends the whole text."""


@dataclass(frozen=True)
class Held:
    path: str
    content: bytes

    @property
    def text(self) -> str | None:
        try:
            text = self.content.decode("utf-8")
        except UnicodeDecodeError:
            return None
        return None if "\0" in text else text

    @property
    def entry(self) -> FileEntry:
        return file_entry(self.path, self.content)


class FileShelf:
    def __init__(self, entries: tuple[FileEntry, ...] = ()) -> None:
        self._files = [Held(e.path, _content(e)) for e in entries]
        self._sample: tuple[Held, ...] = ()

    def entries(self) -> tuple[FileEntry, ...]:
        return tuple(held.entry for held in self._files)

    def listing(self) -> list[dict[str, Any]]:
        """What the browser lists: path, size in bytes, and whether the editor can open it."""
        return [
            {
                "path": held.path,
                "size": len(held.content),
                "editable": held.text is not None and len(held.content) <= EDITABLE_BYTES,
            }
            for held in self._files
        ]

    def put(self, path: str, content: bytes) -> None:
        """Add a file, or give the one of that path new content in its place."""
        held = Held(path, content)
        for index, other in enumerate(self._files):
            if other.path == path:
                self._files[index] = held
                return
        self._files.append(held)

    def put_all(self, entries: tuple[FileEntry, ...]) -> None:
        for entry in entries:
            self.put(entry.path, _content(entry))

    def remove(self, path: str) -> None:
        self._files = [held for held in self._files if held.path != path]

    def rename(self, path: str, new: str) -> None:
        """Two files may end up with one path: that is a problem to show, not a reason to lose one."""
        self._files = [Held(new, held.content) if held.path == path else held for held in self._files]

    def text(self, path: str) -> str | None:
        return next((held.text for held in self._files if held.path == path), None)

    def first_editable(self, preferred: str = "") -> str:
        paths = [row["path"] for row in self.listing() if row["editable"]]
        return preferred if preferred in paths else next(iter(paths), "")

    # ------------------------------------------------------------ sample programs
    @property
    def untouched(self) -> bool:
        """Empty, or exactly the sample that was loaded: nobody's work would be lost."""
        return not self._files or tuple(self._files) == self._sample

    def adopt_sample(self, scenario: Scenario) -> None:
        """Count `scenario`'s sample as untouched when the shelf holds exactly that."""
        sample = (Held(scenario.sample_path, scenario.sample.encode()),)
        if tuple(self._files) == sample:
            self._sample = sample

    def load_sample(self, scenario: Scenario) -> None:
        self._sample = (Held(scenario.sample_path, scenario.sample.encode()),) if scenario.sample else ()
        self._files = list(self._sample)


def _content(entry: FileEntry) -> bytes:
    return base64.b64decode(entry.data) if entry.data is not None else (entry.text or "").encode()
