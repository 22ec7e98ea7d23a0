"""How much the registry holds for an owner: what the tags below the owner's name name, whoever pushed them.

Asked of the registry itself, so what was pushed by hand counts. An answer is used for some seconds, because a push
asks for several tokens in a row.

Its API does not show everything: layers that no manifest names, manifests without a tag, uploads that were never
finished. Who pushes by hand could fill the disk with them, so for that question the registry's own folders are looked
at, where the lab has them on a disk of its own (`linked_bytes`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cyberlab_hub.workshop.registry import Registry

FRESH_SECONDS = 5.0
REMEMBERED = 10_000
"""Owners, and manifests of about 1 KB."""


class Stored:
    """Threads may share it."""

    def __init__(
        self, registry: Registry, folder: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`folder` is the registry's root directory, if it can be seen from here."""
        self._registry = registry
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, int]] = {}
        self._manifests: dict[str, dict[str, int]] = {}

    def bytes_of(self, owner: str) -> int:
        """Raises:
        PartDown: ``registry-down``.
        """
        with self._lock:
            at, known = self._seen.get(owner, (-FRESH_SECONDS, 0))
            if self._clock() - at < FRESH_SECONDS:
                return known
            if max(len(self._seen), len(self._manifests)) >= REMEMBERED:
                self._seen.clear()
                self._manifests = {}
            manifests = self._manifests
        total = sum(self._registry.held(f"{owner}/", manifests).values())
        with self._lock:
            self._seen[owner] = (self._clock(), total)
        return total

    def with_hidden(self, owner: str) -> int:
        """Also what no tag names: layers of deleted images until they are cleaned away, unfinished uploads.

        Raises:
            PartDown: ``registry-down``.
        """
        tagged = self.bytes_of(owner)
        return max(tagged, linked_bytes(self._folder, owner)) if self._folder else tagged

    def forget(self, owner: str) -> None:
        """Something was deleted: measure anew."""
        with self._lock:
            self._seen.pop(owner, None)


def linked_bytes(folder: Path, owner: str) -> int:
    """What the folders of the owner's repositories link to, once each, and their uploads. See Docker Distribution's
    layout: ``repositories/NAME/{_layers,_manifests,_uploads}``, ``blobs/sha256/ab/abcd.../data``."""
    root = folder / "docker" / "registry" / "v2"
    digests: set[str] = set()
    total = 0
    for path, folders, files in os.walk(root / "repositories" / owner, onerror=None):
        kind, parent = os.path.basename(os.path.dirname(path)), os.path.basename(path)
        if "link" in files and kind == "sha256":
            digests.add(parent)
            folders.clear()
        elif kind == "_uploads":
            total += sum(_size(Path(path, name)) for name in files if name == "data")
            folders.clear()
    return total + sum(_size(root / "blobs" / "sha256" / one[:2] / one / "data") for one in digests)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # cleaned away, or just being moved
        return 0
