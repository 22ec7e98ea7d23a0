"""The rules of this machine, and the proxy that is the one way out."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from cyberlab_hub import egress
from cyberlab_hub.setup import containers, firewall
from cyberlab_hub.setup.doctor.check import UP, CannotTell, Wrong, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

SECONDS = 10
FORWARD = ("iptables", "DOCKER-USER")


@check(
    "firewall-rules",
    "firewall",
    "What each network reaches is what the settings say, asked before other rules",
    UP,
)
def rules(patient: Patient) -> str:
    chains = firewall.chains(patient.settings)
    return none_wrong(firewall.missing(patient.settings), f"{len(chains)} chains")


@check(
    "firewall-hook",
    "firewall",
    "Docker asks the lab's rules first of all",
    "`systemctl restart docker` where systemd runs it, else `make down`; then `make up`",
)
def hook(_: Patient) -> str:
    done = subprocess.run(
        ["iptables", "-w", "-S", "FORWARD"], capture_output=True, text=True, timeout=SECONDS
    )
    if done.returncode:
        raise CannotTell(f"iptables says: {done.stderr.strip()}")
    first = next((line for line in done.stdout.splitlines() if line.startswith("-A")), "nothing")
    if first != "-A FORWARD -j DOCKER-USER":
        raise Wrong(f"the first rule of FORWARD is `{first}`, not `-j DOCKER-USER`")
    return "DOCKER-USER is the first rule of FORWARD"


@check("firewall-bridges", "firewall", "Frames between two containers of one network pass the rules too", UP)
def bridges(_: Patient, switch: Path = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")) -> str:
    said = switch.read_text().strip() if switch.exists() else "missing (module br_netfilter)"
    if said != "1":
        raise Wrong(f"{switch} is {said}, not 1")
    return f"{switch.name} is 1"


# ---------------------------------------------------------------- the proxy
@check("proxy-rules", "way out", "The proxy runs with the list of the settings", UP)
def proxy_rules(patient: Patient) -> str:
    given = patient.settings.state / "mounts" / "proxy-given" / "squid.conf"
    if not given.exists():
        raise Wrong(f"{given} is missing")
    wrong = list_problems(patient.proxy_configuration, given.read_text())
    part = next(p for p in patient.parts if p.name == "proxy")
    made = patient.part("proxy")["Config"]["Labels"].get(containers.DESCRIPTION)
    if not wrong and made != containers.description(patient.settings, patient.engine, part):
        wrong = ["the proxy was started with other rules than the settings have now"]
    return none_wrong(wrong, f"{given} as the settings say")


NEVER = "acl never dst "


def list_problems(expected: str, found: str) -> list[str]:
    """What differs between two configurations of Squid. More addresses that are never reached are no fault."""
    want, have = expected.splitlines(), found.splitlines()
    never = [
        {a for line in lines if line.startswith(NEVER) for a in line.split()[3:]} for lines in (want, have)
    ]
    wrong = [
        f"the proxy does not know that {address} is the lab's or this machine's"
        for address in never[0] - never[1]
    ]
    want, have = ([line for line in lines if not line.startswith(NEVER)] for lines in (want, have))
    wrong += [f"missing: {line[:120]}" for line in want if line not in have]
    wrong += [f"nobody asked for: {line[:120]}" for line in have if line not in want]
    return wrong or (["the lines are in another order"] if want != have else [])


@check(
    "proxy-refuses", "way out", "The proxy opens no way to the lab, this machine or a cloud's metadata", UP
)
def refuses(patient: Patient) -> str:
    settings = patient.settings
    patient.at_hand(settings.proxy_address)
    places = (
        "169.254.169.254:80",
        f"{settings.engine_address}:2376",
        f"{settings.gateway('users')}:8081",
        "127.0.0.1:3128",
    )
    wrong: list[str] = []
    for port in (egress.WORKSHOP_PORT, egress.NOTEBOOK_PORT):
        for place in places:
            for method, target in (("GET", f"http://{place}/"), ("CONNECT", place)):
                status = _ask(settings.proxy_address, port, method, target, place)
                if status != "403":
                    wrong.append(f"{method} {target} through port {port} was answered {status}, not 403")
    return none_wrong(wrong, f"refused: {', '.join(places)}")


def _ask(proxy: str, port: int, method: str, target: str, host: str) -> str:
    """The status of the answer. Raises: CannotTell."""
    try:
        with socket.create_connection((proxy, port), SECONDS) as line:
            line.sendall(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            words = line.recv(256).split()
    except OSError as error:
        raise CannotTell(f"the proxy does not answer at {proxy}:{port}: {error}") from error
    return words[1].decode(errors="replace") if len(words) > 1 else "with nothing"
