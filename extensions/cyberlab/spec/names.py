"""The forms that names and values may have. Each rule is a predicate over the whole text.

Nothing here knows which field asks; `cyberlab.spec.problems` puts the sentences around it.
"""

from __future__ import annotations

import re
import unicodedata

NAME_MAX = 40
_NAME = re.compile(r"[a-z](?:-?[a-z0-9])*")
_DEVICE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_WORKDIR = re.compile(
    r"/(?:usr/src/[A-Za-z0-9_][A-Za-z0-9._-]*|home/app|opt/app)(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*"
)

_RESERVED_ENV = frozenset(
    {"PATH", "HOME", "HOSTNAME", "USER", "SHELL", "PWD", "IFS", "ENV", "BASH_ENV", "VIRTUAL_ENV"}
)
_RESERVED_ENV_PREFIXES = ("CYBERLAB_", "LD_")

_BIDI = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_name(text: str) -> bool:
    """A name a user gives: ``greenhouse``, ``my-first-image``. Safe in tags, labels, paths and URLs."""
    return len(text) <= NAME_MAX and _NAME.fullmatch(text) is not None


def is_image_ref(text: str) -> bool:
    """``name`` or ``name:version``, an image of one's own."""
    name, colon, version = text.partition(":")
    return is_name(name) and (not colon or _VERSION.fullmatch(version) is not None)


def is_device_name(text: str) -> bool:
    """A host name such as ``pi01``, or a cluster's."""
    return _DEVICE.fullmatch(text) is not None


def is_env_name(text: str) -> bool:
    return _ENV_NAME.fullmatch(text) is not None


def is_reserved_env(name: str) -> bool:
    """Set by the lab, or decides which program and libraries run."""
    return name in _RESERVED_ENV or name.startswith(_RESERVED_ENV_PREFIXES)


def is_workdir(text: str) -> bool:
    """A clean absolute path at or below ``/home/app`` or ``/opt/app``, or below ``/usr/src``."""
    return len(text) <= 200 and _WORKDIR.fullmatch(text) is not None


def has_invisible(text: str) -> bool:
    """Whether `text` holds what a line of text cannot: control characters, line separators, characters that
    reverse the writing direction, or half of a surrogate pair."""
    return any(char in _BIDI or unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs") for char in text)


def shown(text: str) -> str:
    """`text` as a message quotes it: short, on one line, nothing invisible."""
    return repr(text if len(text) <= 40 else text[:39] + "…")
