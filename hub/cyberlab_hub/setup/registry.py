"""Giving back the space of deleted images: the registry deletes names at once, layers only when it is told to.

Its garbage collection must not run beside a push. So the registry is stopped for those seconds, after waiting until
no build pushes; its data is looked through by the same image in a container without a network, and it starts again
whatever happened.
"""

from __future__ import annotations

import re
import time
from typing import Any

import docker
from cyberlab.wire import Phase
from sqlalchemy import func, select

from cyberlab_hub.errors import SetupError
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import JobRow
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers

CONFIG = "/etc/docker/registry/lab.yml"
QUIET_SECONDS = 300
"""How long to wait for builds that push."""
COLLECT_SECONDS = 1800


def clean(settings: Settings, engine: docker.DockerClient) -> int:
    """Remove every layer that no image names; how many that were.

    Raises:
        SetupError: ``registry-missing``, ``registry-busy``, ``command-failed``.
    """
    registry = containers.find(settings, engine, "registry")
    if registry is None:
        raise SetupError(
            "registry-missing", "This lab has no registry yet. Start the lab with `make up` first."
        )
    _wait_until_quiet(settings)
    registry.stop(timeout=10)
    try:
        return _collect(settings, engine, registry)
    finally:
        registry.start()


def _collect(settings: Settings, engine: docker.DockerClient, registry: Any) -> int:
    name = containers.container_name(settings, "registry-clean")
    made = engine.containers.run(
        registry.image.id,
        ["garbage-collect", CONFIG],
        name=name,
        entrypoint=["docker-registry"],
        environment=registry.attrs["Config"]["Env"],
        volumes_from=[registry.id],
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        labels={containers.LAB: settings.name},
        detach=True,
    )
    try:
        code = made.wait(timeout=COLLECT_SECONDS)["StatusCode"]
        said = made.logs().decode(errors="replace")
    finally:
        made.remove(force=True)
    if code:
        raise SetupError("command-failed", f"the registry's garbage collection: {said[-500:]}")
    return len(re.findall(r"^blob eligible for deletion: ", said, re.MULTILINE))


def _wait_until_quiet(settings: Settings) -> None:
    database = Database.open(settings.db_url, upgrade=False)
    try:
        deadline = time.monotonic() + QUIET_SECONDS
        wanted = select(func.count()).where(JobRow.phase == Phase.PUSHING.value)
        while True:
            with database.session() as session:
                pushing = session.scalar(wanted)
            if not pushing:
                return
            if time.monotonic() > deadline:
                raise SetupError(
                    "registry-busy",
                    "Builds push to the registry without a pause. Try again when less is going on.",
                )
            time.sleep(0.5)
    finally:
        database.close()
