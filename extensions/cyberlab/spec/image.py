"""`ImageSpec`: what the form describes. Data, no behaviour.

The model accepts anything of the right type; whether the values are *allowed* is the business of
`cyberlab.spec.problems`, which reports every problem at once instead of stopping at the first.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FileEntry(BaseModel):
    """One file copied into the image. Exactly one of `text` and `data` is set."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    path: str
    """Where it goes: relative to the workdir, or absolute."""
    text: str | None = None
    """The content of a text file (UTF-8)."""
    data: str | None = None
    """The content of any other file, base64."""


class ImageSpec(BaseModel):
    """A user's image, as typed fields. The same spec always renders to the same Dockerfile."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """1 to 40 characters: lower-case letters, digits and single hyphens, starting with a letter."""
    base: str = "python"
    """Name of a base image of the catalogue."""
    apt: tuple[str, ...] = ()
    """Debian packages; only those the catalogue lists for the base."""
    pip: tuple[str, ...] = ()
    """Python requirements such as ``numpy==2.1.0`` (names and versions; no URLs, no options)."""
    npm: tuple[str, ...] = ()
    """npm packages such as ``mqtt@5.0.0`` (names and versions)."""
    files: tuple[FileEntry, ...] = ()
    workdir: str = "/usr/src/app"
    command: tuple[str, ...] = ()
    """argv of the program. Empty: the scenario's command."""
    env: dict[str, str] = Field(default_factory=dict)
    ports: tuple[int, ...] = ()
    """TCP ports the program listens on, 1024 to 65535."""
    scenario: str = "run-script"
    """How the image is run; a run scenario of the catalogue that fits the base."""
    devices: tuple[str, ...] = ()
    """Hardware profiles the code needs, such as ``camera``."""
    platforms: tuple[str, ...] = ()
    """Platforms to build for, such as ``linux/arm64``. Empty: those of the workshop engine."""
    custom: str = ""
    """Further Dockerfile instructions, one a line, from a strict allow-list."""
