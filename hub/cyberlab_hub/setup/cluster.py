"""The swarm on the workshop engine and the simulated Pis that are its nodes.

A Pi joins with a worker token that is changed after each enrolment, gets its node labels from the manager (never from
itself), and its agent a certificate of its own (`agents`).
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker

from cyberlab_hub.disks import Disks
from cyberlab_hub.errors import SetupError
from cyberlab_hub.service.database import Database
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import agents, containers
from cyberlab_hub.setup.steps import Reused

PIS_OF_A_CLUSTER = 6
"""As on the shelf: clusters of six."""
PIS_OF_A_NEW_LAB = 3
ORDER = "/etc/cyberlab/join.json"
READY_SECONDS = 90


def ensure_swarm(settings: Settings, workshop: docker.DockerClient) -> str:
    """Make the workshop engine a swarm manager. Raises Reused when it is one."""
    if workshop.info()["Swarm"]["LocalNodeState"] == "active":
        raise Reused("swarm manager")
    workshop.swarm.init(
        advertise_addr=settings.engine_address,
        listen_addr="0.0.0.0:2377",
        **_swarm_options(settings),
    )
    _drain_manager(workshop)
    return f"swarm manager at {settings.engine_address}"


def _swarm_options(settings: Settings) -> dict[str, Any]:
    """Said again at every change of the swarm: Docker forgets what a change leaves out."""
    # with 1 a failed task vanishes at once, and with it the reason
    return {"task_history_retention_limit": 2, "labels": {containers.LAB: settings.name}}


def _drain_manager(workshop: docker.DockerClient) -> None:
    """Deployments run on devices only, never beside builds."""
    node = workshop.nodes.get(workshop.info()["Swarm"]["NodeID"])
    node.update({**node.attrs["Spec"], "Availability": "drain"})


def pi_numbers(settings: Settings, engine: docker.DockerClient) -> list[int]:
    """Which simulated Pis this lab should have: 1 to N."""
    there = [
        int(c.labels["cyberlab.pi"]) for c in containers.ours(settings, engine) if "cyberlab.pi" in c.labels
    ]
    count = settings.pis if settings.pis >= 0 else max(len(there), 0) or PIS_OF_A_NEW_LAB
    return list(range(1, count + 1))


def ensure_pis(settings: Settings, engine: docker.DockerClient, workshop: docker.DockerClient) -> str:
    """Start, enrol and label the Pis; remove those above the wanted number. Raises Reused when all was so."""
    numbers = pi_numbers(settings, engine)
    removed = _remove_others(settings, engine, workshop, numbers)
    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(lambda n: _start(settings, engine, n), numbers))
        joined = list(pool.map(lambda n: _enrol(settings, engine, workshop, n), numbers))
    if any(joined):
        rotate_join_token(settings, workshop)
        _forget_dead_namesakes(workshop)
    database = Database.open(settings.db_url)
    try:
        enrolled = [agents.ensure(settings, engine, database, n) for n in numbers]
    finally:
        database.close()
    _wait_ready(workshop, [containers.pi(settings, n).name for n in numbers])
    if not (any(started) or any(joined) or any(enrolled) or removed):
        raise Reused(f"{len(numbers)} simulated Pis run")
    return f"{len(numbers)} simulated Pis, {sum(joined)} enrolled now" + (
        f", {removed} removed" if removed else ""
    )


def _start(settings: Settings, engine: docker.DockerClient, number: int) -> bool:
    try:
        containers.ensure(settings, engine, containers.pi(settings, number))
    except Reused:
        return False
    return True


def rotate_join_token(settings: Settings, workshop: docker.DockerClient) -> None:
    """From now on nothing joins with the token of before."""
    workshop.swarm.update(rotate_worker_token=True, **_swarm_options(settings))


def _enrol(
    settings: Settings, engine: docker.DockerClient, workshop: docker.DockerClient, number: int
) -> bool:
    """Join the swarm unless it is a member the manager knows; set the labels. Returns whether it joined now."""
    name = containers.pi(settings, number).name
    container = containers.find(settings, engine, name)
    if container is None:
        raise SetupError("pi-missing", f"{name} is gone; run `make up` again")
    node_id = _call_pi(container, {})
    known = {n.id: n for n in workshop.nodes.list()}
    joined = node_id not in known
    if joined:
        workshop.swarm.reload()
        token = workshop.swarm.attrs["JoinTokens"]["Worker"]
        node_id = _call_pi(container, {"manager": f"{settings.engine_address}:2377", "token": token})
    cluster = f"shelf-{(number - 1) // PIS_OF_A_CLUSTER + 1}"
    _label(workshop, node_id, {"enrolled": "1", "simulated": "1", "cluster": cluster})
    return joined


def _call_pi(container: Any, order: dict[str, str]) -> str:
    """Run join.py in the Pi when its engine answers; returns the node id ("" when in no swarm)."""
    deadline = time.monotonic() + READY_SECONDS
    containers.put_file(container, ORDER, json.dumps(order).encode())
    command = ["sh", "-c", f"python3 /usr/local/lib/cyberlab/join.py < {ORDER}"]
    try:
        while True:
            try:
                return containers.run_inside(container, command)
            except SetupError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
    finally:
        containers.run_inside(container, ["rm", "-f", ORDER])


def _label(workshop: docker.DockerClient, node_id: str, labels: dict[str, str]) -> None:
    """Node labels are versioned: somebody else's change means trying again."""
    for attempt in range(20):
        try:
            node = workshop.nodes.get(node_id)
            spec = node.attrs["Spec"]
            if labels.items() <= (spec.get("Labels") or {}).items():
                return
            node.update({**spec, "Labels": {**(spec.get("Labels") or {}), **labels}})
        except (docker.errors.NotFound, docker.errors.APIError):
            time.sleep(0.1 * (attempt + 1))
        else:
            return
    raise SetupError("label-failed", f"the labels of node {node_id} could not be set")


def _wait_ready(workshop: docker.DockerClient, names: list[str]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        ready = {
            n.attrs["Description"]["Hostname"]
            for n in workshop.nodes.list()
            if n.attrs["Status"]["State"] == "ready" and (n.attrs["Spec"].get("Labels") or {}).get("enrolled")
        }
        missing = [name for name in names if name not in ready]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise SetupError("pis-away", f"these Pis did not become ready: {', '.join(missing)}")
        time.sleep(0.3)


def _forget_dead_namesakes(workshop: docker.DockerClient) -> None:
    """A Pi whose container was made anew is a new node; its old one would stay in every list as away."""
    nodes = workshop.nodes.list()
    alive = {n.attrs["Description"]["Hostname"] for n in nodes if n.attrs["Status"]["State"] == "ready"}
    for node in nodes:
        if node.attrs["Status"]["State"] != "ready" and node.attrs["Description"].get("Hostname") in alive:
            workshop.api.remove_node(str(node.id), force=True)


def _remove_others(
    settings: Settings, engine: docker.DockerClient, workshop: docker.DockerClient, numbers: list[int]
) -> int:
    extra = [
        c
        for c in containers.ours(settings, engine)
        if "cyberlab.pi" in c.labels and int(c.labels["cyberlab.pi"]) not in numbers
    ]
    for container in extra:
        name = container.labels[containers.PART]
        container.remove(force=True)
        containers.remove_volume(engine, containers.container_name(settings, name))
        for disk in (name, containers.spool_disk(name)):
            Disks(settings.disks).remove(disk)
        for node in workshop.nodes.list():
            if node.attrs["Description"].get("Hostname") == name:
                workshop.api.remove_node(str(node.id), force=True)
    return len(extra)
