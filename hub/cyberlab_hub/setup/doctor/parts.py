"""Containers of the system engine: the lab's own and the users' servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cyberlab_hub import server_token
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers, kernel
from cyberlab_hub.setup.doctor.check import UP, Wrong, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient
from cyberlab_hub.spawner import HOME

LAYER = "containers"

SOCKET = Path("/var/run/docker.sock")
NEVER: Mapping[str, tuple[Any, ...]] = {
    # HostConfig entry -> values with which it does nothing
    "CapAdd": (None, []),
    "Devices": (None, []),
    "DeviceCgroupRules": (None, []),
    "DeviceRequests": (None, []),
    "PidMode": ("", "private"),
    "IpcMode": ("", "private", "shareable"),
    "UTSMode": ("",),
    "UsernsMode": ("",),
    "VolumesFrom": (None, []),
    "Privileged": (False,),
    "Links": (None, []),
    "ExtraHosts": (None, []),
}
REMOVE = "see what it is with `docker inspect NAME`; if nobody needs it, `docker rm -f NAME`"
RESTART = "stop that user's server (`/hub/admin`, or `docker rm -f NAME`): the next start makes it anew"


@check(
    "parts-caged", LAYER, "Each part of the lab runs with the limits and the rights that set-up gives it", UP
)
def caged(patient: Patient) -> str:
    running = {c["Name"]: c for c in patient.labelled}
    wrong: list[str] = []
    for part in patient.parts:
        name = containers.container_name(patient.settings, part.name)
        found = running.get(f"/{name}")
        if found is None or not found["State"]["Running"]:
            wrong.append(f"{name} does not run")
            continue
        expected = containers.host_config(patient.settings, patient.engine, part)
        wrong += [f"{name}: {problem}" for problem in differences(expected, found["HostConfig"])]
    return none_wrong(wrong, f"{len(patient.parts)} containers as described")


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """What of a HostConfig is not as described. `found` may say more where it says nothing dangerous."""
    for key, value in expected.items():
        if value is not None and not _within(value, found.get(key)):
            yield f"{key} is {found.get(key)!r}, not {value!r}"
    for key, harmless in NEVER.items():
        if key not in expected and found.get(key) not in harmless:
            yield f"{key} is {found.get(key)!r}"
    for key in ("Binds", "Mounts"):
        if key not in expected and found.get(key):
            yield f"{key} is {found[key]!r}"


def _within(expected: Any, found: Any) -> bool:
    """Equal; the engine adds defaults to what it was given, and says null for nothing."""
    if isinstance(expected, Mapping):
        return isinstance(found, Mapping) and all(_within(v, found.get(k)) for k, v in expected.items())
    if isinstance(expected, list | tuple):
        found = found or []
        return len(found) == len(expected) and all(map(_within, expected, found))
    return bool(expected == found) or (not expected and not found)


@check("servers-caged", LAYER, "Each user's server has no privilege, a read-only root and limits", RESTART)
def servers(patient: Patient) -> str:
    wrong: list[str] = []
    users = [
        c for c in patient.running if c["Config"]["Labels"].get(containers.PART) == containers.USER_SERVER
    ]
    for container in users:
        name = container["Name"].lstrip("/")
        wrong += [f"{name}: {problem}" for problem in server_problems(patient.settings, container)]
    return none_wrong(wrong, f"{len(users)} servers run")


def server_problems(settings: Settings, container: Mapping[str, Any]) -> list[str]:
    """What of a user's server is not as `spawner.configure` makes it."""
    host, memory = container["HostConfig"], settings.server_memory_mb * 2**20
    cpus = (host.get("NanoCpus") or 0) / 1e9
    if host.get("CpuQuota", 0) > 0:
        cpus = host["CpuQuota"] / (host.get("CpuPeriod") or 100_000)
    rules = {
        "it keeps capabilities": host.get("CapDrop") == ["ALL"],
        "it may gain privileges (no-new-privileges is missing)": "no-new-privileges"
        in " ".join(host.get("SecurityOpt") or ()),
        "its list of system calls is switched off": "unconfined"
        not in " ".join(host.get("SecurityOpt") or ()),
        "its root can be written": host.get("ReadonlyRootfs") is True,
        f"its memory is not at most {settings.server_memory_mb} MB": 0 < (host.get("Memory") or 0) <= memory,
        "it may swap": host.get("MemorySwap") == host.get("Memory"),
        f"its processes are not at most {settings.server_pids}": 0
        < (host.get("PidsLimit") or 0)
        <= settings.server_pids,
        f"its processors are not at most {settings.server_cpus:g}": 0 < cpus <= settings.server_cpus + 0.001,
        "it is on another network": set(container["NetworkSettings"]["Networks"])
        == {f"{settings.name}-users"},
        "it runs as root": str(container["Config"].get("User")).partition(":")[0]
        not in ("", "0", "root", "None"),
    }
    wrong = [problem for problem, holds in rules.items() if not holds]
    wrong += [f"{k} is {host.get(k)!r}" for k, harmless in NEVER.items() if host.get(k) not in harmless]
    places = [m["Destination"] for m in container["Mounts"] if m["Type"] != "tmpfs"]
    return wrong + [
        f"{place} is mounted into it" for place in places if place not in (HOME, server_token.TARGET)
    ]


