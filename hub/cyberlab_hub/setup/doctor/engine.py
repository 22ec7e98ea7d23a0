"""The workshop engine: where users' builds and trials run."""

from __future__ import annotations

import json
import secrets
import socket
import ssl
from pathlib import Path

from cyberlab_hub import certs
from cyberlab_hub.setup.doctor import inside
from cyberlab_hub.setup.doctor.check import UP, CannotTell, Wrong, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

LAYER = "workshop engine"
BUILD_PROCESSES = 600
SECONDS = 10
ANEW = "`docker rm -f {name}-engine` (its images stay), then `make up`"


@check(
    "engine-remap",
    LAYER,
    "Root in users' containers is nobody outside, and Docker's list of system calls is in force",
    ANEW,
)
def remapped(patient: Patient) -> str:
    options = [str(option) for option in patient.workshop_info.get("SecurityOptions") or ()]
    wrong = []
    if "name=userns" not in options:
        wrong.append("the engine runs without user namespaces (userns-remap)")
    if not any(o.startswith("name=seccomp") and o.endswith(("=default", "=builtin")) for o in options):
        wrong.append("the engine does not use Docker's default list of system calls (seccomp)")
    return none_wrong(wrong, ", ".join(options))


@check("engine-flags", LAYER, "The engine runs with the cage's flags and listens with TLS only", ANEW)
def flags(patient: Patient) -> str:
    _ours(patient)
    wrong = [w for d in patient.dockerds("engine") for w in inside.flag_problems(d.argv, warden=True)]
    return none_wrong(wrong, " ".join(inside.FLAGS))


@check("engine-warden", LAYER, "Every role's certificate is refused what is not its business", UP)
def warden(patient: Patient) -> str:
    plugins = (patient.workshop_info.get("Plugins") or {}).get("Authorization") or []
    wrong = [] if plugins else ["the engine asks no authorization plugin"]
    for role in certs.ROLES:
        # were it allowed, nothing would happen either: there is no such image
        name = f"{patient.settings.name}-doctor-{secrets.token_hex(6)}"
        body = {
            "Image": f"cyberlab/none-{secrets.token_hex(6)}",
            "HostConfig": {"Privileged": True, "Binds": ["/:/host"]},
        }
        answer = _ask(patient, certs.client_file(patient.settings.certs, role), name, body)
        if not answer.startswith("HTTP/1.1 403"):
            wrong.append(f"a privileged container asked for as {role} was not refused: {answer[:60]!r}")
    return none_wrong(wrong, f"{', '.join(map(str, plugins))}; refused {', '.join(certs.ROLES)}")


def _ask(patient: Patient, client: Path, name: str, body: object) -> str:
    """The status line of the answer to a request for a container."""
    context = ssl.create_default_context(cafile=patient.settings.certs / "ca.crt")
    context.load_cert_chain(client)
    sent = json.dumps(body)
    request = (
        f"POST /v1.41/containers/create?name={name} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n{sent}"
    )
    host, port = _where(patient)
    with (
        socket.create_connection((host, port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        tls.sendall(request.encode())
        return tls.recv(4096).decode(errors="replace").partition("\r\n")[0]


@check("engine-strangers", LAYER, "Without a client's certificate the engine answers nothing", ANEW)
def strangers(patient: Patient) -> str:
    folder = patient.settings.certs
    wrong = []
    if _answers(patient, None, plain=True):
        wrong.append("it answers without TLS")
    if _answers(patient, None):
        wrong.append("it answers a caller who shows no certificate")
    if _answers(patient, (folder / "lab.crt", folder / "lab.key")):
        wrong.append("it takes the certificate of a server for that of a client")
    return none_wrong(wrong, "refused: plain HTTP, no certificate, a server's certificate")


def _answers(patient: Patient, shown: tuple[Path, Path] | None, *, plain: bool = False) -> bool:
    """Whether a ping from such a caller is answered. Raises: CannotTell when nobody is there at all."""
    host, port = _where(patient)
    try:
        connection = socket.create_connection((host, port), SECONDS)
    except OSError as error:
        raise CannotTell(f"nobody listens at {host}:{port}: {error}") from error
    context = ssl.create_default_context(cafile=patient.settings.certs / "ca.crt")
    if shown is not None:
        context.load_cert_chain(*shown)
    try:
        with connection if plain else context.wrap_socket(connection, server_hostname=host) as line:
            line.sendall(b"GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
            return line.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:  # also a broken handshake
        return False


def _where(patient: Patient) -> tuple[str, int]:
    if not patient.settings.engine_url:
        patient.at_hand(patient.settings.engine_address)
    host, _, port = patient.settings.workshop_url.partition("://")[2].partition(":")
    return host, int(port or 2376)


@check("engine-builds", LAYER, "All builds together have a bounded number of processes", ANEW)
def builds(patient: Patient) -> str:
    _ours(patient)
    group = f"{patient.settings.name}-builds"
    script = f"cat /sys/fs/cgroup/pids/{group}/pids.max || cat /sys/fs/cgroup/{group}/pids.max || echo none"
    said = patient.inside("engine", ["sh", "-c", f"({script}) 2>/dev/null"])
    if not said.isdigit() or int(said) > BUILD_PROCESSES:
        raise Wrong(f"the control group {group} has the limit {said}, not {BUILD_PROCESSES}")
    return f"at most {said} in {group}"


@check(
    "engine-out",
    LAYER,
    "What builds and trials reach is what the settings list",
    "`docker restart {name}-engine`",
)
def way_out(patient: Patient) -> str:
    _ours(patient)
    return inner_filter(patient, "engine")


def inner_filter(patient: Patient, part: str) -> str:
    """Raises: Wrong, CannotTell."""
    listing = patient.inside(part, ["iptables", "-w", "-S"])
    expected = next(p for p in patient.parts if p.name == part).env["LAB_ALLOW"]
    return none_wrong(inside.filter_problems(listing, expected), f"only {expected}")


def _ours(patient: Patient) -> None:
    """Raises: CannotTell."""
    if patient.settings.engine_url:
        raise CannotTell(
            f"the engine at {patient.settings.engine_url} is on another machine: look there "
            f"whether dockerd runs with {' '.join(inside.FLAGS)}"
        )
