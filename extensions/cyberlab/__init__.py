"""The student's side of the lab: specs, the client and, in a notebook, the form.

    from cyberlab import Lab, ImageSpec, FileEntry
    lab = Lab()
    image = lab.build(ImageSpec(name="greenhouse", files=(FileEntry(path="main.py", text="print('hi')"),)))
    lab.deploy(image, devices=["pi01"])
    lab.read("temperature", start="-10m")

Names are loaded when first used, so that `import cyberlab` costs nothing on a page or in a terminal.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyberlab.lab import Lab
    from cyberlab.spec.deployment import DeploymentSpec
    from cyberlab.spec.image import FileEntry, ImageSpec

__all__ = ["DeploymentSpec", "FileEntry", "ImageSpec", "Lab"]

_HOMES = {
    "DeploymentSpec": "cyberlab.spec.deployment",
    "FileEntry": "cyberlab.spec.image",
    "ImageSpec": "cyberlab.spec.image",
    "Lab": "cyberlab.lab",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cyberlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
