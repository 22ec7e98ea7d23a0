"""What the box around this process uses and may use: control groups, version 1 and 2.

A simulated Pi is a container, and so is a user's program; `/proc` shows them the whole machine underneath. The
control group that is mounted as the root of ``/sys/fs/cgroup`` is the box itself, with everything inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
UNLIMITED = 2**60
"""Version 1 writes "no limit" as a number near 2**63."""


@dataclass(frozen=True)
class Usage:
    cpu_seconds: float
    """Used since the box was made."""
    cpus: float | None
    """How many it may use; None without a limit."""
    memory_bytes: int
    """In use, without cached files that can be dropped."""
    memory_limit: int | None


def usage(mount: Path = MOUNT) -> Usage | None:
    """The box as it is now; None when there is no readable control group."""
    try:
        return _version2(mount) if (mount / "cgroup.controllers").exists() else _version1(mount)
    except (OSError, ValueError, KeyError):
        return None


def _version2(mount: Path) -> Usage:
    quota, _, period = (mount / "cpu.max").read_text().strip().partition(" ")
    limit = (mount / "memory.max").read_text().strip()
    cached = _table(mount / "memory.stat").get("inactive_file", 0)
    return Usage(
        cpu_seconds=_table(mount / "cpu.stat")["usage_usec"] / 1e6,
        cpus=None if quota == "max" else int(quota) / int(period),
        memory_bytes=max(0, _number(mount / "memory.current") - cached),
        memory_limit=None if limit == "max" else int(limit),
    )


def _version1(mount: Path) -> Usage:
    cpu, memory = mount / "cpu", mount / "memory"
    quota = _number(cpu / "cpu.cfs_quota_us")
    limit = _number(memory / "memory.limit_in_bytes")
    cached = _table(memory / "memory.stat").get("total_inactive_file", 0)
    return Usage(
        cpu_seconds=_number(mount / "cpuacct" / "cpuacct.usage") / 1e9,
        cpus=None if quota <= 0 else quota / _number(cpu / "cpu.cfs_period_us"),
        memory_bytes=max(0, _number(memory / "memory.usage_in_bytes") - cached),
        memory_limit=None if limit >= UNLIMITED else limit,
    )


def _number(path: Path) -> int:
    return int(path.read_text())


def _table(path: Path) -> dict[str, int]:
    return {
        key: int(value) for key, _, value in (line.partition(" ") for line in path.read_text().splitlines())
    }
