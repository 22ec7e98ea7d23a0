"""`down` and `clean`: the way back. Both touch only what carries this lab's label or this lab's pid files."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import docker
from rich.console import Console

from cyberlab_hub.disks import Disks
from cyberlab_hub.errors import HubError
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers, engines, firewall, images, kernel, processes

PROCESSES = ("hub", "ingest", "lab")


def down(settings: Settings, console: Console) -> None:
    """Stop what `up` started, in the order users notice least; data and images stay."""
    for name in PROCESSES:
        if processes.stop(settings, name):
            console.print(f"stopped {name}")
    try:
        engine = engines.system_engine()
    except HubError:
        console.print("no Docker engine runs")
    else:
        _stop_containers(settings, engine, console)
        firewall.remove(settings)
    if kernel.restore(settings):
        console.print("io_uring is for everybody again, as it was")
    unmounted = Disks(settings.disks).release_all()
    if unmounted:
        console.print(f"unmounted {unmounted} disks")
    if processes.stop(settings, "dockerd", seconds=60):
        console.print("stopped the Docker engine that `up` had started")


def _stop_containers(settings: Settings, engine: docker.DockerClient, console: Console) -> None:
    running = [c for c in containers.ours(settings, engine) if c.status == "running"]
    if not running:
        return
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda c: c.stop(timeout=10), running))
    console.print(f"stopped {len(running)} containers")


def clean(settings: Settings, console: Console) -> None:
    """`down`, and then remove containers, volumes (also the users' homes), networks, images and state."""
    for name in PROCESSES:
        processes.stop(settings, name)
    try:
        engine = engines.system_engine()
    except HubError:
        if settings.state.exists():
            # what is in Docker can only be removed by a running engine
            engines.ensure_system_engine(settings)
        engine = engines.system_engine()
    kernel.restore(settings)
    for container in containers.ours(settings, engine):
        container.remove(force=True, v=True)
    label = {"label": f"{containers.LAB}={settings.name}"}
    volumes = engine.volumes.list(filters=label)
    for volume in volumes:
        volume.remove(force=True)
    for network in engine.networks.list(filters=label):
        network.remove()
    firewall.remove(settings)
    removed = _remove_images(engine)
    # before the folder goes: a disk that is still in use must stop this, not be emptied
    disks = Disks(settings.disks)
    homes_and_parts = sum(disks.remove(name) for name in disks.names())
    processes.stop(settings, "dockerd", seconds=60)
    shutil.rmtree(settings.state, ignore_errors=True)
    console.print(
        f"removed {homes_and_parts} disks, {len(volumes)} volumes, {removed} images and {settings.state}"
    )


def _remove_images(engine: docker.DockerClient) -> int:
    """Children first: an image with children cannot go. Untagged layers of our builds go with them."""
    names = ["user", "pi", "engine", "registry", "influxdb", "mqtt", "proxy", "debian", "rootfs"]
    removed = 0
    for name in names:
        try:
            engine.images.remove(images.reference(name), force=True)
            removed += 1
        except docker.errors.ImageNotFound:
            continue
    engine.images.prune(filters={"dangling": True, "label": images.CONTENT})
    return removed
