"""The lab's authority, who holds which certificate, and which ones the parts really show."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from cyberlab_hub import certs
from cyberlab_hub.campus import BROKER_PORT, GATEWAY_PORT
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers
from cyberlab_hub.setup.doctor.check import UP, Wrong, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

LAYER = "certificates"
SECONDS = 10
DAY = "%Y-%m-%d %H:%M"
LATE = dt.timedelta(hours=1)
"""The lab service renews what is in its last third every few minutes."""


@check(
    "certs-authority",
    LAYER,
    "The lab's authority is its own, signs nothing but parts of the lab, and is valid",
    "remove {certs}/ca.key and ca.crt, then `make up` (it makes every certificate anew), then enrol real devices again",
)
def authority(patient: Patient) -> str:
    return none_wrong(
        authority_problems(patient.settings.certs), f"ca.crt, {_until(patient.settings.certs / 'ca.crt')}"
    )


def authority_problems(folder: Path) -> Iterator[str]:
    ca = _load(folder / "ca.crt")
    key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    if key.public_key() != ca.public_key():
        yield "ca.key is not the key of ca.crt"
    yield from _time_problems("ca.crt", ca, renewal=False)
    basic = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
    if not basic.ca or basic.path_length != 0:
        yield "ca.crt may make other authorities"


@check(
    "certs-parts",
    LAYER,
    "Each part's certificate is of this authority, for its one use and its own addresses",
    UP,
)
def parts(patient: Patient) -> str:
    known = list(all_holders(patient.settings))
    return none_wrong(holder_problems(patient.settings), f"{len(known)} certificates")


def all_holders(settings: Settings) -> Iterator[tuple[certs.Holder, Path]]:
    """Who holds a certificate, and in which file."""
    for holder in certs.holders(settings):
        yield holder, settings.certs / f"{holder.name}.crt"
    for role in certs.ROLES:
        yield certs.Holder(role, client=True), certs.client_file(settings.certs, role)


def holder_problems(settings: Settings) -> Iterator[str]:
    ca = _load(settings.certs / "ca.crt")
    expected = {path.name for _, path in all_holders(settings)} | {"ca.crt"}
    for path in sorted((*settings.certs.glob("*.crt"), *settings.certs.glob("*.pem"))):
        if path.name not in expected:
            yield f"{path} belongs to nobody the lab knows: remove it and its key"
    for holder, path in all_holders(settings):
        if not path.exists():
            yield f"{path} is missing"
            continue
        yield from certificate_problems(holder, path, ca)


def certificate_problems(holder: certs.Holder, path: Path, ca: x509.Certificate) -> Iterator[str]:
    """What is wrong with one certificate; `path` holds its key too when it is a client's."""
    cert = _load(path)
    try:
        cert.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        yield f"{path.name} is not signed by the lab's authority"
    yield from _time_problems(path.name, cert, renewal=True)
    key = load_pem_private_key((path if holder.client else path.with_suffix(".key")).read_bytes(), None)
    if key.public_key() != cert.public_key():
        yield f"{path.name} and its key do not belong together"
    wanted = {Usage.CLIENT_AUTH} if holder.client else {Usage.SERVER_AUTH} if holder.addresses else set()
    if (uses := _usages(cert)) != wanted:
        yield f"{path.name} is for {_names(uses)}, not for {_names(wanted)}"
    common = [str(a.value) for a in cert.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    if common != [holder.name]:
        yield f"{path.name} names {', '.join(common) or 'nobody'}, not {holder.name}"
    if cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        yield f"{path.name} may sign other certificates"
    named = set(_addresses(cert))
    if named != set(holder.addresses):
        yield f"{path.name} is for {', '.join(sorted(named)) or 'no address'}, not {', '.join(holder.addresses)}"


def _time_problems(name: str, cert: x509.Certificate, *, renewal: bool) -> Iterator[str]:
    now = dt.datetime.now(dt.UTC)
    begin, end = cert.not_valid_before_utc, cert.not_valid_after_utc
    if now < begin:
        yield f"{name} is valid from {begin:{DAY}} UTC on: is this machine's clock right?"
    elif now >= end:
        yield f"{name} ended {end:{DAY}} UTC"
    elif renewal and now > end - (end - begin) / 3 + LATE:
        yield f"{name} ends {end:{DAY}} UTC and should have been renewed by now"


def _usages(cert: x509.Certificate) -> set[x509.ObjectIdentifier]:
    try:
        return set(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return set()


def _addresses(cert: x509.Certificate) -> list[str]:
    try:
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names]


def _names(uses: set[x509.ObjectIdentifier]) -> str:
    words = {Usage.CLIENT_AUTH: "clients", Usage.SERVER_AUTH: "servers"}
    return ", ".join(sorted(words.get(use, use.dotted_string) for use in uses)) or "no TLS"


# ---------------------------------------------------------------- what is shown
@check(
    "certs-shown",
    LAYER,
    "Each part shows the certificate that lies in the state folder, not an older one",
    UP,
)
def shown(patient: Patient) -> str:
    settings = patient.settings
    patient.at_hand(settings.registry_address, settings.gateway("devices"))
    places = [
        ("registry", settings.registry),
        ("mqtt", settings.mqtt_url.partition("//")[2]),
        ("ingest", settings.ingest_url.partition("//")[2]),
        ("lab", settings.token_url.partition("//")[2].partition("/")[0]),
    ]
    for address in settings.on_campus.addresses:
        places += [("mqtt", f"{address}:{BROKER_PORT}"), ("ingest", f"{address}:{GATEWAY_PORT}")]
    if not settings.engine_url:
        places.append(("engine", settings.workshop_url.partition("//")[2]))
    wrong: list[str] = []
    for name, place in places:
        if _shown(place) != ssl.PEM_cert_to_DER_cert((settings.certs / f"{name}.crt").read_text()):
            wrong.append(f"{name} at {place} shows another certificate than {settings.certs / name}.crt")
    for part in patient.parts:
        for name in part.certs:
            copy = settings.state / "mounts" / part.name / name
            if not copy.exists() or copy.read_bytes() != (settings.certs / name).read_bytes():
                wrong.append(f"{containers.container_name(settings, part.name)} has another {name}")
    return none_wrong(wrong, ", ".join(place for _, place in places))


def _shown(place: str) -> bytes | None:
    """The certificate at an address, checked or not: it is compared. Raises: OSError."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # compared byte by byte with our own
    host, _, port = place.partition(":")
    with socket.create_connection((host, int(port)), SECONDS) as plain, context.wrap_socket(plain) as tls:
        return tls.getpeercert(binary_form=True)


def _load(path: Path) -> x509.Certificate:
    """Raises: Wrong."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError) as error:
        raise Wrong(f"{path} is missing or no certificate") from error


def _until(path: Path) -> str:
    return f"until {_load(path).not_valid_after_utc:{DAY}} UTC"
