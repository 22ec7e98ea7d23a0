"""The lab's address in browsers: whether every user has an origin of their own, and what an operator should know.

Browsers keep pages of different host names apart. With `HOST` for the hub and `NAME.HOST` for each user's server, a
script in a page of one person's server reaches neither the hub nor another server. This needs names: all of `*.HOST`
must lead here, and a certificate must cover them. Names below `localhost` always do. For others, `up` asks the
resolver once and remembers the answer, so that the hub and `status` never disagree.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import Settings

Resolve = Callable[[str], frozenset[str]]


@dataclass(frozen=True)
class Origins:
    """Whether each user has an origin of their own; `why` not, in one sentence."""

    each: bool
    why: str = ""


def resolve(name: str) -> frozenset[str]:
    """The addresses of a name, by the machine's own resolver; none when it has none."""
    try:
        return frozenset(
            str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        )
    except (OSError, UnicodeError):
        return frozenset()


def record(settings: Settings, resolve: Resolve = resolve) -> Origins:
    """Ask the resolver about `*.HOST`, remember the answer, and say what follows."""
    host, file = settings.public_host, _record(settings)
    file.unlink(missing_ok=True)
    if not _below_localhost(host) and not _is_address(host):
        here = resolve(host)
        if here and resolve(f"{secrets.token_hex(4)}.{host}") & here:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(host)
    return origins(settings)


def origins(settings: Settings) -> Origins:
    """What the hub does and `status` says."""
    host = settings.public_host
    if _is_address(host):
        return Origins(
            each=False, why=f"{host} is an address, and addresses have no names below them: set CYBERLAB_HOST"
        )
    if not _below_localhost(host):
        file = _record(settings)
        if not file.exists() or file.read_text() != host:
            return Origins(
                each=False,
                why=f"names below {host} do not lead to where {host} leads: ask for a DNS entry *.{host}, "
                "then `make up`",
            )
    if settings.tls_mode == "given" and not _covers(settings.tls_files[0], f"*.{host}"):
        return Origins(each=False, why=f"the certificate {settings.tls_files[0]} does not cover *.{host}")
    return Origins(each=True)


def url_of(settings: Settings, user: str) -> str:
    """Where a user's own server answers."""
    if not origins(settings).each:
        return settings.public_url
    return settings.public_url.replace("://", f"://{user}.", 1)


def warnings(settings: Settings) -> list[str]:
    """What an operator should know about the address, one sentence each; empty when all is well."""
    found: list[str] = []
    state = origins(settings)
    if not state.each:
        found.append(
            "All users share one origin: a script in a page of somebody's server can act as whoever opens it. "
            f"Reason: {state.why}."
        )
    if settings.tls_mode == "off" and not settings.local:
        found.append(
            "The lab's page is open to the network without encryption: passwords can be read on the way. "
            "Remove CYBERLAB_TLS=off, or set CYBERLAB_BIND=127.0.0.1."
        )
    return found


def advice(settings: Settings) -> str:
    """What people must do before their browsers trust the page; empty when they need do nothing."""
    if settings.tls_mode != "own":
        return ""
    return (
        f"Browsers trust the page after the lab's authority {settings.certs / 'ca.crt'} was added to them "
        "(docs/operating.md, HTTPS). Or give a certificate of your own: CYBERLAB_TLS."
    )


def fingerprint(settings: Settings) -> str:
    """Changes when the proxy must start anew: other origins, or a renewed certificate."""
    digest = hashlib.sha256(repr(origins(settings)).encode())
    if settings.tls_mode != "off":
        digest.update(settings.tls_files[0].read_bytes())
    return digest.hexdigest()[:8]


def check_given(settings: Settings) -> None:
    """A given certificate is there, belongs to its key, is valid today and names the lab.

    Raises:
        SetupError: ``certificate-unusable``.
    """
    crt, key = settings.tls_files
    try:
        certificate = x509.load_pem_x509_certificate(crt.read_bytes())
        private = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise SetupError(
            "certificate-unusable",
            f"CYBERLAB_TLS wants {crt} and {key} (PEM, key without a password): {error}",
        ) from error
    problem = ""
    if private.public_key() != certificate.public_key():
        problem = f"{key} is not the key of {crt}"
    elif not certificate.not_valid_before_utc <= dt.datetime.now(dt.UTC) < certificate.not_valid_after_utc:
        problem = (
            f"{crt} is valid from {certificate.not_valid_before_utc} to {certificate.not_valid_after_utc}"
        )
    elif not _covers(crt, settings.public_host):
        problem = f"{crt} does not name {settings.public_host}; set CYBERLAB_HOST to the name it is for"
    if problem:
        raise SetupError("certificate-unusable", problem)


def _record(settings: Settings) -> Path:
    return settings.state / "run" / "wildcard"


def _below_localhost(host: str) -> bool:
    return host.endswith(".localhost")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _covers(crt: Path, name: str) -> bool:
    """Whether the certificate names `name`, itself or by the wildcard of its parent."""
    try:
        certificate = x509.load_pem_x509_certificate(crt.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    if _is_address(name):
        return ip_address(name) in names.get_values_for_type(x509.IPAddress)
    parent = name.partition(".")[2]
    return bool({name, f"*.{parent}"} & {n.lower() for n in names.get_values_for_type(x509.DNSName)})
