"""What listens on this machine for the lab, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cyberlab_hub.campus import GATEWAY_PORT
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.doctor import procfs
from cyberlab_hub.setup.doctor.check import UP, CannotTell, Wrong, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

Place = tuple[str, int]
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def expected(settings: Settings) -> dict[str, dict[Place, str]]:
    """Process of the lab -> every place where it listens, and for whom."""
    bind = {"": "0.0.0.0", "localhost": "127.0.0.1"}.get(settings.bind, settings.bind)  # noqa: S104 - compared
    users, devices = settings.gateway("users"), settings.gateway("devices")
    return {
        "hub": {
            (bind, settings.hub_port): "browsers",
            ("127.0.0.1", settings.hub_port + 1): "the hub, which tells its proxy the routes",
            (users, 8081): "users' servers (hub's API)",
        },
        "lab": {
            (users, 8082): "users' servers (lab service)",
            (devices, 8444): "devices (registry tokens)",
        },
        "ingest": {
            (devices, GATEWAY_PORT): "devices (readings)",
            (devices, 8445): "devices (uplinks)",
            **{(a, GATEWAY_PORT): "things on the campus" for a in settings.on_campus.addresses},
        },
    }


@check("ports-open", "ports", "The lab's processes listen where they should and nowhere else", UP)
def open_ports(patient: Patient) -> str:
    members = patient.lab_programs
    down = [name for name, programs in members.items() if not programs]
    if down:
        raise CannotTell(f"{', '.join(down)} does not run")
    found = {name: procfs.sockets_of(programs) for name, programs in members.items()}
    table = expected(patient.settings)
    return none_wrong(port_problems(table, found), f"{sum(map(len, table.values()))} places")


def port_problems(
    table: Mapping[str, Mapping[Place, str]], found: Mapping[str, Iterable[procfs.Socket]]
) -> list[str]:
    wrong: list[str] = []
    for name, places in table.items():
        listens = {(s.address, s.port) for s in found[name]}
        for address, port in sorted(listens - set(places)):
            where = " (every address of this machine)" if address in EVERYWHERE else ""
            wrong.append(f"{name} listens on {address}:{port}{where}, which nobody needs")
        wrong += [
            f"{name} does not listen on {a}:{p} for {why}"
            for (a, p), why in places.items()
            if (a, p) not in listens
        ]
    return wrong


@check(
    "ports-engine",
    "ports",
    "The system engine is reached by its socket only, never over a network",
    "take `-H tcp://...` out of dockerd's arguments and `hosts` out of /etc/docker/daemon.json, then restart it",
)
def engine_port(patient: Patient) -> str:
    here = procfs.pid_space("self")
    engines = [p for p in patient.programs if p.name == "dockerd" and p.space == here]
    if not engines:
        raise CannotTell("no dockerd runs here")
    listens = [s for engine in engines for s in procfs.sockets_of([engine])]
    if listens:
        raise Wrong(*(f"dockerd listens on {s}" for s in listens))
    return "no TCP port"
