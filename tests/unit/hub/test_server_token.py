"""The token of a server: whose, where, how long."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cyberlab_hub import server_token
from cyberlab_hub.settings import ROOT, Settings


class Tokens:
    """A user as the hooks see it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.made: list[dict[str, Any]] = []
        self.orm_user = SimpleNamespace(api_tokens=[])
        self.db = SimpleNamespace(commit=lambda: None, delete=self._delete)

    def new_api_token(self, **wanted: Any) -> str:
        self.made.append(wanted)
        self.orm_user.api_tokens.append(SimpleNamespace(note=wanted["note"]))
        return f"token-of-{self.name}-{len(self.made)}"

    def _delete(self, token: Any) -> None:
        self.orm_user.api_tokens.remove(token)


HOME = {"type": "volume", "source": "home", "target": "/home/lab"}


def server_of(name: str, **more: Any) -> Any:
    return SimpleNamespace(**{"user": Tokens(name), "name": "", "environment": {}, "mounts": [HOME], **more})


@pytest.fixture
def lab(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path)


def file_of(server: Any) -> Path:
    """Where the container's /run/cyberlab/token lies on the host."""
    (mount,) = (m for m in server.mounts if m["target"] == "/run/cyberlab")
    assert mount["type"] == "bind"
    assert mount["read_only"] is True
    return Path(mount["source"]) / "token"


def test_token_is_narrow_short_and_nobody_elses(lab: Settings) -> None:
    shared = {"COMMON": "1"}  # one dict for all, as a trait's configured default is
    anna, ben = (server_of(n, environment=shared) for n in ("anna", "ben"))
    for server in (anna, ben):
        server_token.give(server, lab)
    assert shared == {"COMMON": "1"}
    assert file_of(anna).read_text() == "token-of-anna-1"
    assert file_of(ben).read_text() == "token-of-ben-1"
    assert anna.environment["CYBERLAB_TOKEN_FILE"] == "/run/cyberlab/token"
    assert "token-of" not in str(anna.environment)
    assert anna.environment["CYBERLAB_URL"] == "http://10.77.8.1:8082/services/lab/api/v1"
    assert anna.user.made[0]["scopes"] == ["custom:cyberlab:use"]
    assert anna.user.made[0]["expires_in"] == 24 * 3600
    assert HOME in anna.mounts


def test_only_the_lab_and_the_user_can_read_it(lab: Settings) -> None:
    server = server_of("anna")
    server_token.give(server, lab)
    file = file_of(server)
    assert file.stat().st_mode & 0o777 == 0o400
    assert file.parent.stat().st_mode & 0o777 == 0o500
    assert file.parents[1].stat().st_mode & 0o777 == 0o700


def test_it_is_renewed_in_time_and_the_old_one_goes_on(lab: Settings) -> None:
    server = server_of("anna")
    server_token.give(server, lab)
    made = file_of(server).stat().st_mtime
    assert not server_token.renew(server, lab, lambda: made + 11 * 3600)
    assert server_token.renew(server, lab, lambda: made + 13 * 3600)
    assert file_of(server).read_text() == "token-of-anna-2"
    assert len(server.user.orm_user.api_tokens) == 2
    assert os.listdir(file_of(server).parent) == ["token"]


def test_a_server_without_a_file_is_left_alone(lab: Settings) -> None:
    server = server_of("anna")
    assert not server_token.renew(server, lab)
    assert server.user.made == []


def test_token_goes_with_the_server_and_others_stay(lab: Settings) -> None:
    server = server_of("anna")
    server.user.orm_user.api_tokens.append(SimpleNamespace(note="a script of mine"))
    server_token.give(server, lab)
    file = file_of(server)
    server_token.renew(server, lab, lambda: file.stat().st_mtime + 13 * 3600)
    server_token.give(server, lab)
    assert [t.note for t in server.user.orm_user.api_tokens] == ["a script of mine", "notebook server"]
    server_token.take(server, lab)
    assert [t.note for t in server.user.orm_user.api_tokens] == ["a script of mine"]
    assert not file.parent.exists()


def test_the_image_has_that_user() -> None:
    text = (ROOT / "spawner_images" / "user" / "Dockerfile").read_text()
    assert re.search(rf"useradd --uid {server_token.USER_ID} .* lab$", text, re.M)
