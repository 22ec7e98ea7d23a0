"""What may stand in `pip` and `npm`: a name, perhaps extras, perhaps versions. Nothing else.

URLs, options, markers, paths and aliases have no form here, so nobody writes one by accident or on purpose.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

_PIP_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?"
_PIP_VERSION = (
    r"v?(?:[0-9]{1,9}!)?[0-9]{1,18}(?:\.[0-9]{1,18}){0,9}"
    r"(?:[._-]?(?:alpha|beta|preview|pre|rc|a|b|c)[._-]?[0-9]{0,9})?"
    r"(?:-[0-9]{1,9}|[._-]?(?:post|rev|r)[._-]?[0-9]{0,9})?"
    r"(?:[._-]?dev[._-]?[0-9]{0,9})?"
    r"(?:\+[A-Za-z0-9]{1,20}(?:[._-][A-Za-z0-9]{1,20}){0,5})?"
)
_SPECIFIER = re.compile(
    rf"\s*(?:(?P<op>~=|==|!=|<=|>=|<|>)\s*(?P<version>{_PIP_VERSION})"
    r"|(?P<series_op>==|!=)\s*(?P<series>[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}\.\*))\s*"
)
_REQUIREMENT = re.compile(
    rf"\s*(?P<name>{_PIP_NAME})\s*(?:\[(?P<extras>[^\[\]]{{0,200}})\])?(?P<rest>[^\[\]]{{0,200}})"
)
_EXTRA = re.compile(rf"\s*({_PIP_NAME})\s*")

_NPM_PART = r"[a-z0-9][a-z0-9._~-]{0,99}"
_NPM_VERSION = r"(?:[~^]|>=)?[0-9]{1,9}(?:\.[0-9]{1,9}){0,2}(?:-[0-9A-Za-z][0-9A-Za-z.-]{0,40})?"
_NPM = re.compile(rf"(?P<name>(?:@{_NPM_PART}/)?{_NPM_PART})(?:@(?P<version>{_NPM_VERSION}|latest))?")


@dataclass(frozen=True, order=True)
class Requirement:
    """One line of a pip requirements file, in normal form."""

    name: str
    """Normalised as the index does it: lower case, single hyphens."""
    extras: tuple[str, ...] = ()
    specifiers: tuple[str, ...] = ()

    def __str__(self) -> str:
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}{','.join(self.specifiers)}"


@dataclass(frozen=True, order=True)
class NpmPackage:
    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name


def pip_requirement(text: str) -> Requirement | None:
    """Read ``numpy``, ``numpy==2.1.0`` or ``fastapi[standard]>=0.110,<1``; None for anything else."""
    if "\n" in text or "\r" in text:
        return None
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        return None
    extras = _extras(match["extras"])
    specifiers = _specifiers(match["rest"])
    if extras is None or specifiers is None:
        return None
    return Requirement(_normal(match["name"]), extras, specifiers)


def npm_package(text: str) -> NpmPackage | None:
    """Read ``mqtt``, ``mqtt@5.0.0`` or ``@scope/name@^1.2``; None for anything else."""
    match = _NPM.fullmatch(text)
    return NpmPackage(match["name"], match["version"] or "") if match else None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _extras(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return ()
    matches = [_EXTRA.fullmatch(part) for part in text.split(",")]
    if not all(matches):
        return None
    return tuple(sorted({_normal(match[1]) for match in matches if match}))


def _specifiers(text: str) -> tuple[str, ...] | None:
    if not text.strip():
        return ()
    matches = [_SPECIFIER.fullmatch(part) for part in text.split(",")]
    if not all(matches):
        return None
    return tuple(sorted({f"{m['op'] or m['series_op']}{m['version'] or m['series']}" for m in matches if m}))


# ---------------------------------------------------------------- names that students confuse
_IMPORT_NAMES = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "git": "gitpython",
    "jwt": "pyjwt",
    "openssl": "pyopenssl",
    "paho": "paho-mqtt",
    "pil": "pillow",
    "rpi": "gpiozero",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "smbus": "smbus2",
    "usb": "pyusb",
    "websocket": "websocket-client",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
_NODE_BUILTINS = frozenset(
    {"child_process", "crypto", "fs", "http", "https", "net", "os", "path", "readline"}
)
_OURS = frozenset({"cyberlab", "cyberlab-edge"})


def import_name_hint(requirement: Requirement) -> str | None:
    """The library meant by somebody who wrote the import name: ``cv2`` is ``opencv-python-headless``."""
    return _IMPORT_NAMES.get(requirement.name)


def is_inside_already(name: str) -> bool:
    """Part of Python itself, or of every Python base of the lab."""
    return name in _OURS or name.replace("-", "_") in sys.stdlib_module_names


def is_node_builtin(name: str) -> bool:
    return name in _NODE_BUILTINS
