"""What runs and what does not: containers, processes and health answers, gathered for `cyberlab-hub status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cyberlab_hub import address
from cyberlab_hub.disks import HOME, Disks
from cyberlab_hub.errors import HubError
from cyberlab_hub.ingest.mqtt import probe
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import campus, containers, engines, processes
from cyberlab_hub.setup.health import health_urls, healthy

GB = 2**30
BROKER = "mqtt"


@dataclass(frozen=True)
class PartState:
    part: str
    ok: bool
    detail: str
    warning: bool = False
    """It runs, and the detail says what needs attention."""


def collect(settings: Settings) -> list[PartState]:
    """One row a part, in the order in which they depend on one another. Never raises for a part that is down."""
    try:
        engine = engines.system_engine()
    except HubError as error:
        return [PartState("system engine", ok=False, detail=error.message)]
    rows = [PartState("system engine", ok=True, detail=f"Docker {engine.version()['Version']}")]
    named = [c for c in containers.ours(settings, engine) if containers.PART in c.labels]
    parts = [c for c in named if c.labels[containers.PART] != containers.USER_SERVER]
    for container in sorted(parts, key=lambda c: str(c.name)):
        running = container.status == "running"
        part = container.labels[containers.PART]
        rows.append(
            _broker(settings, container.status)
            if part == BROKER
            else PartState(part, running, container.status)
        )
    if parts and probe.is_set_up(settings) and all(c.labels[containers.PART] != BROKER for c in parts):
        rows.append(_broker(settings, "no container"))
    if not parts:
        rows.append(PartState("lab", ok=False, detail="not set up; run `make up`"))
    rows.append(_user_servers([c for c in named if c not in parts]))
    rows.append(_workshop(settings))
    rows += _disks(settings)
    for name, url in health_urls(settings).items():
        running_process = processes.find(settings, name)
        answers = running_process is not None and healthy(settings, url)
        detail = f"pid {running_process.pid}" if running_process else f"not started; log in {settings.logs}"
        rows.append(
            PartState(name, answers, detail if answers or not running_process else f"{detail}, no answer")
        )
    rows.append(_address(settings))
    rows.append(PartState("campus", ok=True, detail=campus.described(settings)))
    return rows


def _broker(settings: Settings, status: str) -> PartState:
    """One that runs and does not answer is down for everything that sends by MQTT."""
    try:
        return PartState(BROKER, ok=True, detail=f"{status}, answers ({probe.ask(settings)})")
    except HubError as error:
        return PartState(BROKER, ok=False, detail=f"{status}: {error.message}")


def _user_servers(servers: list[Any]) -> PartState:
    """One that is stopped is no fault: its user signed out, or the lab was down."""
    running = sum(c.status == "running" for c in servers)
    stopped = len(servers) - running
    told = f"{running} running" + (
        f", {stopped} stopped (each starts at its user's next visit)" if stopped else ""
    )
    return PartState("user servers", ok=True, detail=told)


def _disks(settings: Settings) -> list[PartState]:
    """The host's own disk, and each bounded disk of a part. Homes are in `cyberlab-hub user list`."""
    disks = Disks(settings.disks)
    free, promised = disks.host_free() // GB, disks.promised() // GB
    rows = [
        PartState(
            "disk",
            ok=True,
            detail=f"{free} GB free where {settings.state} is; the lab's disks may still take {promised} GB",
            warning=promised > free,
        )
    ]
    for name in disks.names():
        use = disks.use(name)
        if use is not None and disks.mounted(name) and not name.startswith(HOME):
            rows.append(PartState(f"disk {name}", ok=True, detail=f"{use} used", warning=use.nearly_full))
    return rows


def _address(settings: Settings) -> PartState:
    warnings = address.warnings(settings)
    told = " ".join(warnings) or f"{settings.public_url}, an origin for each user"
    return PartState("address", ok=True, detail=told, warning=bool(warnings))


def _workshop(settings: Settings) -> PartState:
    try:
        nodes = engines.workshop_engine(settings, timeout=10).nodes.list()
    except HubError as error:
        return PartState("swarm", ok=False, detail=error.message)
    devices = [n for n in nodes if (n.attrs["Spec"].get("Labels") or {}).get("enrolled")]
    ready = [n for n in devices if n.attrs["Status"]["State"] == "ready"]
    return PartState("swarm", len(ready) == len(devices), f"{len(ready)} of {len(devices)} devices ready")
