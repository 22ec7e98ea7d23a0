"""Things of users through the API: a token that is shown once, a quota, and what the gateway makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from cyberlab_hub.errors import NotSignedIn
from cyberlab_hub.ingest.intake import take
from cyberlab_hub.ingest.lines import IDENTITY_CLAIMED, Batch
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.ingest.tokens import Tokens
from cyberlab_hub.service.models import IngestToken, now
from service_lab import ServiceLab, service_lab

T = 1_760_000_000_000_000_000


def code(answer: object) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]  # type: ignore[attr-defined]  # httpx.Response


def test_a_thing_from_its_token_to_its_end(service: ServiceLab) -> None:
    made = service.anna.post("/things", json={"name": "balcony"})
    assert made.status_code == 201
    thing = made.json()
    assert thing["gateway"].startswith("https://")
    assert (thing["bucket"], thing["org"]) == ("anna", "cyberlab")
    assert thing["mqtt_topic"] == f"cyberlab/anna/{thing['mqtt_user']}"
    assert thing["mqtt_user"].endswith(".balcony")

    listed = service.anna.get("/things")
    assert [row["name"] for row in listed.json()] == ["balcony"]
    assert thing["token"] not in listed.text
    assert service.ben.get("/things").json() == []

    sender = Tokens(service.database).sender(thing["token"])
    assert (sender.owner, sender.agent, sender.devices) == ("anna", False, {"balcony"})
    written = take(service.store, "anna", Batch(b"t value=1 %d" % T), sender.tags("balcony"))
    assert written.refused == ()
    assert service.store.lines[database_of("anna")] == [b"t,device=balcony value=1 %d" % T]

    assert service.ben.delete("/things/balcony").status_code == 404
    assert service.anna.delete("/things/balcony").status_code == 204
    assert code(service.anna.delete("/things/balcony")) == (404, "thing-unknown")
    assert service.anna.get("/things").json() == []
    with pytest.raises(NotSignedIn):
        Tokens(service.database).sender(thing["token"])


def test_a_thing_is_told_where_it_reaches_the_lab_from_elsewhere(tmp_path: Path) -> None:
    with service_lab(tmp_path, campus="lab.example.org,192.0.2.10") as lab:
        thing = lab.anna.post("/things", json={"name": "balcony"}).json()
    assert thing["gateway"] == "https://lab.example.org:8443"
    assert thing["mqtt"] == "mqtts://lab.example.org:8883"
    ca = x509.load_pem_x509_certificate(thing["ca"].encode())
    for name in ("ingest", "mqtt"):
        shown = x509.load_pem_x509_certificate((tmp_path / "certs" / f"{name}.crt").read_bytes())
        shown.verify_directly_issued_by(ca)


@pytest.mark.parametrize("tag", [b"deployment=greenhouse", b"device=pi01", b"device=balcony2"])
def test_a_thing_speaks_for_itself_only(service: ServiceLab, tag: bytes) -> None:
    token = service.anna.post("/things", json={"name": "balcony"}).json()["token"]
    tags = Tokens(service.database).sender(token).tags("balcony")
    written = take(service.store, "anna", Batch(b"t,%s value=1 %d" % (tag, T)), tags)
    assert (written.written, [line.code for line in written.refused]) == (0, [IDENTITY_CLAIMED])


def test_the_lab_keeps_hashes_only(service: ServiceLab) -> None:
    token = service.anna.post("/things", json={"name": "balcony"}).json()["token"]
    with service.database.session() as session:
        (row,) = session.query(IngestToken).all()
    kept = json.dumps({key: str(value) for key, value in vars(row).items()})
    assert token not in kept
    assert (row.mqtt or "").startswith("$7$")


@pytest.mark.parametrize(
    "name", ["", "Balcony", "a b", "a,b", "a\n", "-a", "ä", "x" * 41, "../x", "a.b", "a+"]
)
def test_names_that_are_none(service: ServiceLab, name: str) -> None:
    answer = service.anna.post("/things", json={"name": name})
    assert code(answer) == (422, "spec-refused")
    assert answer.json()["error"]["problems"][0]["code"] == "name-invalid"


def test_a_name_is_taken(service: ServiceLab) -> None:
    with service.database.session() as session:
        session.add(
            IngestToken(hash="0", kind="device", owner="fleet", name="pi01", devices=["pi01"], created=now())
        )
    answer = service.anna.post("/things", json={"name": "pi01"})
    assert answer.json()["error"]["problems"][0]["code"] == "name-of-device"
    assert service.anna.post("/things", json={"name": "balcony"}).status_code == 201
    assert code(service.anna.post("/things", json={"name": "balcony"})) == (409, "thing-exists")
    assert service.ben.post("/things", json={"name": "balcony"}).status_code == 201
    assert service.anna.delete("/things/balcony").status_code == 204
    assert service.anna.post("/things", json={"name": "balcony"}).status_code == 201


def test_the_quota(service: ServiceLab) -> None:
    service.root.put("/quotas/user/anna/things", json={"value": 1})
    assert service.anna.post("/things", json={"name": "one"}).status_code == 201
    assert code(service.anna.post("/things", json={"name": "two"})) == (429, "quota-things")
    used = {row["quota"]: row["in_use"] for row in service.anna.get("/quotas/mine").json()}
    assert used["things"] == 1


def test_the_audit_has_it(service: ServiceLab) -> None:
    token = service.anna.post("/things", json={"name": "balcony"}).json()["token"]
    service.anna.delete("/things/balcony")
    rows = service.root.get("/audit", params={"actor": "anna"})
    seen = [(row["action"], row["object"], row["allowed"]) for row in rows.json()]
    assert ("add_thing", "anna/balcony", True) in seen
    assert ("remove_thing", "balcony", True) in seen
    assert token not in rows.text
