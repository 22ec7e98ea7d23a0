"""The swarm and the simulated Pis that are its nodes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cyberlab_hub.setup.doctor import inside, procfs
from cyberlab_hub.setup.doctor.check import UP, Wrong, check, none_wrong
from cyberlab_hub.setup.doctor.engine import inner_filter
from cyberlab_hub.setup.doctor.patient import Patient

API_PORTS = (2375, 2376)
OPERATOR = "as the operator (docs/operating.md, Certificates: `docker -H ...`)"
REMOVE = f"{OPERATOR}: `node ls` shows whose it is, `node rm --force NODE` removes it; `make up` enrols our own again"


def _nodes(patient: Patient) -> list[dict[str, Any]]:
    return [node.attrs for node in patient.workshop.nodes.list()]


def _name(node: dict[str, Any]) -> str:
    return str(node["Description"].get("Hostname"))


@check(
    "swarm-manager",
    "swarm",
    "There is one manager, and nothing is deployed beside the builds",
    f"{OPERATOR}: `node update --availability drain engine`, `node demote NODE`",
)
def manager(patient: Patient) -> str:
    managers = [node for node in _nodes(patient) if node["Spec"].get("Role") == "manager"]
    wrong = [f"{len(managers)} managers: {', '.join(map(_name, managers))}"] if len(managers) != 1 else []
    wrong += [
        f"the manager {_name(node)} is {node['Spec'].get('Availability')}, not drained"
        for node in managers
        if node["Spec"].get("Availability") != "drain"
    ]
    return none_wrong(wrong, "one manager, drained")


@check(
    "swarm-nodes",
    "swarm",
    "Every device of the swarm was enrolled by the lab, under a name of its own",
    REMOVE,
)
def nodes(patient: Patient) -> str:
    workers = [node for node in _nodes(patient) if node["Spec"].get("Role") != "manager"]
    labels = {node["ID"]: node["Spec"].get("Labels") or {} for node in workers}
    wrong = [
        f"{_name(n)} ({n['ID']}) is not enrolled" for n in workers if not labels[n["ID"]].get("enrolled")
    ]
    pis = set(patient.pis)
    wrong += [
        f"{_name(n)} ({n['ID']}) says it is a simulated Pi, and there is no such container"
        for n in workers
        if labels[n["ID"]].get("simulated") and _name(n) not in pis
    ]
    twice = [name for name, count in Counter(map(_name, workers)).items() if count > 1]
    wrong += [f"the name {name} is used by more than one node" for name in twice]
    return none_wrong(wrong, f"{len(workers)} devices, all enrolled")


@check(
    "device-flags",
    "devices",
    "Each simulated Pi's engine runs with the cage's flags, without an API on the network",
    UP,
)
def flags(patient: Patient) -> str:
    wrong: list[str] = []
    for name in patient.pis:
        dockerds = patient.dockerds(name)
        wrong += [f"{name}: {w}" for d in dockerds for w in inside.flag_problems(d.argv, warden=False)]
        open_ports = {s.port for s in procfs.listening(dockerds[0].pid)}
        wrong += [f"{name}: somebody listens on port {port}" for port in API_PORTS if port in open_ports]
    return none_wrong(wrong, f"{len(patient.pis)} simulated Pis")


@check(
    "device-out",
    "devices",
    "What deployments reach from each Pi is what the settings list",
    "`docker restart {name}-PI`",
)
def way_out(patient: Patient) -> str:
    wrong: list[str] = []
    for name in patient.pis:
        try:
            inner_filter(patient, name)
        except Wrong as found:
            wrong += [f"{name}: {detail}" for detail in found.details]
    return none_wrong(wrong, f"{len(patient.pis)} simulated Pis")
