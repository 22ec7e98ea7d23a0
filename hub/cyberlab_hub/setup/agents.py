"""The lab's agent on each simulated Pi: its configuration, and the certificate that says which device it is.

The private key is made here and put into the Pi; the lab keeps the certificate's hash only (`IngestToken`), so a
device is shut out by withdrawing that row.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import docker
from cyberlab_edge.device import INTAKE
from cyberlab_edge.frames import PATH

from cyberlab_hub import certs
from cyberlab_hub.ingest.store import FLEET
from cyberlab_hub.ingest.uplink import UPLINK_PORT
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers

INTERVAL_SECONDS = 5
CONFIG = "/etc/cyberlab/agent.json"
CERTIFICATE = "/etc/cyberlab/agent.pem"
RENEWED_AFTER = timedelta(days=certs.DEVICE_DAYS / 3)
KIND = "device"


def ensure(settings: Settings, engine: docker.DockerClient, database: Database, number: int) -> bool:
    """Give the Pi's agent its configuration and a certificate, unless it has them. Returns whether it did."""
    name = containers.pi(settings, number).name
    container = containers.find(settings, engine, name)
    if container is None:
        return False
    wanted = json.dumps(configuration(settings, name), sort_keys=True)
    there = container.exec_run(["cat", CONFIG])
    if (
        there.exit_code == 0
        and there.output.decode() == wanted
        and _holds_a_certificate(container, database, name)
    ):
        return False
    pem, fingerprint = certs.device(settings, name)
    with database.session() as session:
        # the old one died with the old container
        for row in session.query(IngestToken).filter_by(kind=KIND, name=name, revoked=None):
            row.revoked = now()
        session.add(
            IngestToken(
                hash=fingerprint,
                kind=KIND,
                owner=FLEET,
                deployment=None,
                name=name,
                devices=[name],
                created=now(),
                revoked=None,
            )
        )
    containers.put_file(container, CERTIFICATE, pem)
    containers.put_file(container, CONFIG, wanted.encode(), mode=0o644)
    # its loop starts it anew, with these
    container.exec_run(["pkill", "-TERM", "-f", "cyberlab_edge.agent"])
    return True


def configuration(settings: Settings, name: str) -> dict[str, Any]:
    """The text of `CONFIG`; see `cyberlab_edge.agent.config`."""
    return {
        "device": name,
        "uplink": f"wss://{settings.gateway('devices')}:{UPLINK_PORT}{PATH}",
        "pem_file": CERTIFICATE,
        "ca_file": "/certs/ca.crt",
        "spool": f"{containers.SPOOL}/spool.db",
        "spool_mb": containers.SPOOL_MB,
        "intake": INTAKE,
        "interval_s": INTERVAL_SECONDS,
        "simulated": True,
    }


def _holds_a_certificate(container: Any, database: Database, name: str) -> bool:
    if container.exec_run(["test", "-s", CERTIFICATE]).exit_code != 0:
        return False
    with database.session() as session:
        row = session.query(IngestToken).filter_by(kind=KIND, name=name, revoked=None).first()
        return row is not None and row.owner == FLEET and now() - row.created < RENEWED_AFTER
