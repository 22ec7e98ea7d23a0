"""What goes to devices: services, the labels of nodes, secrets and configs."""

from __future__ import annotations

import re
from typing import Any

from warden.cages import DIGEST, LOG_OPTIONS
from warden.ceilings import Ceilings
from warden.shapes import ANY_TEXT, EMPTY, LABELS, Shape, exactly, listed, record, refuse, text, whole

NANO = 10**9
LONG = 3600 * NANO
SELECTED = r"node\.labels\.cyberlab\.d\.[a-z0-9]{1,40} == 1"
"""A node label that only a manager sets; what a node says about itself chooses nothing."""


def service(limits: Ceilings) -> Shape:
    """A service, made or updated. It may also hold what Swarm itself adds, because a rollback sends that back.

    Not among the keys, hence refused: Privileges, CapabilityAdd, Sysctls, User, Groups, Hosts, Networks, PluginSpec,
    Ulimits, mounts of any kind but tmpfs, modes other than global, ports through the swarm's own load balancer.
    """
    changes = record(
        must={},
        may={
            "Parallelism": whole(0, 1000),
            "Delay": whole(0, LONG),
            "Monitor": whole(0, LONG),
            "MaxFailureRatio": exactly(0, 0.0),
            "Order": exactly("stop-first"),
            "FailureAction": exactly("rollback", "continue", "pause"),
        },
    )
    task = record(
        must={
            "ContainerSpec": _container(limits),
            "Resources": _resources(limits),
            "Placement": record(
                {"Constraints": listed(text(SELECTED), least=1, most=4)},
                {
                    "Platforms": listed(
                        record({}, {"Architecture": ANY_TEXT, "OS": exactly("linux")}), most=20
                    )
                },
            ),
            "LogDriver": record({"Name": exactly("json-file"), "Options": LOG_OPTIONS}),
        },
        may={
            "RestartPolicy": record(
                {"Condition": exactly("any", "on-failure", "none")},
                {"Delay": whole(NANO, LONG), "MaxAttempts": whole(0, 1000), "Window": whole(0, LONG)},
            ),
            "ForceUpdate": whole(0, 10**6),
            "Runtime": exactly("container"),
        },
    )
    return record(
        must={
            "Name": text(rf"{re.escape(limits.name[:14])}-[a-z0-9-]{{1,60}}"),
            "Labels": LABELS,
            "TaskTemplate": task,
            "Mode": record({"Global": EMPTY}),
            "EndpointSpec": record({"Mode": exactly("dnsrr")}, {"Ports": listed(_port(), most=50)}),
        },
        may={"UpdateConfig": changes, "RollbackConfig": changes},
    )


def _container(limits: Ceilings) -> Shape:
    file = record(
        {"Name": text("[A-Za-z0-9_./-]{1,200}"), "Mode": whole(0, 0o777)},
        {"UID": text("[0-9]{1,6}"), "GID": text("[0-9]{1,6}")},
    )
    tmpfs = record(
        {
            "Type": exactly("tmpfs"),
            "Target": text(r"/[a-z][a-z0-9._-]*(?:/[a-z][a-z0-9._-]*)*"),
            "TmpfsOptions": record({"SizeBytes": whole(1, limits.run_tmp)}, {"Mode": whole(0, 0o1777)}),
        }
    )
    given = text("[A-Za-z0-9_.-]{1,100}")
    return record(
        must={
            "Image": text(rf"{re.escape(limits.registry)}/[a-z0-9._-]+/[a-z0-9._-]+@{DIGEST}"),
            "CapabilityDrop": exactly(["ALL"]),
            "ReadOnly": exactly(True),
        },
        may={
            "Args": listed(ANY_TEXT),
            "Env": listed(ANY_TEXT),
            "Labels": LABELS,
            "Init": exactly(True, False),
            "StopGracePeriod": whole(0, 60 * NANO),
            "Mounts": listed(tmpfs, most=1),
            "Secrets": listed(record({"SecretID": given, "SecretName": given, "File": file}), most=10),
            "Configs": listed(record({"ConfigID": given, "ConfigName": given, "File": file}), most=10),
            "Isolation": exactly("default"),
            "DNSConfig": EMPTY,
        },
    )


def _resources(limits: Ceilings) -> Shape:
    return record(
        must={
            "Limits": record(
                {
                    "NanoCPUs": whole(1, int(limits.run_cpus * NANO)),
                    "MemoryBytes": whole(1, limits.run_memory),
                    "Pids": whole(1, limits.run_processes),
                }
            )
        },
        may={"Reservations": record({}, {"MemoryBytes": whole(0, limits.run_memory)})},
    )


def _port() -> Shape:
    return record(
        {
            "TargetPort": whole(1, 65535),
            "PublishedPort": whole(1024, 65535),
            "PublishMode": exactly("host"),
        },
        {"Protocol": exactly("tcp", "udp"), "Name": ANY_TEXT},
    )


def node(*roles: str) -> Shape:
    """A node's labels and whether it takes work; `roles`: what it may be or become."""
    return record(
        must={"Role": exactly(*roles), "Labels": LABELS},
        may={"Availability": exactly("active", "pause", "drain"), "Name": ANY_TEXT},
    )


def kept(limits: Ceilings, kind: str) -> Shape:
    """A secret (``token``) or config (``ca``) of the lab."""
    return record(
        must={
            "Name": text(rf"{re.escape(limits.name[:14])}-{kind}-[a-z0-9-]{{1,60}}"),
            "Data": text("[A-Za-z0-9+/]+=*", 64 * 1024),
            "Labels": LABELS,
        }
    )


def new_swarm(value: Any, _where: str) -> None:
    """The body of ``/swarm/init``, which set-up sends once."""
    if not isinstance(value, dict) or any(
        name.casefold() == "forcenewcluster" and each is not False for name, each in value.items()
    ):
        raise refuse("ForceNewCluster", "it would throw the swarm away")
