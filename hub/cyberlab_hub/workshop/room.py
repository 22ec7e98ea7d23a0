"""Room on the workshop engine's disk: what builds leave behind is dropped when space is short, before one is refused.

Dropped are, in this order, layers that no image uses and that no running build can have made, then the engine's copies
of users' images (the registry has them: a trial fetches its image again). Whatever a build made before it filled the
disk goes at once: it belongs to nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cyberlab_hub.disks import Disks, Use
from cyberlab_hub.errors import Conflict, HubError, NotFound, WorkFailed
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop.engine import Engine, filters

SHORT = 0.15
"""Below this part of the disk the lab clears up."""
NONE = 0.02
"""Below this part it starts no build."""
PRUNE_SECONDS = 300
ENGINE_DISK = "engine"
FULL = (
    "The disk of the workshop is full, and the lab has already dropped what it could. "
    "Delete images you no longer need, or tell the operator."
)


class Room:
    """Threads may share it."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._lock = threading.Lock()
        self._running: dict[object, float] = {}

    @contextmanager
    def for_build(self) -> Iterator[None]:
        """Around a build.

        Raises: WorkFailed ``disk-full``, when clearing up did not help.
        """
        if self._free() < SHORT:
            self.make()
            if self._free() < NONE:
                raise WorkFailed("disk-full", FULL)
        mark = object()
        with self._lock:
            self._running[mark] = time.time()
        try:
            yield
        finally:
            with self._lock:
                del self._running[mark]

    def make(self) -> None:
        """Drop what may be dropped, until there is room. An engine that refuses is left alone."""
        before = self._oldest_build()
        try:
            self._engine.call(
                "POST",
                "/images/prune",
                params=filters(dangling="true", until=str(int(before))),
                seconds=PRUNE_SECONDS,
            )
            for image in self._copies(before):
                if self._free() >= SHORT:
                    return
                for name in image["RepoTags"]:
                    self._drop(name)
        except HubError:
            return

    def forget(self, layers: Sequence[str], since: float) -> None:
        """Drop what a failed build made. `layers` came through the build's own output, where its author can write
        too: so only layers without a name, made since the build began, which cannot be anybody's image."""
        try:
            there = self._engine.call("GET", "/images/json", params={"all": 1})
        except HubError:
            return
        made = {
            str(image["Id"]).removeprefix("sha256:")[:12]: str(image["Id"])
            for image in there
            if image["Created"] >= int(since) and not _named(image.get("RepoTags"))
        }
        for layer in reversed(layers):
            if layer in made:
                self._drop(made[layer])

    # ------------------------------------------------------------ parts of it
    def _free(self) -> float:
        """Which part of the disk is free; 1 where the lab cannot see it (an engine on another host, or no bound)."""
        disks = Disks(self._settings.disks)
        if self._settings.engine_url or not disks.mounted(ENGINE_DISK):
            return 1.0
        use = disks.use(ENGINE_DISK) or Use(0, 1)
        return 1 - use.used / use.size

    def _oldest_build(self) -> float:
        with self._lock:
            return min([time.time(), *self._running.values()])

    def _copies(self, before: float) -> list[dict[str, Any]]:
        """Users' images on the engine, the oldest first. Bases stay: they take minutes to make."""
        images = self._engine.call("GET", "/images/json")
        return sorted(
            (
                image
                for image in images
                # a base has a name without the registry's address beside the one in it
                if image["Created"] < before
                and _all_below(f"{self._settings.registry}/", image.get("RepoTags"))
            ),
            key=lambda image: int(image["Created"]),
        )

    def _drop(self, name: str) -> None:
        try:
            self._engine.call("DELETE", f"/images/{name}")
        except (NotFound, Conflict):
            return  # gone with one above it, or something uses it


def _all_below(place: str, names: Sequence[str] | None) -> bool:
    return bool(names) and all(name.startswith(place) for name in names or ())


def _named(names: Sequence[str] | None) -> bool:
    return any(name != "<none>:<none>" for name in names or ())
