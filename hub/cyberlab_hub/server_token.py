"""The token of a user's own code: narrow, short-lived, in a file, renewed while the server runs, gone when it stops.

It lies in a folder of the host that only this user's container sees (read-only). So it is in no environment that
`env`, `docker inspect` or a child process would show, and it can change while the server runs.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from cyberlab.wire import API

from cyberlab_hub.accounts import USE
from cyberlab_hub.settings import Settings

LIFE = timedelta(hours=24)
RENEWED_AFTER = timedelta(hours=12)
"""The older one goes on until its own end: nobody is cut off in the middle of a request."""
NOTE = "notebook server"
TARGET = "/run/cyberlab"
USER_ID = 1000
"""The account `lab` of the image of user servers."""


def give(server: Any, settings: Settings) -> None:
    """Before a start: a fresh token, its folder mounted. `server` is the hub's spawner."""
    take(server, settings)
    folder = _folder(server, settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.chmod(0o700)
    folder.mkdir()
    _own(folder, 0o500)
    _write(server, folder)
    mount = {"type": "bind", "source": str(folder), "target": TARGET, "read_only": True}
    # new values: a configured default is shared by every server
    server.mounts = [*(m for m in server.mounts if m["target"] != TARGET), mount]
    server.environment = {
        **server.environment,
        "CYBERLAB_URL": f"{settings.lab_url}{API}",
        "CYBERLAB_TOKEN_FILE": f"{TARGET}/token",
    }


def renew(server: Any, settings: Settings, now: Callable[[], float] = time.time) -> bool:
    """While it runs: a new token when the one in the file is old. Answers whether it was."""
    folder = _folder(server, settings)
    try:
        age = now() - (folder / "token").stat().st_mtime
    except FileNotFoundError:
        return False  # the server was started by an older version of the lab, or stops just now
    if age < RENEWED_AFTER.total_seconds():
        return False
    _write(server, folder)
    return True


def take(server: Any, settings: Settings) -> None:
    """After a stop: every token of the server ends, and its file goes."""
    db = server.user.db
    for token in list(server.user.orm_user.api_tokens):
        if token.note == _note(server):
            db.delete(token)
    db.commit()
    shutil.rmtree(_folder(server, settings), ignore_errors=True)


def _write(server: Any, folder: Path) -> None:
    token = server.user.new_api_token(scopes=[USE], expires_in=int(LIFE.total_seconds()), note=_note(server))
    scratch = folder / "token.new"
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(token)
    _own(scratch, 0o400)
    scratch.replace(folder / "token")  # a reader sees the old one or the new one, never half of one


def _own(path: Path, mode: int) -> None:
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, USER_ID, USER_ID)


def _folder(server: Any, settings: Settings) -> Path:
    """Account names are letters, digits and hyphens (`accounts.name_problem`): safe as a name of a folder."""
    return settings.state / "run" / "tokens" / f"{server.user.name}.{server.name}"


def _note(server: Any) -> str:
    return f"{NOTE} {server.name}".strip()
