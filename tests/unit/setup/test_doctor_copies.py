"""Checks of files, secrets, certificates, containers and pages, each on a broken copy."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cyberlab_hub import certs
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.doctor import certificates, files, leaks, parts, patient, web


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A state folder as `up` leaves it."""
    settings = Settings(state=tmp_path / "state")
    settings.state.mkdir(mode=0o711)
    certs.ensure(settings)
    for folder in (settings.secrets, settings.logs):
        folder.mkdir(mode=0o700)
    for name in ("influx.admin", "hub-lab.token"):
        certs.write_private(settings.secrets / name, f"value-of-{name}".encode())
    for name in ("lab.sqlite", "jupyterhub.sqlite"):
        (settings.state / name).touch(mode=0o600)
    (settings.logs / "lab.log").write_text("all is well\n")
    return settings


# ---------------------------------------------------------------- files
def test_a_state_folder_as_set_up_is_good(settings: Settings) -> None:
    assert list(files.mode_problems(settings.state)) == []


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("secrets", 0o755),
        ("secrets/influx.admin", 0o644),
        ("secrets/hub-lab.token", 0o640),
        ("certs/ca.key", 0o644),
        ("certs/operator.pem", 0o604),
        ("certs/ca.crt", 0o666),
        ("lab.sqlite", 0o644),
        ("jupyterhub.sqlite", 0o660),
        ("logs", 0o755),
        ("logs/lab.log", 0o666),
        ("", 0o755),
    ],
)
def test_a_mode_too_wide_is_told_with_its_name(settings: Settings, name: str, mode: int) -> None:
    path = settings.state / name
    path.chmod(mode)
    (problem,) = files.mode_problems(settings.state)
    assert problem.startswith(f"{path} has the mode {mode:04o}: others may ")


def test_a_link_in_place_of_a_secret_is_told(settings: Settings, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("x")
    (settings.secrets / "influx.admin").unlink()
    (settings.secrets / "influx.admin").symlink_to(elsewhere)
    assert "is a link to" in "".join(files.mode_problems(settings.state))


def test_a_key_in_another_parts_folder_is_told(settings: Settings) -> None:
    folder = settings.state / "mounts" / "registry"
    folder.mkdir(parents=True)
    for name in ("registry", "engine"):
        (folder / f"{name}.key").touch(mode=0o400)
    (problem,) = files.mounted_key_problems(settings)
    assert "engine.key is not the key of registry" in problem


def test_code_that_everybody_may_change_is_told(tmp_path: Path) -> None:
    inner = tmp_path / "hub" / "inner"
    inner.mkdir(parents=True)
    (inner / "x.py").touch(mode=0o644)
    assert list(files.writable([tmp_path / "hub"])) == []
    (inner / "x.py").chmod(0o666)
    assert "x.py" in "".join(files.writable([tmp_path / "hub"]))


# ---------------------------------------------------------------- secrets
def test_secrets_and_keys_are_found_in_a_log_and_named_without_their_value(settings: Settings) -> None:
    values = patient.read_secrets(settings)
    assert {"secrets/influx.admin", "certs/ca.key", "certs/operator.pem"} <= set(values)
    log = settings.logs / "lab.log"
    assert leaks.held(log, values) == set()
    key = (settings.certs / "ca.key").read_text()
    log.write_text(f"{'x' * 5000}\npassword value-of-influx.admin\n{key}")
    assert leaks.held(log, values) == {"secrets/influx.admin", "certs/ca.key"}


def test_a_secret_across_two_blocks_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "BLOCK", 64)
    log = settings.logs / "lab.log"
    log.write_bytes(b"." * 60 + b"value-of-influx.admin" + b"." * 60)
    assert leaks.held(log, patient.read_secrets(settings)) == {"secrets/influx.admin"}


def test_two_keys_are_never_taken_for_one_another(settings: Settings) -> None:
    values = list(patient.read_secrets(settings).values())
    assert len(values) == len(set(values))


# ---------------------------------------------------------------- certificates
def problems(settings: Settings) -> list[str]:
    return [*certificates.authority_problems(settings.certs), *certificates.holder_problems(settings)]


