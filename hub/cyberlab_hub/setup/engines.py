"""The two Docker engines as set-up sees them. The system engine is found, or started here.

Users' work never comes through this module: the lab service has `workshop.engine`, with a client certificate only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import docker
from docker.tls import TLSConfig

from cyberlab_hub import certs
from cyberlab_hub.errors import PartDown, SetupError
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import processes
from cyberlab_hub.setup.steps import Reused

SYSTEM_SOCKET = "unix:///var/run/docker.sock"
START_SECONDS = 60


def system_engine() -> docker.DockerClient:
    """The system engine. Raises PartDown (``engine-down``) when none answers."""
    try:
        client = docker.DockerClient(base_url=SYSTEM_SOCKET, timeout=300)
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise PartDown(
            "engine-down", f"no Docker engine answers on {SYSTEM_SOCKET}; `make up` starts one"
        ) from error
    return client


def ensure_system_engine(settings: Settings) -> str:
    """Start the system engine when none answers: by the service manager if there is one, else as our process."""
    try:
        version = system_engine().version()["Version"]
    except PartDown:
        pass
    else:
        raise Reused(f"Docker {version} answers")
    if shutil.which("dockerd") is None:
        raise SetupError(
            "docker-missing", "the package docker.io is not installed; run `make demo` or `make up`"
        )
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "start", "docker"], check=True, timeout=START_SECONDS)
        how = "started by systemd"
    else:
        processes.start(settings, "dockerd", ["dockerd", "--log-level=warn"])
        how = "started here (no service manager on this machine)"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            return f"Docker {system_engine().version()['Version']}, {how}"
        except PartDown:
            time.sleep(0.3)
    raise SetupError(
        "engine-down",
        f"the Docker engine did not start within {START_SECONDS} s: {processes.last_lines(settings, 'dockerd')}",
    )


def workshop_engine(settings: Settings, timeout: float = 120) -> docker.DockerClient:
    """The workshop engine over mTLS, as its operator. Raises PartDown (``engine-down``)."""
    # a bundle named in the environment would override the lab's own authority
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        os.environ.pop(name, None)
    both = str(certs.client_file(settings.certs, "operator"))
    try:
        # nobody renews it while the lab service is away
        certs.ensure_clients(settings)
        tls = TLSConfig(client_cert=(both, both), ca_cert=str(settings.certs / "ca.crt"), verify=True)
        client = docker.DockerClient(base_url=settings.workshop_url, tls=tls, timeout=int(timeout))
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise PartDown(
            "engine-down",
            f"the workshop engine does not answer at {settings.workshop_url}; `make up` starts it",
        ) from error
    return client


def wait_for_workshop(settings: Settings, seconds: float = 60) -> docker.DockerClient:
    """Raises: PartDown when the engine does not answer in time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return workshop_engine(settings)
        except PartDown:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def cage_options() -> dict[str, object]:
    """HostConfig entries under which an engine runs in a container here.

    ``--privileged`` needs every capability in our own bounding set; virtual machines and containers often lack
    CAP_SYS_RESOURCE (24). Then the same rights are listed one by one, less that one.
    """
    if _bounding_set() >> 24 & 1:
        return {"Privileged": True}
    return {
        "CapAdd": ["ALL"],
        "CapDrop": ["SYS_RESOURCE"],
        "SecurityOpt": ["seccomp=unconfined"],
        "MaskedPaths": [],
        "ReadonlyPaths": [],
    }


def _bounding_set() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0


def resolvers() -> list[str]:
    """The host's DNS resolvers that a container can reach (not loopback ones)."""
    found: list[str] = []
    for name in ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"):
        path = Path(name)
        if path.exists() and not found:
            words = [line.split() for line in path.read_text().splitlines()]
            found = [
                w[1] for w in words if len(w) > 1 and w[0] == "nameserver" and not w[1].startswith("127.")
            ]
    return found
