"""What the gateway answers to strangers on the campus, where `CYBERLAB_CAMPUS` opens it."""

from __future__ import annotations

import ssl

import httpx

from cyberlab_hub.campus import GATEWAY_PORT
from cyberlab_hub.setup.doctor.check import UP, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

SECONDS = 10
WISHES = {
    ("POST", "/api/v2/write?bucket=nobody"): 401,
    ("POST", "/api/v1/write"): 404,
    ("GET", "/query"): 404,
    ("GET", "/api/v2/buckets"): 404,
}
"""What a stranger asks -> what the answer must be."""


@check(
    "campus-gateway",
    "ports",
    "On the campus the gateway takes readings with a token, and does nothing else",
    UP,
)
def gateway(patient: Patient) -> str:
    addresses = patient.settings.on_campus.addresses
    if not addresses:
        return "closed"
    patient.at_hand(*addresses)
    trusted = ssl.create_default_context(cafile=patient.settings.certs / "ca.crt")
    wrong: list[str] = []
    with httpx.Client(verify=trusted, timeout=SECONDS, trust_env=False) as client:
        for place in (f"https://{address}:{GATEWAY_PORT}" for address in addresses):
            for (method, path), expected in WISHES.items():
                status = client.request(method, f"{place}{path}").status_code
                if status != expected:
                    wrong.append(
                        f"{method} {place}{path} was answered {status} to a stranger, not {expected}"
                    )
    return none_wrong(wrong, ", ".join(addresses))
