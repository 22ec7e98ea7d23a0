"""Where people find the lab, whether each has an origin, and what certificate it shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from cyberlab_hub import address, certs, reach
from cyberlab_hub import settings as settings_module
from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import Settings

OPEN = "0.0.0.0"  # noqa: S104 - a setting, bound by nobody here


def lab(tmp_path: Path, **more: str | int) -> Settings:
    return Settings(state=tmp_path, **more)  # type: ignore[arg-type]  # each is of its field's type


def dns(**names: str) -> address.Resolve:
    """A resolver that knows `names` (``_`` for a dot, ``any`` for whatever else)."""
    table = {name.replace("_", "."): value for name, value in names.items()}

    def resolve(name: str) -> frozenset[str]:
        found = table.get(name) or (table.get("any") if name.count(".") > 2 else None)
        return frozenset({found} if found else ())

    return resolve


@pytest.mark.parametrize(
    ("given", "url", "tls"),
    [
        ({}, "http://cyberlab.localhost:8000", "off"),
        ({"hub_port": 80}, "http://cyberlab.localhost", "off"),
        ({"name": "second"}, "http://second.localhost:8000", "off"),
        ({"name": "my_lab"}, "http://cyberlab.localhost:8000", "off"),
        ({"tls": "own"}, "https://cyberlab.localhost:8000", "own"),
        ({"bind": OPEN, "host": "Lab.example.org"}, "https://lab.example.org:8000", "own"),
        ({"bind": "192.0.2.7", "hub_port": 443}, "https://192.0.2.7", "own"),
        ({"bind": OPEN, "host": "lab.example.org", "tls": "off"}, "http://lab.example.org:8000", "off"),
        (
            {"bind": OPEN, "host": "lab.example.org", "tls": "/etc/lab"},
            "https://lab.example.org:8000",
            "given",
        ),
    ],
)
def test_the_address(tmp_path: Path, given: dict[str, str], url: str, tls: str) -> None:
    settings = lab(tmp_path, **given)
    assert (settings.public_url, settings.tls_mode) == (url, tls)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CYBERLAB_HOST", "http://lab.example.org", "without http://"),
        ("CYBERLAB_HOST", "lab.example.org:8000", "not a host name"),
        ("CYBERLAB_HOST", "-lab", "not a host name"),
        ("CYBERLAB_HOST", "lab.example.org\n", "not a host name"),
        ("CYBERLAB_TLS", "on", "none of: off, own"),
        ("CYBERLAB_TLS", "certs/lab", "absolute path"),
        ("CYBERLAB_EGRESS", "packages ht!tp", "CYBERLAB_EGRESS: 'ht!tp' is no entry"),
        ("CYBERLAB_NOTEBOOK_EGRESS", "example.org:0", "CYBERLAB_NOTEBOOK_EGRESS"),
    ],
)
def test_a_setting_that_makes_no_sense_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv("CYBERLAB_STATE", str(tmp_path))
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=words):
        settings_module.load()


def test_names_below_localhost_need_no_resolver(tmp_path: Path) -> None:
    assert address.record(lab(tmp_path), dns()) == address.Origins(each=True)
    assert address.warnings(lab(tmp_path)) == []


def test_wildcard_names_are_asked_for_once_and_remembered(tmp_path: Path) -> None:
    settings = lab(tmp_path, bind=OPEN, host="lab.example.org")
    assert not address.origins(settings).each, "nobody has asked yet"
    assert address.record(settings, dns(lab_example_org="192.0.2.7", any="192.0.2.7")).each
    assert address.origins(settings).each
    other = lab(tmp_path, bind=OPEN, host="other.example.org")
    assert not address.origins(other).each, "another name's answer was believed"


@pytest.mark.parametrize(
    "resolve",
    [dns(), dns(lab_example_org="192.0.2.7"), dns(lab_example_org="192.0.2.7", any="192.0.2.8")],
)
def test_without_wildcard_names_there_is_one_origin_and_a_warning(
    tmp_path: Path, resolve: address.Resolve
) -> None:
    settings = lab(tmp_path, bind=OPEN, host="lab.example.org")
    assert not address.record(settings, resolve).each
    (warning,) = address.warnings(settings)
    assert "*.lab.example.org" in warning
    assert "one origin" in warning


def test_an_address_has_no_names_below_it(tmp_path: Path) -> None:
    state = address.record(lab(tmp_path, bind="192.0.2.7"))
    assert not state.each
    assert "CYBERLAB_HOST" in state.why


def test_plain_http_on_a_network_is_warned_of(tmp_path: Path) -> None:
    settings = lab(tmp_path, bind=OPEN, host="lab.example.org", tls="off")
    assert any("without encryption" in warning for warning in address.warnings(settings))
    assert not any("without encryption" in warning for warning in address.warnings(lab(tmp_path, tls="off")))


def test_own_certificate_names_the_lab_and_every_user(tmp_path: Path) -> None:
    settings = lab(tmp_path, bind=OPEN, host="lab.example.org")
    assert "web" in certs.ensure(settings)
    crt, key = settings.tls_files
    assert crt == tmp_path / "certs" / "web.crt"
    assert key.stat().st_mode & 0o777 == 0o600
    assert address._covers(crt, "lab.example.org")
    assert address._covers(crt, "anna.lab.example.org")
    assert not address._covers(crt, "evil.example.org")
    assert "ca.crt" in address.advice(settings)


def given_certificate(tmp_path: Path, host: str) -> Settings:
    """A lab whose certificate came from elsewhere: another lab's authority."""
    certs.ensure(lab(tmp_path, bind=OPEN, host=host))
    return lab(tmp_path / "state", bind=OPEN, host=host, tls=str(tmp_path / "certs" / "web"))


