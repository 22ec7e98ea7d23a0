"""A deployment as the JSON of one Swarm service. Pure: no engine, no clock.

The whole description is made anew for each update, because Swarm wipes what an update leaves out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from cyberlab_edge.device import INTAKE

from cyberlab_hub.service.credentials import hashed
from cyberlab_hub.service.mqtt_logins import topic_of, user_of
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import limits
from cyberlab_hub.workshop.nodes import selector
from cyberlab_hub.workshop.orders import DeployOrder

LAB = "cyberlab.lab"
OWNER = "cyberlab.owner"
NAME = "cyberlab.name"
DEPLOYMENT = "cyberlab.deployment"
IMAGE = "cyberlab.image"
JOB = "cyberlab.job"
"""On tasks: which order they come from, so that new ones can be told from old ones."""

TOKEN_FILE = "cyberlab_token"  # noqa: S105 - a file name under /run/secrets
CA_FILE = "/run/cyberlab/ca.crt"
DEVICE = "{{.Node.Hostname}}"
"""Swarm fills it in."""
RESTART_NS = 5_000_000_000
MONITOR_NS = 800_000_000
"""For so long after its start a new version that ends brings the old one back, also when the lab service is away.
Shorter than `rollout.SETTLE_SECONDS`: nothing may be rolled back after it was called a success."""


@dataclass(frozen=True)
class Kept:
    """A secret or config in the swarm."""

    id: str
    name: str


def service_name(settings: Settings, order: DeployOrder) -> str:
    """Readable part plus id, at most 63 characters, whatever owner and name look like."""
    return f"{settings.name[:14]}-{_slug(order.owner, 14)}-{_slug(order.name, 18)}-{_id(order.deployment)}"


def secret_name(settings: Settings, order: DeployOrder) -> str:
    """Swarm secrets never change: another token is another secret."""
    return f"{settings.name[:14]}-token-{_id(order.deployment)}-{_hash(order.token, 10)}"


def config_name(settings: Settings, authority: bytes) -> str:
    return f"{settings.name[:14]}-ca-{hashlib.sha256(authority).hexdigest()[:10]}"


def labels(settings: Settings, order: DeployOrder) -> dict[str, str]:
    return {
        LAB: settings.name,
        OWNER: order.owner,
        NAME: order.name,
        DEPLOYMENT: order.deployment,
        IMAGE: order.image,
    }


def service_spec(settings: Settings, order: DeployOrder, token: Kept, authority: Kept) -> dict[str, Any]:
    """``POST /services/create``: a global service on the nodes that carry the deployment's label."""
    return {
        "Name": service_name(settings, order),
        "Labels": labels(settings, order),
        "TaskTemplate": {
            "ContainerSpec": _container(settings, order, token, authority),
            "Resources": _resources(),
            # `any`: a device that was switched off and on again runs its deployments again
            "RestartPolicy": {"Condition": "any", "Delay": RESTART_NS, "MaxAttempts": 0},
            "Placement": {"Constraints": [f"node.labels.{selector(order.deployment)} == 1"]},
            "LogDriver": {"Name": "json-file", "Options": limits.LOG},
        },
        "Mode": {"Global": {}},
        "UpdateConfig": {**_all_at_once(), "FailureAction": "rollback"},
        "RollbackConfig": {**_all_at_once(), "FailureAction": "continue"},
        "EndpointSpec": {
            "Mode": "dnsrr",
            "Ports": [
                {"Protocol": "tcp", "TargetPort": port, "PublishedPort": port, "PublishMode": "host"}
                for port in order.ports
            ],
        },
    }


def _container(settings: Settings, order: DeployOrder, token: Kept, authority: Kept) -> dict[str, Any]:
    return {
        "Image": f"{settings.registry}/{order.repository}@{order.digest}",
        **({"Args": list(order.command)} if order.command else {}),
        "Env": _environment(settings, order),
        "Labels": {**labels(settings, order), JOB: order.job},
        "Init": True,
        "ReadOnly": True,
        "CapabilityDrop": ["ALL"],
        "StopGracePeriod": limits.STOP_SECONDS * 1_000_000_000,
        "Mounts": [
            {
                "Type": "tmpfs",
                "Target": "/tmp",  # noqa: S108 - inside the container
                "TmpfsOptions": {"SizeBytes": limits.RUN_TMP_BYTES, "Mode": 0o1777},
            }
        ],
        "Secrets": [{"SecretID": token.id, "SecretName": token.name, "File": _file(TOKEN_FILE)}],
        "Configs": [{"ConfigID": authority.id, "ConfigName": authority.name, "File": _file(CA_FILE)}],
    }


def _environment(settings: Settings, order: DeployOrder) -> list[str]:
    """The user's values as they are; the lab's own over them."""
    user = user_of(hashed(order.token), DEVICE)
    ours = {
        "CYBERLAB_GATEWAY": f"http://{INTAKE}",
        "CYBERLAB_INGEST": settings.ingest_url,  # for programs that speak line protocol themselves
        "CYBERLAB_DEVICE": DEVICE,
        "CYBERLAB_DEPLOYMENT": order.name,
        "CYBERLAB_TOKEN_FILE": f"/run/secrets/{TOKEN_FILE}",
        "CYBERLAB_CA_FILE": CA_FILE,
        "CYBERLAB_MQTT": settings.mqtt_url,
        "CYBERLAB_MQTT_USER": user,
        "CYBERLAB_MQTT_TOPIC": topic_of(order.owner, user),
    }
    theirs = {name: literal(value) for name, value in order.env if name not in ours}
    merged = {**limits.proxied(settings), **theirs, **ours}
    return [f"{name}={value}" for name, value in sorted(merged.items())]


def literal(value: str) -> str:
    """Swarm reads environment values as Go templates: `{{` becomes an action that prints it."""
    return value.replace("{{", '{{"{{"}}')


def _resources() -> dict[str, Any]:
    return {
        "Limits": {
            "NanoCPUs": int(limits.RUN_CPUS * 1e9),
            "MemoryBytes": limits.RUN_MEMORY_MB * limits.MB,
            "Pids": limits.RUN_PROCESSES,
        },
        "Reservations": {"MemoryBytes": limits.RESERVED_MEMORY_MB * limits.MB},
    }


def _all_at_once() -> dict[str, Any]:
    return {"Parallelism": 0, "Delay": 0, "Monitor": MONITOR_NS, "MaxFailureRatio": 0, "Order": "stop-first"}


def _file(name: str) -> dict[str, Any]:
    # readable by whichever user the image runs as; nobody else is in the container
    return {"Name": name, "UID": "0", "GID": "0", "Mode": 0o444}


def _slug(text: str, length: int) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:length].strip("-") or "x"


def _id(text: str) -> str:
    return text if re.fullmatch(r"[a-z0-9]{1,14}", text) else _hash(text, 12)


def _hash(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