def test_certificates_as_set_up_are_good(settings: Settings) -> None:
    assert problems(settings) == []


def later(monkeypatch: pytest.MonkeyPatch, **ago: float) -> None:
    """Certificates made from now on were made then."""
    then = dt.datetime.now(dt.UTC) - dt.timedelta(**ago)
    monkeypatch.setattr(certs, "_now", lambda: then)


def test_a_certificate_that_ended_and_one_that_should_be_renewed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days, words in ((200, "registry.crt ended"), (70, "registry.crt ends")):
        (settings.certs / "registry.crt").unlink()
        with monkeypatch.context() as travel:
            later(travel, days=days)
            certs.ensure(settings)
        assert any(p.startswith(words) for p in problems(settings)), words


def test_a_certificate_of_another_authority(settings: Settings, tmp_path: Path) -> None:
    other = Settings(state=tmp_path / "other")
    other.state.mkdir()
    certs.ensure(other)
    for suffix in ("crt", "key"):
        (settings.certs / f"ingest.{suffix}").write_bytes((other.certs / f"ingest.{suffix}").read_bytes())
    assert problems(settings) == ["ingest.crt is not signed by the lab's authority"]


def test_a_server_certificate_where_a_clients_should_be(settings: Settings) -> None:
    both = (settings.certs / "lab.crt").read_bytes() + (settings.certs / "lab.key").read_bytes()
    (settings.certs / "operator.pem").write_bytes(both)
    found = " ".join(problems(settings))
    assert "operator.pem is for servers, not for clients" in found
    assert "names lab, not operator" in found


def test_a_key_that_is_not_the_certificates(settings: Settings) -> None:
    (settings.certs / "lab.key").write_bytes((settings.certs / "ingest.key").read_bytes())
    assert problems(settings) == ["lab.crt and its key do not belong together"]


def test_a_certificate_nobody_asked_for(settings: Settings) -> None:
    (settings.certs / "friend.crt").write_bytes((settings.certs / "lab.crt").read_bytes())
    assert "belongs to nobody" in problems(settings)[0]


def test_other_addresses_are_told(settings: Settings) -> None:
    moved = Settings(state=settings.state, subnet="10.99.0.0/16")
    assert any("registry.crt is for 10.77.0.3, not 10.99.0.3" in p for p in problems(moved))


def test_a_key_of_another_authority(settings: Settings) -> None:
    stranger = certs.ec.generate_private_key(certs.ec.SECP256R1())
    pem = stranger.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (settings.certs / "ca.key").write_bytes(pem)
    assert problems(settings) == ["ca.key is not the key of ca.crt"]


# ---------------------------------------------------------------- containers
SERVER: dict[str, Any] = {
    "Name": "/cyberlab-user-anna",
    "Config": {"User": "lab"},
    "NetworkSettings": {"Networks": {"cyberlab-users": {}}},
    "Mounts": [{"Type": "bind", "Destination": "/home/lab"}],
    "HostConfig": {
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "Memory": 1024 * 2**20,
        "MemorySwap": 1024 * 2**20,
        "PidsLimit": 256,
        "CpuPeriod": 100_000,
        "CpuQuota": 100_000,
        "Privileged": False,
        "PidMode": "",
        "IpcMode": "private",
        "UTSMode": "",
        "UsernsMode": "",
    },
}


def test_a_server_as_started_is_good(settings: Settings) -> None:
    assert parts.server_problems(settings, SERVER) == []