def test_a_given_certificate_is_checked(tmp_path: Path) -> None:
    settings = given_certificate(tmp_path, "lab.example.org")
    address.check_given(settings)
    other = lab(tmp_path / "state", bind=OPEN, host="other.example.org", tls=settings.tls)
    with pytest.raises(SetupError, match=r"does not name other\.example\.org"):
        address.check_given(other)
    (tmp_path / "certs" / "web.key").write_bytes((tmp_path / "certs" / "ca.key").read_bytes())
    with pytest.raises(SetupError, match="is not the key"):
        address.check_given(settings)
    (tmp_path / "certs" / "web.key").unlink()
    with pytest.raises(SetupError, match=r"web\.key"):
        address.check_given(settings)


def test_a_certificate_without_the_wildcard_means_one_origin(tmp_path: Path) -> None:
    """The registry's certificate names one address only."""
    certs.ensure(lab(tmp_path))
    settings = lab(
        tmp_path, bind="192.0.2.7", host="lab.example.org", tls=str(tmp_path / "certs" / "registry")
    )
    state = address.record(settings, dns(lab_example_org="192.0.2.7", any="192.0.2.7"))
    assert not state.each
    assert "does not cover" in state.why


def test_a_renewed_certificate_starts_the_proxy_anew(tmp_path: Path) -> None:
    settings = lab(tmp_path, tls="own")
    certs.ensure(settings)
    before = address.fingerprint(settings)
    assert address.fingerprint(settings) == before
    (tmp_path / "certs" / "web.crt").unlink()
    certs.ensure(settings)
    assert address.fingerprint(settings) != before


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("cyberlab.localhost", True),
        ("anna.cyberlab.localhost", True),
        ("evilcyberlab.localhost", False),
        ("cyberlab.localhost.evil.example", False),
        ("localhost", False),
    ],
)
def test_which_names_are_the_labs(tmp_path: Path, host: str, ours: bool) -> None:
    assert reach.ours(lab(tmp_path), host) is ours
