"""Who may read and change what the lab keeps on this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cyberlab_hub.settings import ROOT, Settings
from cyberlab_hub.setup.doctor.check import UP, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

PRIVATE, PUBLIC = 0o077, 0o022
"""Rights that nobody but root may have: none at all, or reading only."""
CODE = ("jupyterhub_config.py", "hub", "extensions", "edge", "spawner_images")


@dataclass(frozen=True)
class Rule:
    pattern: str
    """Below the state folder."""
    denied: int


RULES = (
    Rule("secrets", PRIVATE),
    Rule("secrets/*", PRIVATE),
    Rule("certs/*.key", PRIVATE),
    Rule("certs/*.pem", PRIVATE),
    Rule("jupyterhub.sqlite*", PRIVATE),
    Rule("lab.sqlite*", PRIVATE),
    Rule("lab.env", PRIVATE),
    Rule("logs", PRIVATE),
    Rule("disks", PRIVATE),
    Rule("disks/*.img", PRIVATE),
    Rule("run/tokens", PRIVATE),
    Rule("run/proxy.pid", PUBLIC),
    Rule("", 0o066),
    Rule("certs", PUBLIC),
    Rule("certs/*", PUBLIC),
    Rule("mounts", PUBLIC),
    Rule("mounts/*", PUBLIC),
    Rule("run", PUBLIC),
    Rule("run/*.json", PUBLIC),
    Rule("logs/*", PUBLIC),
)
"""lab.env may hold a database's password; logs name people; the state folder may be passed through, not listed."""


@check(
    "files-state",
    "files",
    "Secrets, keys, databases and logs are root's, and nobody else reads or changes them",
    "`chmod go= FILE` and `chown root: FILE`; if others could read a key or a secret, remove it and `make up` makes "
    "a new one",
)
def state(patient: Patient) -> str:
    looked = dict.fromkeys(path for rule in RULES for path in _matching(patient.settings.state, rule))
    return none_wrong(mode_problems(patient.settings.state), f"{len(looked)} files and folders")


def mode_problems(state: Path) -> Iterator[str]:
    for rule in RULES:
        for path in _matching(state, rule):
            yield from _problems(path, rule.denied)


def _matching(state: Path, rule: Rule) -> list[Path]:
    return sorted(state.glob(rule.pattern)) if rule.pattern else [state]


def _problems(path: Path, denied: int) -> Iterator[str]:
    try:
        found = path.lstat()
    except FileNotFoundError:  # a database's journal comes and goes
        return
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.geteuid():
        yield f"{path} belongs to the user {found.st_uid}"
    if stat.S_ISLNK(found.st_mode):
        yield f"{path} is a link to {path.readlink()}"
    elif mode & denied:
        yield f"{path} has the mode {mode:04o}: others may {_may(mode & denied)} it"


def _may(bits: int) -> str:
    words = [word for bit, word in ((0o44, "read"), (0o22, "change"), (0o11, "enter or run")) if bits & bit]
    return ", ".join(words)


@check("files-keys", "files", "A container gets the keys of its own part, readable by its own user", UP)
def mounted_keys(patient: Patient) -> str:
    keys = sorted((patient.settings.state / "mounts").glob("*/*.key"))
    return none_wrong(mounted_key_problems(patient.settings), f"{len(keys)} keys")


def mounted_key_problems(settings: Settings) -> Iterator[str]:
    for folder in sorted((settings.state / "mounts").glob("*")):
        for key in sorted(folder.glob("*.key")):
            mode = stat.S_IMODE(key.lstat().st_mode)
            if mode & PRIVATE:
                yield f"{key} has the mode {mode:04o}: others may {_may(mode & PRIVATE)} it"
            if key.stem != folder.name:
                yield f"{key} is not the key of {folder.name}"


@check(
    "files-code",
    "files",
    "What root runs for the lab can be changed by root and its operator only",
    "`chmod o-w FILE`",
)
def code(patient: Patient) -> str:
    roots = [*(ROOT / name for name in CODE), patient.settings.state / "node"]
    return none_wrong(writable(roots), ", ".join(CODE))


def writable(roots: list[Path]) -> Iterator[str]:
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name not in ("__pycache__", ".git")]
            for name in ("", *names):
                path = Path(folder) / name
                found = path.lstat()
                if found.st_mode & 0o002 and not stat.S_ISLNK(found.st_mode):
                    yield f"{path} can be changed by everybody on this machine"
        if root.is_file() and root.stat().st_mode & 0o002:
            yield f"{root} can be changed by everybody on this machine"
