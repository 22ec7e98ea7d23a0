"""What `jupyterhub_config.py` says, read as the hub reads it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cyberlab_hub import accounts, spawner
from cyberlab_hub.settings import ROOT, Settings
from traitlets.config import PyFileConfigLoader


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in [name for name in os.environ if name.startswith("CYBERLAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CYBERLAB_STATE", str(tmp_path))
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "hub-lab.token").write_text("0" * 64)  # the only one that set-up makes for the hub
    umask = os.umask(0o022)
    try:
        yield PyFileConfigLoader("jupyterhub_config.py", path=str(ROOT)).load_config()
    finally:
        os.umask(umask)


def test_the_hub_listens_on_the_users_network_only(config: Any) -> None:
    assert config.JupyterHub.bind_url == "http://127.0.0.1:8000"
    assert config.JupyterHub.hub_bind_url == "http://10.77.8.1:8081"
    assert config.ConfigurableHTTPProxy.api_url.startswith("http://127.0.0.1:")


def test_the_hub_makes_its_own_secrets_and_keeps_them(config: Any, tmp_path: Path) -> None:
    token = config.ConfigurableHTTPProxy.auth_token
    file = tmp_path / "secrets" / "proxy.token"
    assert len(token) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    assert accounts.own_secret(Settings(state=tmp_path), "proxy.token") == token
    # the hub itself makes this one when it starts
    assert config.JupyterHub.cookie_secret_file == str(tmp_path / "secrets" / "cookie")


def test_limits_of_a_user_server(config: Any) -> None:
    host = config.LabSpawner.extra_host_config
    assert host["cap_drop"] == ["ALL"]
    assert host["security_opt"] == ["no-new-privileges"]
    assert host["read_only"] is True
    assert host["pids_limit"] == 256
    assert config.LabSpawner.mem_limit == "1024M"
    assert host["memswap_limit"] == "1024m", "swap would let a server grow beyond its memory"
    assert config.LabSpawner.network_name == "cyberlab-users"


def test_no_user_name_can_name_a_container_of_the_lab(config: Any) -> None:
    for user in ("registry", "engine", "influxdb", "pi01"):
        name = config.LabSpawner.name_template.format(prefix=config.LabSpawner.prefix, username=user)
        assert name == f"cyberlab-user-{user}"


def test_no_administrator_by_name(config: Any) -> None:
    assert "admin_users" not in config.Authenticator


def test_services_hold_what_they_need(config: Any) -> None:
    roles = {role["name"]: role["scopes"] for role in config.JupyterHub.load_roles}
    assert roles["cyberlab-service"] == ["list:users", "read:users:name"]
    assert not any(scope.startswith("admin:") for scopes in roles.values() for scope in scopes)


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


def test_token_is_narrow_and_nobody_elses(tmp_path: Path) -> None:
    shared = {"COMMON": "1"}  # one dict for all, as a trait's configured default is
    anna, ben = (SimpleNamespace(user=Tokens(n), name="", environment=shared) for n in ("anna", "ben"))
    for server in (anna, ben):
        spawner.give_token(server, Settings(state=tmp_path))
    assert shared == {"COMMON": "1"}
    assert anna.environment["CYBERLAB_TOKEN"] == "token-of-anna-1"
    assert ben.environment["CYBERLAB_TOKEN"] == "token-of-ben-1"
    assert anna.environment["CYBERLAB_URL"] == "http://10.77.8.1:8082/services/lab/api/v1"
    assert anna.user.made[0]["scopes"] == ["custom:cyberlab:use"]
    assert anna.user.made[0]["expires_in"] == 7 * 24 * 3600


def test_token_goes_with_the_server_and_others_stay(tmp_path: Path) -> None:
    server = SimpleNamespace(user=Tokens("anna"), name="", environment={})
    server.user.orm_user.api_tokens.append(SimpleNamespace(note="a script of mine"))
    spawner.give_token(server, Settings(state=tmp_path))
    spawner.give_token(server, Settings(state=tmp_path))
    assert [t.note for t in server.user.orm_user.api_tokens] == ["a script of mine", "notebook server"]
    spawner.take_token(server)
    assert [t.note for t in server.user.orm_user.api_tokens] == ["a script of mine"]
    assert "CYBERLAB_TOKEN" not in server.environment
