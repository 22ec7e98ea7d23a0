"""Registry tokens of an attacker's own making: each would open Ben's image if something did not look."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cyberlab_hub.service.registry_tokens import ISSUER, SERVICE
from hostile.registry_client import bens, mallory, own_pushed
from hostile.scene import Scene


def claims(scene: Scene, **changes: Any) -> dict[str, Any]:
    """What a token that opens Ben's repository would say."""
    repository, _ = bens(scene)
    at = int(time.time())
    return {
        "iss": ISSUER,
        "sub": scene.ben.name,
        "aud": SERVICE,
        "iat": at,
        "nbf": at - 30,
        "exp": at + 300,
        "jti": secrets.token_hex(8),
        "access": [{"type": "repository", "name": repository, "actions": ["pull", "push", "delete"]}],
        **changes,
    }


def signer(scene: Scene, name: str = "token-signer") -> tuple[Any, str]:
    """A key of the lab's, and its certificate for `x5c`. An attacker has none: the control knows what is right."""
    folder = scene.settings.certs
    certificate = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
    der = certificate.public_bytes(serialization.Encoding.DER)
    return serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None), base64.b64encode(
        der
    ).decode()


def signed_rightly(scene: Scene, **changes: Any) -> str:
    key, x5c = signer(scene)
    return jwt.encode(claims(scene, **changes), key, "ES256", {"x5c": [x5c]})


def signed_by_another_key(scene: Scene) -> str:
    _, x5c = signer(scene)
    return jwt.encode(claims(scene), ec.generate_private_key(ec.SECP256R1()), "ES256", {"x5c": [x5c]})


def signed_by_an_own_certificate(scene: Scene) -> str:
    key, x5c = own_certificate("cyberlab token signer")
    return jwt.encode(claims(scene), key, "ES256", {"x5c": [x5c]})


def signed_by_another_of_the_labs_keys(scene: Scene) -> str:
    key, x5c = signer(scene, "registry")
    return jwt.encode(claims(scene), key, "ES256", {"x5c": [x5c]})


def brings_its_key_along(scene: Scene) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return jwt.encode(claims(scene), key, "ES256", {"jwk": jwk})


def unsigned(scene: Scene) -> str:
    return jwt.encode(claims(scene), "", "none")


def unsigned_with_the_certificate(scene: Scene) -> str:
    return jwt.encode(claims(scene), "", "none", {"x5c": [signer(scene)[1]]})


def symmetric_with_the_public_key(scene: Scene) -> str:
    """HS256 with the signer's certificate as the secret: for those who let the token choose the algorithm."""
    _, x5c = signer(scene)

    def part(content: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'x5c': [x5c]})}.{part(claims(scene))}"
    mac = hmac.digest(base64.b64decode(x5c), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def access_changed_afterwards(scene: Scene) -> str:
    """A real token of Mallory's, its access rewritten."""
    mine, _ = own_pushed(scene)
    head, body, signature = mallory(scene, f"repository:{mine}:pull,push").split(".")
    told = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    told["access"] = claims(scene)["access"]
    forged = base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")
    return f"{head}.{forged}.{signature}"


def own_certificate(name: str) -> tuple[Any, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - timedelta(hours=1))
        .not_valid_after(start + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    return key, base64.b64encode(made.public_bytes(serialization.Encoding.DER)).decode()
