"""The lab as the doctor sees it: looked at once, asked by many checks, never changed."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import docker

from cyberlab_hub.errors import PartDown
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import cluster, containers, door, engines, processes
from cyberlab_hub.setup.doctor import procfs
from cyberlab_hub.setup.doctor.check import CannotTell
from cyberlab_hub.setup.packages import kept_places

T = TypeVar("T")
ASK_SECONDS = 20
PROCESSES = ("hub", "lab", "ingest")
INSIDE_SECONDS = 15


class Patient:
    """One lab, with what was learnt about it. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._known: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def _once(self, name: str, learn: Callable[[], T]) -> T:
        with self._lock:
            lock = self._locks[name]
        with lock:
            if name not in self._known:
                self._known[name] = learn()
            known: T = self._known[name]
            return known

    # ------------------------------------------------------------ engines
    @property
    def engine(self) -> docker.DockerClient:
        """The system engine. Raises: PartDown."""

        def connect() -> docker.DockerClient:
            try:
                client = docker.DockerClient(base_url=engines.SYSTEM_SOCKET, timeout=ASK_SECONDS)
                client.ping()
            except (docker.errors.DockerException, OSError) as error:
                raise PartDown(
                    "engine-down", "the system engine does not answer; `make up` starts it"
                ) from error
            return client

        return self._once("engine", connect)

    @property
    def workshop(self) -> docker.DockerClient:
        """The workshop engine, asked as set-up asks it. Raises: PartDown."""
        return self._once("workshop", lambda: engines.workshop_engine(self.settings, timeout=ASK_SECONDS))

    @property
    def workshop_info(self) -> dict[str, Any]:
        return self._once("info", self.workshop.info)

    @property
    def swarm(self) -> dict[str, Any]:
        """What the manager says about the swarm, its join tokens included."""

        def ask() -> dict[str, Any]:
            found = self.workshop.swarm
            found.reload()
            attrs: dict[str, Any] = found.attrs
            return attrs

        return self._once("swarm", ask)

    # ------------------------------------------------------------ containers of the system engine
    @property
    def labelled(self) -> list[dict[str, Any]]:
        """Every container that carries the lab's label, as `docker inspect` shows it."""
        return self._once(
            "containers", lambda: [c.attrs for c in containers.ours(self.settings, self.engine)]
        )

    @property
    def running(self) -> list[dict[str, Any]]:
        return [c for c in self.labelled if c["State"]["Running"]]

    @property
    def neighbours(self) -> list[dict[str, Any]]:
        """Every container with the lab's label or on one of its networks, whoever made it."""

        def look() -> list[dict[str, Any]]:
            found = {c["Id"]: c for c in self.labelled}
            for network in self.engine.networks.list(
                filters={"label": f"{containers.LAB}={self.settings.name}"}
            ):
                for container in self.engine.containers.list(all=True, filters={"network": str(network.id)}):
                    found.setdefault(container.id, container.attrs)
            return list(found.values())

        return self._once("neighbours", look)

    def part(self, name: str) -> dict[str, Any]:
        """The running container of a part. Raises: CannotTell."""
        wanted = f"/{containers.container_name(self.settings, name)}"
        for container in self.running:
            if container["Name"] == wanted:
                return container
        raise CannotTell(f"the container {wanted[1:]} does not run")

    def inside(self, name: str, argv: list[str]) -> str:
        """What a command printed in the container of a part: something it must. Raises: CannotTell, SetupError."""
        container = self.engine.containers.get(self.part(name)["Id"])
        for _ in range(3):
            # an engine that is busy may lose the output of a command that ends at once
            if said := containers.run_inside(container, ["timeout", str(INSIDE_SECONDS), *argv]):
                return said
        raise CannotTell(f"{argv[0]} in {containers.container_name(self.settings, name)} printed nothing")

    @property
    def pis(self) -> list[str]:
        """Names of the simulated Pis that there should be."""
        numbers = cluster.pi_numbers(self.settings, self.engine)
        return [containers.pi(self.settings, number).name for number in numbers]

    @property
    def parts(self) -> list[containers.Part]:
        """The description of every container that set-up makes."""
        settings = self.settings
        numbers = cluster.pi_numbers(settings, self.engine)
        return [
            containers.registry(settings),
            containers.influxdb(settings),
            containers.mqtt(settings),
            containers.workshop(settings),
            containers.proxy(settings, self.proxy_configuration),
            *(containers.pi(settings, number) for number in numbers),
        ]

    @property
    def proxy_configuration(self) -> str:
        """The proxy's rules by the settings and the mirrors as `up` found them."""
        return self._once("squid", lambda: door.configuration(self.settings, kept_places(self.settings)))

    def at_hand(self, *addresses: str) -> None:
        """The lab's networks are up: else a question, and a password with it, would leave this machine.

        Raises: CannotTell.
        """
        for address in addresses:
            done = subprocess.run(
                ["ip", "-json", "route", "get", address],
                capture_output=True,
                text=True,
                timeout=INSIDE_SECONDS,
            )
            if done.returncode or any("gateway" in route for route in json.loads(done.stdout)):
                raise CannotTell(f"the lab's network with {address} is not up; `make up` starts it")

    # ------------------------------------------------------------ processes of this machine
    @property
    def programs(self) -> list[procfs.Program]:
        return self._once("programs", procfs.programs)

    @property
    def lab_programs(self) -> dict[str, list[procfs.Program]]:
        """Name of each of the lab's processes -> itself and all it has started. A part that is down has none."""
        found: dict[str, list[procfs.Program]] = {}
        for name in PROCESSES:
            running = processes.find(self.settings, name)
            found[name] = procfs.family(self.programs, running.pid) if running else []
        return found

    def dockerds(self, part: str) -> list[procfs.Program]:
        """Every engine that runs inside the container of a part. Raises: CannotTell."""
        space = procfs.pid_space(self.part(part)["State"]["Pid"])
        found = [p for p in self.programs if p.name == "dockerd" and p.space == space]
        if not found:
            raise CannotTell(f"no dockerd runs in {containers.container_name(self.settings, part)}")
        return found

    # ------------------------------------------------------------ secrets
    @property
    def secrets(self) -> dict[str, bytes]:
        """File name -> value, of every secret and (one line of) every key of the lab."""
        return self._once("secrets", lambda: read_secrets(self.settings))


def read_secrets(settings: Settings) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in _files(settings.secrets):
        value = path.read_bytes().strip()
        if len(value) >= 8:
            found[f"secrets/{path.name}"] = value
    for path in _files(settings.certs):
        if (line := key_line(path.read_bytes())) is not None:
            found[f"certs/{path.name}"] = line
    return found


def key_line(pem: bytes) -> bytes | None:
    """The last full line of a private key's body: no other key has it. None when there is no key in the text."""
    _, begin, rest = pem.partition(b"PRIVATE KEY-----")
    lines = rest.partition(b"-----END")[0].split()
    return max(lines[-2:], key=len) if begin and lines else None


def _files(folder: Path) -> list[Path]:
    """Raises: CannotTell."""
    if not folder.is_dir():
        raise CannotTell(f"{folder} is missing; `make up` makes it")
    return sorted(path for path in folder.iterdir() if path.is_file())
