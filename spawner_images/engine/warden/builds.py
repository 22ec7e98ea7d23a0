"""What a build may ask: the classic builder, on a context that was sent along, under the limits of the lab."""

from __future__ import annotations

import re
from typing import Any

from warden.asked import Refused
from warden.ceilings import Ceilings
from warden.shapes import ANY_TEXT, Shape, exactly, json_text, listed, mapping, number, record, text, whole

PROXIES = r"(?:https?|ftp|all|no)_proxy|(?:HTTPS?|FTP|ALL|NO)_PROXY"
"""Build arguments that the builder keeps out of the image; the lab hands over no others."""
TAR = ("application/x-tar", "application/tar")


def params(limits: Ceilings) -> Shape:
    """The parameters of ``POST /build``. Not among them, hence refused: remote, extrahosts, outputs, cachefrom, squash,
    session, securityopt, a network of others, version 2 (BuildKit, which ignores every limit)."""
    registry = re.escape(limits.registry)
    shape = record(
        must={
            "t": text(rf"(?:{registry}/[a-z0-9._-]+/|cyberlab/)[a-z0-9._-]+(?::[A-Za-z0-9._-]+)?"),
            "dockerfile": text(r"\.?[A-Za-z0-9][A-Za-z0-9._-]*"),
            "memory": number(1, limits.build_memory),
            "memswap": number(1, limits.build_memory),
            "cpuperiod": number(1_000, 1_000_000),
            "cpuquota": number(1_000, 1_000_000_000),
            "shmsize": number(1, limits.build_shm),
            "ulimits": json_text(_ulimits(limits)),
            "cgroupparent": exactly(f"/{limits.name}-builds", f"{limits.name}-builds.slice"),
            "rm": exactly("1"),
            "forcerm": exactly("1"),
        },
        may={
            "buildargs": json_text(mapping(PROXIES, ANY_TEXT)),
            "platform": text(r"linux/[a-z0-9]+(?:/v[0-9])?"),
            "networkmode": exactly("", "default", "none"),
            "version": exactly("1"),
            "nocache": exactly("0", "1"),
        },
    )

    def check(value: Any, where: str) -> None:
        shape(value, where)
        if int(value["memswap"]) > int(value["memory"]):
            raise Refused("may not ask for swap in a build")
        if int(value["cpuquota"]) > limits.build_cpus * int(value["cpuperiod"]):
            raise Refused(f"may not ask for more than {limits.build_cpus:g} processors in a build")

    return check


def _ulimits(limits: Ceilings) -> Shape:
    most = {
        "nproc": limits.build_processes,
        "nofile": limits.build_open_files,
        "fsize": limits.build_file_bytes,
    }

    def one(value: Any, where: str) -> None:
        record({"Name": exactly(*most), "Soft": whole(1, 2**62), "Hard": whole(1, 2**62)})(value, where)
        ceiling = most[value["Name"]]
        if max(value["Soft"], value["Hard"]) > ceiling:
            raise Refused(f"may not ask for {where}: {value['Name']} is at most {ceiling}")

    def check(value: Any, where: str) -> None:
        listed(one, most=len(most))(value, where)
        if {each["Name"] for each in value} != set(most):
            raise Refused(f"may not leave out {', '.join(most)} in {where}")

    return check
