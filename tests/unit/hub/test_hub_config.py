"""What `jupyterhub_config.py` says, read as the hub reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cyberlab_hub import accounts
from cyberlab_hub.settings import ROOT, Settings
from traitlets.config import PyFileConfigLoader


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in [name for name in os.environ if name.startswith("CYBERLAB_")]:
        monkeypatch.delenv(name)
    return load(tmp_path, monkeypatch)


def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CYBERLAB_STATE", str(tmp_path))
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "hub-lab.token").write_text("0" * 64)  # the only one that set-up makes for the hub
    umask = os.umask(0o022)
    try:
        return PyFileConfigLoader("jupyterhub_config.py", path=str(ROOT)).load_config()
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


def test_each_user_has_an_origin_and_the_hub_answers_under_its_name_only(config: Any) -> None:
    assert config.JupyterHub.subdomain_host == "http://cyberlab.localhost:8000"
    assert config.JupyterHub.hub_routespec == "cyberlab.localhost/"
    command = config.ConfigurableHTTPProxy.command
    assert command[command.index("--default-target") + 1] == "http://10.77.8.1:8081/hub/elsewhere"
    assert config.Proxy.extra_routes == {"cyberlab.localhost/services/lab/": "http://10.77.8.1:8082"}
    assert config.JupyterHub.template_vars["lab_warnings"] == []


def test_jupyterhubs_own_token_can_do_next_to_nothing(config: Any) -> None:
    assert config.LabSpawner.server_token_scopes == ["users:activity!user"]


def test_cookies_stay_on_this_site(config: Any) -> None:
    options = config.JupyterHub.tornado_settings["cookie_options"]
    assert options == {"samesite": "Lax", "secure": False}, (
        "plain HTTP on this machine: Secure would lose them"
    )
    assert config.JupyterHub.tornado_settings["xsrf_cookie_kwargs"]["httponly"] is True
    assert "Strict-Transport-Security" not in config.JupyterHub.tornado_settings["headers"]


def test_on_a_network_there_is_tls_and_cookies_insist_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYBERLAB_BIND", "0.0.0.0")  # noqa: S104 - the case in question
    monkeypatch.setenv("CYBERLAB_HOST", "lab.example.org")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "wildcard").write_text("lab.example.org")  # what `up` found out
    config = load(tmp_path, monkeypatch)
    assert config.JupyterHub.bind_url == "https://0.0.0.0:8000"
    assert config.JupyterHub.ssl_cert == str(tmp_path / "certs" / "web.crt")
    assert config.JupyterHub.subdomain_host == "https://lab.example.org:8000"
    assert config.JupyterHub.tornado_settings["cookie_options"]["secure"] is True
    assert config.JupyterHub.cookie_host_prefix_enabled is True


def test_one_origin_is_what_is_left_without_wildcard_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYBERLAB_BIND", "192.0.2.7")
    config = load(tmp_path, monkeypatch)
    assert "subdomain_host" not in config.JupyterHub
    # cookies with the prefix have the path /: they would reach every user's server
    assert config.JupyterHub.cookie_host_prefix_enabled is False
    assert "one origin" in config.JupyterHub.template_vars["lab_warnings"][0]
