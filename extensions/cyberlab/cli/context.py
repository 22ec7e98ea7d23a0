"""What a spec is built from, as files: for ``docker build`` outside of the lab."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from cyberlab.errors import LabError, SpecRefused
from cyberlab.spec.dockerfile import render
from cyberlab.spec.files import context_files
from cyberlab.spec.image import ImageSpec
from cyberlab.spec.problems import find_problems
from cyberlab.wire import Catalogue


def context(spec: ImageSpec, catalogue: Catalogue) -> dict[str, bytes]:
    """Path in the build context -> content.

    Raises:
        SpecRefused: with every problem of the spec.
    """
    if problems := find_problems(spec, catalogue):
        raise SpecRefused("spec-refused", f"{spec.name} cannot be built yet.", problems)
    return {
        "Dockerfile": render(spec, catalogue).encode(),
        "spec.json": spec.model_dump_json(indent=2, exclude_defaults=True).encode(),
        **dict(context_files(spec)),
    }


def write(files: Mapping[str, bytes], to: Path) -> None:
    """Into a new (or empty) folder, or into a .zip.

    Raises:
        LabError: it is there already, or cannot be written.
    """
    try:
        if to.suffix.lower() == ".zip":
            with zipfile.ZipFile(to, "x", zipfile.ZIP_DEFLATED) as archive:
                for path, content in sorted(files.items()):
                    archive.writestr(path, content)
            return
        to.mkdir(parents=True, exist_ok=True)
        if any(to.iterdir()):
            raise FileExistsError
        for path, content in files.items():
            target = to / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    except FileExistsError as error:
        raise LabError("file-exists", f"{to} is there already. Name another folder or .zip file.") from error
    except OSError as error:
        raise LabError("file-unwritable", f"{to} cannot be written: {error.strerror}.") from error
