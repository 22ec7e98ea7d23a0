from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import certs


@pytest.fixture
def made(tmp_path: Path) -> Settings:
    settings = Settings(state=tmp_path)
    certs.ensure(settings)
    return settings


def load(settings: Settings, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((settings.certs / f"{name}.crt").read_bytes())


def test_keys_are_private_and_a_second_run_makes_nothing(made: Settings) -> None:
    assert {p.stat().st_mode & 0o777 for p in made.certs.glob("*.key")} == {0o600}
    assert certs.ensure(made) == []


def test_every_holder_is_signed_by_the_lab_and_has_its_addresses(made: Settings) -> None:
    ca = load(made, "ca")
    for holder in certs.holders(made):
        cert = load(made, holder.name)
        cert.verify_directly_issued_by(ca)
        if holder.addresses:
            names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert len(names) == len(holder.addresses)


def test_a_server_key_opens_no_engine(made: Settings) -> None:
    usage = {
        n: load(made, n).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        for n in ("engine", "engine-client")
    }
    assert list(usage["engine"]) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert list(usage["engine-client"]) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_certificate_near_its_end_is_renewed(made: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=certs.LEAF_DAYS * 0.8)
    monkeypatch.setattr(certs, "_now", lambda: later)
    assert set(certs.ensure(made)) == {h.name for h in certs.holders(made)}


def test_other_addresses_mean_another_certificate(made: Settings) -> None:
    moved = replace(made, subnet="10.99.0.0/16")
    assert "engine" in certs.ensure(moved)
    assert "engine-client" not in certs.ensure(moved)
