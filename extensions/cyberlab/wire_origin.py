"""Wire models of provenance: which code wrote a reading."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from cyberlab.spec.image import FileEntry
from cyberlab.wire import View

HIDDEN = "(hidden)"
"""Stands for an environment value that is not for the eyes of a reader."""


class SourceFile(View):
    """A file that went into an image."""

    path: str
    size: int
    """Bytes."""
    sha256: str


class Origin(View):
    """One version of a program that was in force while readings were made."""

    kind: Literal["deployment", "notebook", "device"]
    """``notebook``: written by hand, with ``lab.publish`` or the API. ``device``: by something that runs no code of the
    lab's users: the lab's own program on a device, or a thing that somebody connected."""
    author: str
    """Whose deployment and image it is."""
    deployment: str
    """Its name: the tag `deployment` of the readings."""
    version: int | None = None
    """Of the history: names this origin in ``lab.source(origin)``."""
    since: datetime | None = None
    until: datetime | None = None
    """None: still in force. While an update is rolled out, two versions are in force."""
    stopped: bool = False
    """The deployment was stopped at `until`, not replaced."""
    image: str = ""
    """``owner/name:version``."""
    digest: str = ""
    """Registry manifest digest, ``sha256:...``."""
    devices: tuple[str, ...] = ()
    """Where it ran."""
    built: datetime | None = None
    base: str = ""
    spec: dict[str, Any] = Field(default_factory=dict)
    """The `ImageSpec` without its files. Values of `env` are for the author only."""
    deployed: dict[str, Any] = Field(default_factory=dict)
    """The `DeploymentSpec`. Values of `env` are for the author only."""
    dockerfile: str = ""
    """Empty for images built before the lab kept it."""
    files: tuple[SourceFile, ...] = ()


class Source(View):
    """The content of the files of an image."""

    image: str
    files: tuple[FileEntry, ...]
