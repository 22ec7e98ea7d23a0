"""The lab's own containers on the system engine: registry, database, workshop engine, Pis, and what each may do.

A container is made anew when its description or its image changed; its data is on a bounded disk (`disks`), or in a
named volume where the settings say 0, and stays.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import docker
from cyberlab_edge.device import INTAKE
from docker.types import LogConfig, Mount

from cyberlab_hub import campus, egress
from cyberlab_hub.disks import Disk, Disks
from cyberlab_hub.errors import SetupError
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.engines import cage_options, resolvers
from cyberlab_hub.setup.images import reference
from cyberlab_hub.setup.networks import GATE, network_name
from cyberlab_hub.setup.steps import Reused
from cyberlab_hub.workshop import limits

LAB = "cyberlab.lab"
PART = "cyberlab.part"
USER_SERVER = "user"
"""The `PART` of users' servers. They come and go, so none of them is a part that the lab needs."""
DESCRIPTION = "cyberlab.description"
REGISTRY_UID = 7101
"""The user of ``spawner_images/registry``, who must be able to read the registry's key."""
INFLUX_UID = 7102
"""The user of ``spawner_images/influxdb``, who owns its disk."""
SPOOL = "/var/lib/cyberlab"
SPOOL_MB = 200
"""Of points that wait on a device; the file also holds their index and its journal."""
SPOOL_DISK_MB = 300
MQTT_UID = 7103
"""The user of ``spawner_images/mqtt``, who reads its key and owns its disk."""
MQTT_MB = 2048
"""What waits for the gateway."""
SWARM = "/var/lib/swarm"
SWARM_MB = 1024


@dataclass(frozen=True)
class Part:
    """One container of the lab."""

    name: str
    image: str
    network: str
    address: str
    volume: str = ""
    """Where its data is mounted; empty: it keeps nothing."""
    disks: tuple[tuple[str, Disk], ...] = ()
    """Where -> which bounded disk. Data not on one of these is in a named volume, without a bound."""
    env: dict[str, str] = field(default_factory=dict)
    certs: tuple[str, ...] = ()
    """Files of `settings.certs` it gets, read-only, in /certs."""
    certs_owner: int = 0
    files: dict[str, str] = field(default_factory=dict)
    """Name -> text of the files it gets, read-only, in /given. No secrets: they are readable."""
    folders: tuple[tuple[str, str], ...] = ()
    """Where -> which folder of this machine's it sees there, read-only, as it changes."""
    published: tuple[tuple[str, int], ...] = ()
    """Addresses of this machine, each with the port at which the container is reached from outside the lab."""
    engine: bool = False
    """It runs a Docker engine inside."""
    memory_mb: int = 0
    cpus: float = 0
    labels: dict[str, str] = field(default_factory=dict)


def registry(settings: Settings) -> Part:
    return Part(
        "registry",
        "registry",
        "devices",
        settings.registry_address,
        "/var/lib/registry",
        env={"REGISTRY_AUTH_TOKEN_REALM": settings.token_url, "OTEL_TRACES_EXPORTER": "none"},
        certs=("registry.crt", "registry.key", "token-signer.crt"),
        certs_owner=REGISTRY_UID,
        disks=_disk("registry", "/var/lib/registry", settings.registry_disk_gb, "REGISTRY", REGISTRY_UID),
        memory_mb=512,
    )


def influxdb(settings: Settings) -> Part:
    return Part(
        "influxdb",
        "influxdb",
        "data",
        settings.influx_address,
        "/var/lib/influxdb",
        disks=_disk("influxdb", "/var/lib/influxdb", settings.influx_disk_gb, "INFLUX", INFLUX_UID),
        memory_mb=2048,
    )


def mqtt(settings: Settings) -> Part:
    data = "/var/lib/mosquitto"
    bounded = settings.influx_disk_gb > 0  # as what it is the way to
    return Part(
        "mqtt",
        "mqtt",
        "devices",
        settings.mqtt_address,
        data,
        disks=((data, Disk("mqtt", MQTT_MB, owner=MQTT_UID)),) if bounded else (),
        certs=("ca.crt", "mqtt.crt", "mqtt.key"),
        certs_owner=MQTT_UID,
        folders=(("/logins", str(settings.mqtt_folder / "logins")),),
        published=tuple((address, campus.BROKER_PORT) for address in settings.on_campus.addresses),
        memory_mb=1024,
        cpus=1,
    )


def workshop(settings: Settings) -> Part:
    engine_disk = _disk("engine", "/var/lib/docker", settings.engine_disk_gb, "ENGINE")
    return Part(
        "engine",
        "engine",
        "devices",
        settings.engine_address,
        "/var/lib/docker",
        env=_engine_env(settings)
        | {
            "LAB_LISTEN": "0.0.0.0:2376",
            "LAB_BUILDS": f"{settings.name}-builds",
            "LAB_WARDEN": json.dumps(limits.ceilings(settings, os.cpu_count() or 1)),
        },
        certs=("ca.crt", "engine.crt", "engine.key"),
        # the swarm's records have a disk of their own: a manager that cannot write them dies for good
        disks=(*engine_disk, (SWARM, Disk("swarm", SWARM_MB, mode=0o700))) if engine_disk else (),
        engine=True,
        memory_mb=6144,
    )


