"""The build context: a tar with fixed times and owners, so that the builder's cache sees equal files as equal."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from cyberlab_hub.errors import WorkFailed
from cyberlab_hub.workshop.limits import CONTEXT_BYTES

DOCKERFILE = ".cyberlab.dockerfile"
"""Named so that it meets no file of the user."""


def context_tar(dockerfile: str, files: Iterable[tuple[str, bytes]]) -> bytes:
    """The context of a build.

    Raises:
        WorkFailed: ``context-refused``: a path leaves the context or means something to the builder; too large in all.
    """
    entries = sorted(
        [(DOCKERFILE, dockerfile.encode()), *((_checked(path), content) for path, content in files)]
    )
    total = sum(len(content) for _path, content in entries)
    if total > CONTEXT_BYTES:
        raise WorkFailed(
            "context-refused",
            f"The files are {total // 10**6} MB in all; a build takes {CONTEXT_BYTES // 10**6} MB.",
        )
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, content in entries:
            info = tarfile.TarInfo(path)
            info.size = len(content)
            # a script is meant to be run
            info.mode = 0o755 if content.startswith(b"#!") else 0o644
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def labelled(dockerfile: str, labels: Mapping[str, str]) -> str:
    """The Dockerfile with its labels as one last instruction (the builder's own parameter makes a step of each)."""
    if not labels:
        return dockerfile
    pairs = " ".join(f"{_quoted(key)}={_quoted(value)}" for key, value in sorted(labels.items()))
    return f"{dockerfile.rstrip()}\nLABEL {pairs}\n"


def _quoted(text: str) -> str:
    flat = " ".join(text.split())
    escaped = flat.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def _checked(path: str) -> str:
    parts = PurePosixPath(path).parts
    climbs = path.startswith("/") or ".." in parts or "\0" in path or "\n" in path
    if climbs or not parts or parts in ((DOCKERFILE,), (".dockerignore",)):
        raise WorkFailed(
            "context-refused", f"A file cannot be called {path!r} in a build. Choose another path."
        )
    return str(PurePosixPath(*parts))
