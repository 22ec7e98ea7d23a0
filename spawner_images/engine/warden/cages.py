"""What a container may ask, and what else runs in or beside it: the lab's cage, and nothing that opens it."""

from __future__ import annotations

import re
from typing import Any

from warden.asked import Refused
from warden.ceilings import Ceilings
from warden.shapes import ANY_TEXT, LABELS, Shape, exactly, listed, mapping, record, refuse, text, whole

DIGEST = "sha256:[0-9a-f]{64}"
LOG_OPTIONS = record({"max-size": text("[1-9][0-9]{0,3}[km]"), "max-file": text("[1-9]")})
LOG = record({"Type": exactly("json-file"), "Config": LOG_OPTIONS})
_SIZE = re.compile(r"size=([1-9][0-9]{0,12})(?:,(?:mode=[0-7]{3,4}|noexec|nosuid|nodev))*", re.ASCII)


def container(limits: Ceilings, image: str, networks: str) -> Shape:
    """The body of ``POST /containers/create``. `image`, `networks`: patterns of what it may name.

    Not among the keys, hence refused: Binds, Mounts, Devices, VolumesFrom, CapAdd, Privileged, PidMode, IpcMode,
    UTSMode, UsernsMode, CgroupParent, Runtime, Sysctls, PortBindings, ExtraHosts, RestartPolicy, User, Entrypoint.
    """
    return record(
        must={"Image": text(image), "HostConfig": _host(limits, networks)},
        may={"Cmd": listed(ANY_TEXT), "Env": listed(ANY_TEXT), "Labels": LABELS},
    )


def _host(limits: Ceilings, networks: str) -> Shape:
    shape = record(
        must={
            "CapDrop": exactly(["ALL"]),
            "SecurityOpt": exactly(["no-new-privileges"], ["no-new-privileges:true"]),
            "ReadonlyRootfs": exactly(True),
            "Memory": whole(1, limits.run_memory),
            "MemorySwap": whole(1, limits.run_memory),
            "NanoCpus": whole(1, int(limits.run_cpus * 1e9)),
            "PidsLimit": whole(1, limits.run_processes),
            "NetworkMode": text(networks),
            "LogConfig": LOG,
        },
        may={"Init": exactly(True, False), "Tmpfs": _tmpfs(limits)},
    )

    def check(value: Any, where: str) -> None:
        shape(value, where)
        if value["MemorySwap"] > value["Memory"]:
            raise refuse(f"{where}.MemorySwap", "there is no swap")

    return check


def _tmpfs(limits: Ceilings) -> Shape:
    def check(value: Any, where: str) -> None:
        mapping(r"/[a-z][a-z0-9._-]*(?:/[a-z][a-z0-9._-]*)*", text(_SIZE.pattern), most=4)(value, where)
        sizes = [int(found[1]) for each in value.values() if (found := _SIZE.fullmatch(each))]
        if sum(sizes) > limits.run_tmp:
            raise refuse(where, f"at most {limits.run_tmp} bytes in all")

    return check


def reading(limits: Ceilings) -> Shape:
    """One that is made to read a file of its image, and never started."""
    return container(limits, DIGEST, "none")


def trial(limits: Ceilings) -> Shape:
    """One that runs a user's image, pinned, on the networks of trials."""
    image = rf"{re.escape(limits.registry)}/[a-z0-9._-]+/[a-z0-9._-]+@{DIGEST}"
    return container(limits, image, trial_networks(limits))


def trial_networks(limits: Ceilings) -> str:
    return rf"none|{re.escape(limits.name)}-trials(?:-[a-z0-9-]{{1,60}})?"


COMMAND = record(
    # not among the keys, hence refused: Privileged, User, Env, WorkingDir, DetachKeys
    must={"Cmd": listed(ANY_TEXT, least=1)},
    may={name: exactly(True, False) for name in ("AttachStdin", "AttachStdout", "AttachStderr", "Tty")},
)
COMMAND_START = record({}, {"Detach": exactly(False), "Tty": exactly(True, False)})


def network(limits: Ceilings) -> Shape:
    """A bridge on which containers do not reach one another, and no other kind."""
    icc = "com.docker.network.bridge.enable_icc"
    shape = record(
        must={
            "Name": text(trial_networks(limits)),
            "Driver": exactly("bridge"),
            "Options": record(
                {icc: exactly("false")}, {"com.docker.network.bridge.name": text("[a-z0-9-]{1,15}")}
            ),
            "Labels": LABELS,
        },
        may={"CheckDuplicate": exactly(True), "Internal": exactly(True, False)},
    )

    def check(value: Any, where: str) -> None:
        shape(value, where)
        if value["Name"] == "none":
            raise Refused("may not make a network of this name")

    return check