def pi(settings: Settings, number: int) -> Part:
    """Simulated Pi `number` (1, 2, ...), named pi01, pi02 ..."""
    name = f"pi{number:02d}"
    docker_disk = _disk(name, "/var/lib/docker", settings.pi_disk_gb, "PI")
    return Part(
        name,
        "pi",
        "devices",
        settings.address("devices", 10 + number),
        "/var/lib/docker",
        env=_engine_env(
            settings,
            settings.ingest_url.removeprefix("https://"),
            settings.mqtt_url.removeprefix("mqtts://"),
        )
        | {"LAB_INTAKE": INTAKE},
        certs=("ca.crt",),
        # what waits for the uplink has a disk of its own: no container of a user can fill it
        disks=(*docker_disk, (SPOOL, Disk(spool_disk(name), SPOOL_DISK_MB, mode=0o700)))
        if docker_disk
        else (),
        engine=True,
        memory_mb=settings.pi_memory_mb,
        cpus=settings.pi_cpus,
        labels={"cyberlab.pi": str(number)},
    )


def spool_disk(pi: str) -> str:
    return f"{pi}-spool"


def proxy(settings: Settings, configuration: str) -> Part:
    """The one door out of users' code, on a network of its own."""
    return Part(
        "proxy",
        "proxy",
        "gate",
        settings.proxy_address,
        files={"squid.conf": configuration},
        memory_mb=512,
        cpus=1,
    )


def _engine_env(settings: Settings, *more: str) -> dict[str, str]:
    """`more`: what containers inside may reach beside the proxy, as ``address:port``."""
    allowed = [f"{d.network}:{d.port}" for d in egress.parse(settings.egress).direct]
    return {
        # names are the proxy's business: nobody answers there, so that a lookup fails at once
        "LAB_DNS": settings.gateway("devices"),
        "LAB_REGISTRY": settings.registry,
        "LAB_ALLOW": " ".join([f"{settings.proxy_address}:{egress.WORKSHOP_PORT}", *more, *allowed]),
    }


def _disk(
    name: str, target: str, gigabytes: int, setting: str, owner: int = 0
) -> tuple[tuple[str, Disk], ...]:
    if gigabytes <= 0:
        return ()
    return ((target, Disk(name, gigabytes * 1024, f"CYBERLAB_{setting}_DISK_GB", owner)),)


# ---------------------------------------------------------------- making and finding
def container_name(settings: Settings, part: str) -> str:
    return f"{settings.name}-{part}"


def find(settings: Settings, engine: docker.DockerClient, part: str) -> Any | None:
    try:
        return engine.containers.get(container_name(settings, part))
    except docker.errors.NotFound:
        return None


def ensure(settings: Settings, engine: docker.DockerClient, part: Part) -> str:
    """Make or start the container. Raises Reused when it runs as described."""
    host = host_config(settings, engine, part)
    image = str(engine.images.get(reference(part.image)).id)
    description = _digest(part, host, image)
    found = find(settings, engine, part.name)
    if found is not None and found.labels.get(DESCRIPTION) == description:
        renewed = _copy_certs(settings, part)
        if found.status == "running" and renewed:
            # each of these programs reads its certificate when it starts, and only then
            found.restart()
            return f"{part.name} restarted with its new certificate"
        if found.status == "running":
            raise Reused(f"{part.name} runs")
        _ready_disks(settings, engine, part)
        found.start()
        return f"{part.name} started again"
    if found is not None:
        if part.disks:
            found.stop(timeout=10)  # what it wrote last must be on its disk, or on the volume that is copied
        found.remove(force=True)
    _copy_certs(settings, part)
    _write_files(settings, part)
    name = container_name(settings, part.name)
    _ready_disks(settings, engine, part)
    if _on_volume(part):
        engine.volumes.create(name, labels={LAB: settings.name})
    network = network_name(settings, part.network)
    # Any: docker-py's stubs want a class here, docker-py itself a plain dict
    networks: Any = {network: engine.api.create_endpoint_config(ipv4_address=part.address)}
    made = engine.api.create_container(
        image,
        name=name,
        hostname=part.name,
        environment=part.env,
        ports=[port for _, port in part.published],
        host_config=host,
        networking_config=engine.api.create_networking_config(networks),
        labels={LAB: settings.name, PART: part.name, DESCRIPTION: description, **part.labels},
    )
    engine.api.start(made["Id"])
    if part.disks:
        remove_volume(engine, name)  # of a lab from before there were disks; it has been copied
    return f"{part.name} at {part.address}"


def _on_volume(part: Part) -> bool:
    return bool(part.volume) and part.volume not in dict(part.disks)


