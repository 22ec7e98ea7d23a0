"""The lab's certificate authority, and a certificate for each part with only the usages it needs.

Written below `settings.certs`: ``ca.crt``/``ca.key``, NAME.crt/NAME.key of a server, ROLE.pem (certificate and key
in one file, replaced as one) of each client of the workshop engine. What holds a key is 0600.
Server and client certificates have separate extended key usages, so a stolen server key opens no engine.
A certificate is made anew when it is missing, ends within a third of its life, or names other addresses. Docker
knows no revocation: so a client's lives a day, and the lab service makes the next one while it runs.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cyberlab_hub.campus import is_ipv4
from cyberlab_hub.settings import Settings

CA_DAYS = 3650
LEAF_DAYS = 90
CLIENT_HOURS = 24
DEVICE_DAYS = 365
"""A device's, for its uplink: it may lie on a shelf for months. The gateway knows which ones are withdrawn."""
CLOCK_SLACK = dt.timedelta(hours=1)
"""A Pi without a clock chip is behind for a while after it starts."""

Role = Literal["builder", "runner", "swarm", "operator"]
"""A client of the workshop engine: the common name by which its warden knows what the client may do."""
ROLES: tuple[Role, ...] = get_args(Role)
FORMER = ("engine-client.crt", "engine-client.key")
"""A client that might do everything; removed where it is found."""


@dataclass(frozen=True)
class Holder:
    name: str
    addresses: tuple[str, ...] = ()
    """IP addresses and host names in the certificate; empty for a client."""
    client: bool = False

    @property
    def life(self) -> dt.timedelta:
        return dt.timedelta(hours=CLIENT_HOURS) if self.client else dt.timedelta(days=LEAF_DAYS)


def holders(settings: Settings) -> tuple[Holder, ...]:
    """Who holds a certificate in this lab."""
    host, campus = settings.gateway("devices"), settings.on_campus.entries
    return (
        Holder("engine", (settings.engine_address, "localhost", "127.0.0.1")),
        Holder("registry", (settings.registry_address,)),
        Holder("lab", (host, "localhost", "127.0.0.1")),
        Holder("ingest", (host, "localhost", "127.0.0.1", *campus)),
        Holder("mqtt", (settings.mqtt_address, "localhost", "127.0.0.1", *campus)),
        Holder("token-signer"),
        *_web(settings),
    )


def _web(settings: Settings) -> tuple[Holder, ...]:
    """The page that browsers see, when it shows a certificate of the lab's own authority."""
    if settings.tls_mode != "own":
        return ()
    name, addresses = settings.public_host, {settings.connect_address, "127.0.0.1"}
    names = (name,) if is_ipv4(name) else (name, f"*.{name}")
    return (Holder("web", tuple(dict.fromkeys((*names, *sorted(addresses), "localhost")))),)


def client_file(folder: Path, role: Role) -> Path:
    """Certificate and key of a role."""
    return folder / f"{role}.pem"


def ensure(settings: Settings) -> list[str]:
    """Make what is missing or near its end. Returns the names made (empty: nothing to do)."""
    settings.certs.mkdir(parents=True, exist_ok=True)
    settings.certs.chmod(0o755)
    made: list[str] = []
    if not (settings.certs / "ca.key").exists():
        _make_ca(settings.certs)
        made.append("ca")
    for name in FORMER:
        (settings.certs / name).unlink(missing_ok=True)
    made += _renew(settings.certs, holders(settings), anew="ca" in made)
    return made + ensure_clients(settings, anew="ca" in made)


def ensure_clients(settings: Settings, *, anew: bool = False) -> list[str]:
    """The same for the clients of the workshop engine alone; the lab service calls it while it runs.

    Raises:
        OSError: the lab's authority cannot be read, or the disk is full.
    """
    return _renew(settings.certs, [Holder(role, client=True) for role in ROLES], anew=anew)


def device(settings: Settings, name: str) -> tuple[bytes, str]:
    """A new certificate with its key (PEM) for that device's agent, and its SHA-256 (hex). Nothing is kept here.

    Its common name is none of a role's, so no engine's warden lets it do anything.

    Raises:
        OSError: the lab's authority cannot be read.
    """
    holder = Holder(f"device:{name}", client=True)
    ca, ca_key = _authority(settings.certs)
    cert, key = _signed(holder, ca, ca_key, dt.timedelta(days=DEVICE_DAYS))
    pem = cert.public_bytes(serialization.Encoding.PEM) + _private(key)
    return pem, cert.fingerprint(hashes.SHA256()).hex()


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    ca_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError("ca.key is not an elliptic-curve key")
    return _load(folder / "ca.crt"), ca_key


def _renew(folder: Path, wanted: Iterable[Holder], *, anew: bool) -> list[str]:
    due = [holder for holder in wanted if anew or not _good(folder, holder)]
    if due:
        ca, ca_key = _authority(folder)
        for holder in due:
            _issue(folder, holder, ca, ca_key)
    return [holder.name for holder in due]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _good(folder: Path, holder: Holder) -> bool:
    path = folder / (f"{holder.name}.pem" if holder.client else f"{holder.name}.crt")
    if not path.exists() or not (holder.client or path.with_suffix(".key").exists()):
        return False
    cert = _load(path)
    life = cert.not_valid_after_utc - cert.not_valid_before_utc
    if _now() > cert.not_valid_after_utc - life / 3:
        return False
    try:
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not holder.addresses
    return set(names) == set(_names(holder.addresses))


def _names(addresses: tuple[str, ...]) -> list[x509.GeneralName]:
    return [
        x509.IPAddress(ip_address(a)) if is_ipv4(a) else x509.DNSName(a) for a in dict.fromkeys(addresses)
    ]


def _subject(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cyberlab"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: dt.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - CLOCK_SLACK)
        .not_valid_after(_now() + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _make_ca(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("cyberlab CA")
    cert = (
        _builder(name, name, key.public_key(), dt.timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(folder, "ca", cert, key)


def _issue(folder: Path, holder: Holder, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey) -> None:
    signed, key = _signed(holder, ca, ca_key, holder.life)
    if holder.client:
        both = signed.public_bytes(serialization.Encoding.PEM) + _private(key)
        write_private(folder / f"{holder.name}.pem", both)
    else:
        _write(folder, holder.name, signed, key)


def _signed(
    holder: Holder, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, life: dt.timedelta
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_subject(holder.name), ca.subject, key.public_key(), life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    if holder.client:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
    elif holder.addresses:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        ).add_extension(x509.SubjectAlternativeName(_names(holder.addresses)), critical=False)
    return builder.sign(ca_key, hashes.SHA256()), key


def _write(folder: Path, name: str, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    write_private(folder / f"{name}.key", _private(key))
    (folder / f"{name}.crt").write_bytes(cert.public_bytes(serialization.Encoding.PEM))


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a secret so that it never exists with wider rights than 0600, nor half written."""
    # several processes and threads may be at it
    scratch = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    scratch.replace(path)
