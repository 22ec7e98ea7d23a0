"""The identity of what a spec builds: equal digest, equal image, nothing to build."""

from __future__ import annotations

import hashlib

from cyberlab.spec.dockerfile import render
from cyberlab.spec.files import context_files
from cyberlab.spec.image import ImageSpec
from cyberlab.wire import Catalogue


def spec_digest(spec: ImageSpec, catalogue: Catalogue, base_digest: str = "") -> str:
    """``sha256:...`` over the Dockerfile, the files, the platforms and the base image that FROM names.

    The name is no part of it: two images of the same content have the same digest.

    Raises:
        ValueError: `spec` has problems.
    """
    parts = [
        render(spec, catalogue).encode(),
        base_digest.encode(),
        ",".join(sorted(set(spec.platforms))).encode(),
    ]
    for path, content in context_files(spec):
        parts += [path.encode(), content]
    digest = hashlib.sha256()
    for part in parts:
        # the length first, so that no two lists of parts give the same bytes
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return f"sha256:{digest.hexdigest()}"