def _ready_disks(settings: Settings, engine: docker.DockerClient, part: Part) -> None:
    """Mount the disks of a part whose container does not run; the main one takes over an old volume's data."""
    disks = Disks(settings.disks)
    for target, disk in part.disks:
        disks.release(disk.name)  # a disk grows only while it is not mounted
        name = container_name(settings, part.name)
        disks.ensure(disk, volume_folder(engine, name) if target == part.volume else None)


def volume_folder(engine: docker.DockerClient, name: str) -> Path | None:
    """Where the data of a named volume is on this machine; None when there is no such volume."""
    try:
        return Path(engine.volumes.get(name).attrs["Mountpoint"])
    except docker.errors.NotFound:
        return None


def remove_volume(engine: docker.DockerClient, name: str) -> None:
    try:
        engine.volumes.get(name).remove(force=True)
    except docker.errors.NotFound:
        return


def description(settings: Settings, engine: docker.DockerClient, part: Part) -> str:
    """The label by which a container of today's settings and images is known."""
    image = str(engine.images.get(reference(part.image)).id)
    return _digest(part, host_config(settings, engine, part), image)


def _digest(part: Part, host: dict[str, Any], image: str) -> str:
    described = asdict(part)
    del described["published"]  # `host` has it
    text = json.dumps([described, host, image], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def host_config(settings: Settings, engine: docker.DockerClient, part: Part) -> dict[str, Any]:
    config: dict[str, Any] = engine.api.create_host_config(
        binds=_binds(settings, part),
        # a mount, not a bind: the engine would make the missing folder of a disk that is not mounted
        mounts=[
            Mount(target, str(Disks(settings.disks).data(disk.name)), type="bind")
            for target, disk in part.disks
        ],
        network_mode=network_name(settings, part.network),
        port_bindings=_port_bindings(part),
        restart_policy={"Name": "unless-stopped"},
        log_config=LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"}),
        init=True,
        mem_limit=f"{part.memory_mb}m" if part.memory_mb else None,
        memswap_limit=f"{part.memory_mb}m" if part.memory_mb else None,
        nano_cpus=int(part.cpus * 1e9) if part.cpus else None,
        # Docker's own choice would be a resolver on this host's loopback where there is one
        dns=resolvers() if part.network == GATE else None,
    )
    if part.engine:
        # a stale pid file in /run keeps a killed engine from starting again
        config |= {**cage_options(), "CgroupnsMode": "private", "Tmpfs": {"/run": ""}}
    else:
        config |= {"CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"]}
    return config


def _port_bindings(part: Part) -> dict[int | str, Any] | None:
    ports = {port for _, port in part.published}
    return {port: [place for place in part.published if place[1] == port] for port in ports} or None


def _binds(settings: Settings, part: Part) -> list[str]:
    binds = [f"{container_name(settings, part.name)}:{part.volume}"] if _on_volume(part) else []
    binds += [f"{_certs_folder(settings, part)}:/certs:ro"] if part.certs else []
    binds += [f"{folder}:{target}:ro" for target, folder in part.folders]
    return binds + ([f"{_files_folder(settings, part)}:/given:ro"] if part.files else [])


def _files_folder(settings: Settings, part: Part) -> Path:
    return settings.state / "mounts" / f"{part.name}-given"


def _write_files(settings: Settings, part: Part) -> None:
    for name, text in part.files.items():
        path = _files_folder(settings, part) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)


def _certs_folder(settings: Settings, part: Part) -> Path:
    return settings.state / "mounts" / part.name


def _copy_certs(settings: Settings, part: Part) -> bool:
    """Each container sees only its own files, readable by its own user. Returns whether one has changed."""
    changed = False
    folder = _certs_folder(settings, part)
    for name in part.certs:
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / name
        source = settings.certs / name
        if target.exists() and target.read_bytes() == source.read_bytes():
            continue
        shutil.copyfile(source, target)
        target.chmod(0o400 if name.endswith(".key") else 0o444)
        shutil.chown(target, part.certs_owner, part.certs_owner)
        changed = True
    return changed


def ours(settings: Settings, engine: docker.DockerClient) -> list[Any]:
    """Every container of this lab on the system engine, also stopped ones and user servers."""
    found: list[Any] = engine.containers.list(
        all=True, filters={"label": f"{LAB}={settings.name}"}, ignore_removed=True
    )
    return found


def put_file(container: Any, path: str, content: bytes, mode: int = 0o600) -> None:
    """Write a file inside the container: how it gets a secret that must be no argument and no variable."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        info = tarfile.TarInfo(path.lstrip("/"))
        info.size, info.mode = len(content), mode
        tar.addfile(info, io.BytesIO(content))
    container.put_archive("/", stream.getvalue())


def run_inside(container: Any, argv: list[str]) -> str:
    """Run `argv` in the container and return what it printed.

    Raises: SetupError ``command-failed`` with the output when it did not end with 0.
    """
    done = container.exec_run(argv)
    output: str = done.output.decode(errors="replace").strip()
    if done.exit_code != 0:
        raise SetupError("command-failed", f"{argv[0]} in {container.name}: {output[-500:]}")
    return output