@check(
    "servers-kernel",
    LAYER,
    "io_uring, which Docker's list of system calls lets through, is for root alone (Linux 6.6 and later)",
    UP,
)
def kernel_switch(_: Patient) -> str:
    if not kernel.SWITCH.exists():
        return f"this kernel has no {kernel.SWITCH.name}: what is left is in docs/security.md"
    if (said := kernel.SWITCH.read_text().strip()) == "0":
        raise Wrong(f"{kernel.SWITCH} is 0: users' servers have io_uring")
    return f"{kernel.SWITCH.name} is {said}"


@check(
    "containers-published",
    LAYER,
    "Of the lab's containers the MQTT broker alone has a port of this machine, where the settings say so",
    f"`make up`; else {REMOVE}",
)
def published(patient: Patient) -> str:
    wanted = {
        (containers.container_name(patient.settings, part.name), f"{port}/tcp at {address}:{port}")
        for part in patient.parts
        for address, port in part.published
    }
    wrong: list[str] = []
    for container in patient.neighbours:
        name = container["Name"].lstrip("/")
        wrong += [
            f"{name} publishes {place}" for place in places_of(container) if (name, place) not in wanted
        ]
        everything = (
            container["HostConfig"].get("PublishAllPorts")
            or container["HostConfig"].get("NetworkMode") == "host"
        )
        wrong += [f"{name} publishes every port it opens"] if everything else []
    return none_wrong(wrong, f"{len(patient.neighbours)} containers, {len(wanted) or 'no'} port(s)")


def places_of(container: Mapping[str, Any]) -> list[str]:
    """Every port that a container has of this machine, asked for or given: ``8883/tcp at 192.0.2.10:8883``."""
    asked = container["HostConfig"].get("PortBindings") or {}
    given = (container.get("NetworkSettings") or {}).get("Ports") or {}
    found = {
        f"{port} at {place['HostIp'] or '0.0.0.0'}:{place['HostPort'] or '(any)'}"  # noqa: S104 - told
        for port, places in (*asked.items(), *given.items())
        for place in places or ()
    }
    return sorted(found)


@check(
    "containers-mounts", LAYER, "No container near the lab holds Docker's socket or the lab's secrets", REMOVE
)
def mounts(patient: Patient) -> str:
    settings = patient.settings
    given = [
        settings.state / "mounts",
        settings.disks,
        settings.state / "run" / "tokens",
        settings.mqtt_folder,
    ]
    wrong = [
        f"{container['Name'].lstrip('/')} has {mount['Source']} at {mount['Destination']}"
        for container in patient.neighbours
        for mount in container.get("Mounts") or ()
        if mount.get("Type") == "bind" and exposes(settings, Path(mount["Source"]), given)
    ]
    return none_wrong(wrong, f"{len(patient.neighbours)} containers")


def exposes(settings: Settings, source: Path, given: Iterable[Path]) -> bool:
    """Whether a folder or file of this machine shows a container Docker's socket, the host or the lab's state."""
    source = source.resolve()
    precious = [
        SOCKET.resolve(),
        SOCKET,
        settings.state.resolve(),
        Path("/var/lib/docker"),
        Path("/etc"),
        Path("/root"),
    ]
    above = any(p == source or source in p.parents for p in precious)
    within = settings.state.resolve() in source.parents and not any(
        folder.resolve() in source.parents for folder in given
    )
    return above or within


@check("containers-known", LAYER, "Nothing unknown carries the lab's label or sits on its networks", REMOVE)
def known(patient: Patient) -> str:
    settings = patient.settings
    names = {containers.container_name(settings, part.name) for part in patient.parts}
    wrong: list[str] = []
    for container in patient.neighbours:
        name, labels = container["Name"].lstrip("/"), container["Config"].get("Labels") or {}
        if labels.get(containers.LAB) != settings.name:
            wrong.append(f"{name} is on a network of the lab and is not the lab's")
        elif name in names:
            continue
        elif not (
            labels.get(containers.PART) == containers.USER_SERVER
            and name.startswith(f"{settings.name}-user-")
        ):
            wrong.append(f"{name} carries the lab's label, and set-up makes no such container")
    return none_wrong(wrong, f"{len(patient.neighbours)} containers, all known")
