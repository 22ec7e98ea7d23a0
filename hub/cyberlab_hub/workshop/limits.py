"""What users' work may take. One place, so that a limit is never accepted in one part and dropped in another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cyberlab_hub.egress import WORKSHOP_PORT, proxy_environment
from cyberlab_hub.settings import Settings

MB = 2**20
PERIOD_US = 100_000

BUILD_PROCESSES = 512
BUILD_FILE_BYTES = 2 * 1024 * MB
"""The largest single file a build may write: wheels of several hundred MB exist."""
BUILD_OPEN_FILES = 4096
BUILD_SHM_BYTES = 64 * MB
PUSH_SECONDS = 300
CONTEXT_BYTES = 32 * MB

RUN_MEMORY_MB = 512
RUN_CPUS = 1.0
RUN_PROCESSES = 128
RUN_TMP_BYTES = 64 * MB
RESERVED_MEMORY_MB = 48
"""What a deployment books on a device; the swarm places no more than fit."""
STOP_SECONDS = 4
"""Between SIGTERM and SIGKILL: one second more than `publish` takes for its last readings."""
LOG = {"max-size": "1m", "max-file": "2"}

EXEC_OUTPUT_BYTES = 64 * 1024


def proxied(settings: Settings) -> Mapping[str, str]:
    """The environment by which users' code finds the one door out; what the lab itself offers goes around it."""
    return proxy_environment(settings.proxy_address, WORKSHOP_PORT, [settings.gateway("devices")])


def cage() -> dict[str, Any]:
    """HostConfig of every container that is made from a user's image."""
    memory = RUN_MEMORY_MB * MB
    return {
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": int(RUN_CPUS * 1e9),
        "PidsLimit": RUN_PROCESSES,
        "LogConfig": {"Type": "json-file", "Config": LOG},
    }


def ceilings(settings: Settings, cpus: int) -> dict[str, str | int | float]:
    """The same limits for the engine's warden, which refuses whoever asks for more."""
    return {
        "name": settings.name,
        "registry": settings.registry,
        "build_memory": settings.build_memory_mb * MB,
        "build_cpus": _build_cpus(settings, cpus),
        "build_shm": BUILD_SHM_BYTES,
        "build_processes": BUILD_PROCESSES,
        "build_open_files": BUILD_OPEN_FILES,
        "build_file_bytes": BUILD_FILE_BYTES,
        "run_memory": RUN_MEMORY_MB * MB,
        "run_cpus": RUN_CPUS,
        "run_processes": RUN_PROCESSES,
        "run_tmp": RUN_TMP_BYTES,
    }


def _build_cpus(settings: Settings, cpus: int) -> float:
    """Shared by the builds that may run at once."""
    return max(1.0, cpus / max(1, settings.build_slots))


def build_params(settings: Settings, cgroup_driver: str, cpus: int) -> dict[str, str | int]:
    """The builder's limits as parameters of ``POST /build``.

    Args:
        cgroup_driver: the engine's, because it decides how a group is named.
        cpus: of the engine.
    """
    memory = settings.build_memory_mb * MB
    group = f"{settings.name}-builds.slice" if cgroup_driver == "systemd" else f"/{settings.name}-builds"
    ulimits = [
        {"Name": "nofile", "Soft": BUILD_OPEN_FILES, "Hard": BUILD_OPEN_FILES},
        {"Name": "fsize", "Soft": BUILD_FILE_BYTES, "Hard": BUILD_FILE_BYTES},
        {"Name": "nproc", "Soft": BUILD_PROCESSES, "Hard": BUILD_PROCESSES},
    ]
    return {
        "memory": memory,
        "memswap": memory,
        "cpuperiod": PERIOD_US,
        "cpuquota": int(_build_cpus(settings, cpus) * PERIOD_US),
        "shmsize": BUILD_SHM_BYTES,
        "ulimits": json.dumps(ulimits),
        "cgroupparent": group,
        # the builder hands these to RUN and keeps them out of the image and its history
        "buildargs": json.dumps(dict(proxied(settings))),
        "rm": 1,
        "forcerm": 1,
    }
