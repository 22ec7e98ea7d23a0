"""The registry of users' images."""

from __future__ import annotations

import ssl

import httpx

from cyberlab_hub.campus import GATEWAY_PORT
from cyberlab_hub.setup.doctor.check import UP, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

SECONDS = 10


@check("registry-strangers", "registry", "Nobody lists, pulls or pushes images without an account", UP)
def strangers(patient: Patient) -> str:
    settings = patient.settings
    patient.at_hand(settings.registry_address, settings.gateway("devices"))
    trusted = ssl.create_default_context(cafile=settings.certs / "ca.crt")
    url, token = f"https://{settings.registry}/v2", settings.token_url
    ask = "?service=cyberlab-registry&scope="
    wishes = {
        ("GET", f"{url}/_catalog"): "the list of all images",
        ("GET", f"{url}/nobody/nothing/manifests/1"): "an image",
        ("POST", f"{url}/nobody/nothing/blobs/uploads/"): "an upload",
        ("GET", f"{token}{ask}registry:catalog:*"): "a token for the list of images",
        ("GET", f"{token}{ask}repository:nobody/nothing:pull"): "a token for an image",
    }
    wrong: list[str] = []
    with httpx.Client(verify=trusted, timeout=SECONDS, trust_env=False) as client:
        for (method, where), what in wishes.items():
            status = client.request(method, where).status_code
            if status not in (401, 403):
                wrong.append(f"{what} was answered {status} to a stranger, not 401")
    return none_wrong(wrong, f"{len(wishes)} wishes of a stranger refused, certificate good")


@check("registry-tls", "registry", "Registry, gateway and token service speak TLS only", UP)
def only_tls(patient: Patient) -> str:
    settings = patient.settings
    patient.at_hand(settings.registry_address, settings.gateway("devices"))
    places = (
        settings.registry,
        settings.ingest_url.partition("//")[2],
        settings.token_url.partition("//")[2].partition("/")[0],
        *(f"{address}:{GATEWAY_PORT}" for address in settings.on_campus.addresses),
    )
    wrong: list[str] = []
    for place in places:
        try:
            status = httpx.get(f"http://{place}/", timeout=SECONDS, trust_env=False).status_code
        except httpx.TransportError:
            continue
        if status != 400:  # what Go's servers answer to plain HTTP
            wrong.append(f"{place} answers plain HTTP with {status}")
    return none_wrong(wrong, ", ".join(places))