def changed(where: str, value: Any) -> dict[str, Any]:
    server = copy.deepcopy(SERVER)
    server["HostConfig"][where] = value
    return server


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("CapDrop", None),
        ("CapAdd", ["SYS_ADMIN"]),
        ("SecurityOpt", None),
        ("SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
        ("ReadonlyRootfs", False),
        ("Memory", 0),
        ("Memory", 4096 * 2**20),
        ("MemorySwap", -1),
        ("PidsLimit", None),
        ("PidsLimit", 100_000),
        ("CpuQuota", 0),
        ("CpuQuota", 400_000),
        ("Privileged", True),
        ("PidMode", "host"),
        ("IpcMode", "host"),
        ("UsernsMode", "host"),
        ("Devices", [{"PathOnHost": "/dev/sda"}]),
    ],
)
def test_each_right_too_many_of_a_server_is_told(settings: Settings, where: str, value: Any) -> None:
    assert parts.server_problems(settings, changed(where, value))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["Config"].update(User=""),
        lambda s: s["Config"].update(User="0:0"),
        lambda s: s["NetworkSettings"]["Networks"].update({"cyberlab-devices": {}}),
        lambda s: s["Mounts"].append({"Type": "bind", "Destination": "/var/run/docker.sock"}),
    ],
)
def test_root_another_network_and_another_mount_are_told(
    settings: Settings, change: Callable[[dict[str, Any]], None]
) -> None:
    server = copy.deepcopy(SERVER)
    change(server)
    assert parts.server_problems(settings, server)


DESCRIBED = {
    "CapDrop": ["ALL"],
    "Memory": 512,
    "Binds": ["a:/b"],
    "RestartPolicy": {"Name": "unless-stopped"},
}
MADE = {
    **DESCRIBED,
    "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
    "Privileged": False,
    "CapAdd": None,
    "PidMode": "",
    "IpcMode": "private",
    "UTSMode": "",
    "UsernsMode": "",
}


def test_defaults_that_the_engine_adds_are_no_difference() -> None:
    assert list(parts.differences(DESCRIBED, MADE)) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CapDrop", []),
        ("Memory", 0),
        ("Binds", ["a:/b", "/:/host"]),
        ("RestartPolicy", {"Name": "no"}),
        ("Privileged", True),
        ("CapAdd", ["NET_ADMIN"]),
        ("PidMode", "host"),
        ("Mounts", [{"Source": "/"}]),
    ],
)
def test_a_part_that_was_changed_is_told(key: str, value: Any) -> None:
    (problem,) = parts.differences(DESCRIBED, {**MADE, key: value})
    assert problem.startswith(f"{key} is ")


@pytest.mark.parametrize(
    "source", ["/", "/run", "/run/docker.sock", "/var/run/docker.sock", "/var/lib", "/etc"]
)
def test_what_shows_the_host_to_a_container(settings: Settings, source: str) -> None:
    assert parts.exposes(settings, Path(source), [])


def test_what_of_the_state_a_container_may_have(settings: Settings) -> None:
    given = [settings.state / "mounts"]
    assert not parts.exposes(settings, settings.state / "mounts" / "registry", given)
    assert parts.exposes(settings, settings.certs, given)
    assert parts.exposes(settings, settings.secrets / "influx.admin", given)
    assert not parts.exposes(settings, Path("/srv/data"), given)


# ---------------------------------------------------------------- pages
COOKIE = "_xsrf=x; HttpOnly; Path=/hub/; SameSite=Lax; Secure"
HEADERS = {
    "content-security-policy": "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "strict-transport-security": "max-age=31536000",
}


def test_good_cookies_and_headers_are_good() -> None:
    assert list(web.cookie_problems([COOKIE], secure=True)) == []
    assert list(web.header_problems(HEADERS, insist=True)) == []


@pytest.mark.parametrize("word", ["HttpOnly", "SameSite=Lax", "Secure"])
def test_each_word_of_a_cookie_counts(word: str) -> None:
    (problem,) = web.cookie_problems([COOKIE.replace(f"; {word}", "")], secure=True)
    assert word.partition("=")[0] in problem


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_each_header_counts(name: str) -> None:
    assert len(list(web.header_problems({k: v for k, v in HEADERS.items() if k != name}, insist=True))) == 1


def test_a_first_password_that_was_never_taken_is_told(settings: Settings) -> None:
    certs.write_private(settings.secrets / "student.password", b"first-password")
    assert list(web.password_problems(settings)) == []
    open_lab = Settings(state=settings.state, bind="0.0.0.0")  # noqa: S104
    assert "student" in "".join(web.password_problems(open_lab))
    certs.write_private(settings.secrets / "admin.password", b"first-password")
    assert "administrator" in "".join(web.password_problems(settings))
