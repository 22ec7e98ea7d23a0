"""Disks: nobody fills what others need."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyberlab_hub.disks import Disks
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers
from cyberlab_hub.setup.doctor.check import CannotTell, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient
from cyberlab_hub.spawner import HOME

LAYER = "disks"
FREE = 0.10
SETTINGS = (
    "set what is 0 in lab.env ({state}/lab.env) to a size (docs/operating.md, Settings), then `make up`"
)


@check("disks-parts", LAYER, "Engine, registry, InfluxDB and Pis write to disks of a bounded size", SETTINGS)
def parts(patient: Patient) -> str:
    disks = Disks(patient.settings.disks)
    wrong: list[str] = []
    for part in patient.parts:
        name = containers.container_name(patient.settings, part.name)
        if part.volume and part.volume not in dict(part.disks):
            wrong.append(f"{name} can fill this machine's disk: its size is set to 0")
            continue
        for target, disk in part.disks:
            if not disks.mounted(disk.name):
                wrong.append(f"the disk {disk.name} is not mounted")
            elif (use := disks.use(disk.name)) is not None and use.nearly_full:
                wrong.append(f"the disk {disk.name} is nearly full ({use}): set {disk.setting} higher")
            elif part.name in patient_parts(patient) and _source(
                patient.part(part.name), target
            ) != disks.data(disk.name):
                wrong.append(f"{name} does not keep {target} on its disk")
    return none_wrong(wrong, f"{len(disks.names())} disks")


def patient_parts(patient: Patient) -> set[str]:
    return {c["Config"]["Labels"].get(containers.PART, "") for c in patient.running}


def _source(container: Mapping[str, Any], target: str) -> Path | None:
    return next((Path(m["Source"]) for m in container["Mounts"] if m["Destination"] == target), None)


@check(
    "disks-homes",
    LAYER,
    "Each user's home is a disk of a bounded size",
    SETTINGS + "; a server gets it at its next start",
)
def homes(patient: Patient) -> str:
    users = [
        c for c in patient.running if c["Config"]["Labels"].get(containers.PART) == containers.USER_SERVER
    ]
    wrong = [] if patient.settings.home_mb > 0 else ["homes are not bounded: CYBERLAB_HOME_MB is 0"]
    wrong += home_problems(patient.settings, users) if not wrong else []
    return none_wrong(wrong, f"{len(users)} servers run, {patient.settings.home_mb} MB each")


def home_problems(settings: Settings, users: list[dict[str, Any]]) -> list[str]:
    folder = settings.disks.resolve()
    return [
        f"{user['Name'].lstrip('/')} has its home outside of {folder}"
        for user in users
        if (home := _source(user, HOME)) is None or folder not in home.parents
    ]


@check(
    "disks-free",
    LAYER,
    "This machine has a tenth of its disk left",
    "free some: `docker system df`, `cyberlab-hub status`",
)
def free(patient: Patient) -> str:
    places = {patient.settings.state, Path(str(patient.engine.info()["DockerRootDir"]))}
    lines: list[str] = []
    wrong: list[str] = []
    for place in sorted(places):
        if not place.exists():
            raise CannotTell(f"{place} is missing")
        found = shutil.disk_usage(place)
        # what other users may take, as `df` counts: reserved blocks are root's
        share = found.free / (found.used + found.free)
        line = f"{place}: {found.free // 2**30} of {(found.used + found.free) // 2**30} GB free"
        (lines if share >= FREE else wrong).append(line)
    return none_wrong(wrong, "; ".join(lines))
