from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cyberlab_hub import certs
from cyberlab_hub.settings import Settings


@pytest.fixture
def made(tmp_path: Path) -> Settings:
    settings = Settings(state=tmp_path)
    certs.ensure(settings)
    return settings


def load(settings: Settings, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((settings.certs / name).read_bytes())


def test_keys_are_private_and_a_second_run_makes_nothing(made: Settings) -> None:
    private = [p for p in made.certs.iterdir() if b"PRIVATE KEY" in p.read_bytes()]
    assert len(private) == 1 + len(certs.holders(made)) + len(certs.ROLES)
    assert {p.stat().st_mode & 0o777 for p in private} == {0o600}
    assert certs.ensure(made) == []


def test_every_holder_is_signed_by_the_lab_and_has_its_addresses(made: Settings) -> None:
    ca = load(made, "ca.crt")
    for holder in certs.holders(made):
        cert = load(made, f"{holder.name}.crt")
        cert.verify_directly_issued_by(ca)
        if holder.addresses:
            names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert len(names) == len(holder.addresses)


def test_a_server_key_opens_no_engine(made: Settings) -> None:
    usage = {
        n: load(made, n).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        for n in ("engine.crt", *(f"{role}.pem" for role in certs.ROLES))
    }
    assert list(usage.pop("engine.crt")) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert all(list(each) == [ExtendedKeyUsageOID.CLIENT_AUTH] for each in usage.values())


def test_a_certificate_near_its_end_is_renewed(made: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=certs.LEAF_DAYS * 0.8)
    monkeypatch.setattr(certs, "_now", lambda: later)
    assert set(certs.ensure(made)) == {h.name for h in certs.holders(made)} | set(certs.ROLES)


def test_a_client_is_named_after_its_role_and_lives_a_day(made: Settings) -> None:
    for role in certs.ROLES:
        cert = load(made, f"{role}.pem")
        cert.verify_directly_issued_by(load(made, "ca.crt"))
        assert [a.value for a in cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [role]
        assert cert.not_valid_after_utc - cert.not_valid_before_utc <= dt.timedelta(hours=26)


@pytest.mark.parametrize(("hours", "renewed"), [(0, False), (14, False), (17, True), (30, True)])
def test_clients_are_renewed_long_before_their_end(
    made: Settings, monkeypatch: pytest.MonkeyPatch, hours: int, renewed: bool
) -> None:
    before = {role: load(made, f"{role}.pem").serial_number for role in certs.ROLES}
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    monkeypatch.setattr(certs, "_now", lambda: later)
    assert certs.ensure_clients(made) == (list(certs.ROLES) if renewed else [])
    for role in certs.ROLES:
        cert = load(made, f"{role}.pem")
        assert (cert.serial_number != before[role]) is renewed
        if renewed:
            assert cert.not_valid_after_utc > later + dt.timedelta(hours=23)


def test_another_authority_means_other_certificates(made: Settings) -> None:
    (made.certs / "ca.key").unlink()
    assert set(certs.ensure(made)) == {"ca", *(h.name for h in certs.holders(made)), *certs.ROLES}


def test_the_client_that_might_do_everything_is_removed(made: Settings) -> None:
    for name in certs.FORMER:
        (made.certs / name).write_text("old")
    certs.ensure(made)
    assert not any((made.certs / name).exists() for name in certs.FORMER)


def test_other_addresses_mean_another_certificate(made: Settings) -> None:
    moved = replace(made, subnet="10.99.0.0/16")
    assert "engine" in certs.ensure(moved)
    assert certs.ensure(moved) == []
