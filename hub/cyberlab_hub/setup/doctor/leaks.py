"""Secrets that are where they must not be. Findings name a secret and a place, never a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from cyberlab_hub.setup.doctor.check import CannotTell, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

BLOCK = 4 * 2**20
NEWEST = 64 * 2**20
"""Bytes of each log that are read, from its end."""
LONGEST = 4096
MEND = (
    "remove the secret's file below {state} and run `make up`, which makes a new one; then find out what wrote it "
    "there, and remove that file too"
)


@check("secrets-logs", "secrets", "No log holds a secret, a key, a join token or a user's token", MEND)
def logs(patient: Patient) -> str:
    values = {**patient.secrets, **join_tokens(patient), **user_tokens(patient)}
    files = log_files(patient)
    wrong = [f"{path} holds {name}" for path in files for name in sorted(held(path, values))]
    return none_wrong(wrong, f"{len(values)} secrets, {len(files)} logs")


def log_files(patient: Patient) -> list[Path]:
    """The logs of the lab's processes and of its containers, older pieces included."""
    found = [path for path in patient.settings.logs.glob("*") if path.is_file()]
    for container in patient.labelled:
        if container.get("LogPath"):
            path = Path(container["LogPath"])
            found += path.parent.glob(f"{path.name}*")
    return sorted(found)


def join_tokens(patient: Patient) -> dict[str, bytes]:
    """How a machine becomes a device or, worse, a manager."""
    tokens = patient.swarm.get("JoinTokens") or {}
    return {
        f"the swarm's join token for a {who.lower()}": str(token).encode() for who, token in tokens.items()
    }


def user_tokens(patient: Patient) -> dict[str, bytes]:
    """The tokens that users' servers hold, in a file or in their environment."""
    found = {
        f"the token of {path.parent.name.rstrip('.')}": path.read_bytes().strip()
        for path in (patient.settings.state / "run" / "tokens").glob("*/token")
    }
    for container in patient.running:
        for entry in container["Config"].get("Env") or ():
            name, _, value = entry.partition("=")
            if name in ("CYBERLAB_TOKEN", "JUPYTERHUB_API_TOKEN") and len(value) >= 8:
                found[f"{name} of {container['Name'].lstrip('/')}"] = value.encode()
    return found


def held(path: Path, values: Mapping[str, bytes]) -> set[str]:
    """Names of the values that are in the file."""
    found: set[str] = set()
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - NEWEST))
            before = b""
            while block := file.read(BLOCK):
                text = before + block
                found |= {name for name, value in values.items() if value in text}
                before = text[-LONGEST:]  # a value may lie across two blocks
    except FileNotFoundError:  # rotated meanwhile
        pass
    return found


@check(
    "secrets-environment",
    "secrets",
    "No container's environment, command or label holds a secret of the lab",
    MEND,
)
def environments(patient: Patient) -> str:
    wrong: list[str] = []
    for container in patient.neighbours:
        config, name = container["Config"], container["Name"].lstrip("/")
        places = {
            "environment": config.get("Env"),
            "command": [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())],
            "labels": list((config.get("Labels") or {}).values()),
        }
        for place, texts in places.items():
            wrong += [
                f"the {place} of {name} holds {secret}" for secret in in_texts(patient.secrets, texts or ())
            ]
    return none_wrong(wrong, f"{len(patient.neighbours)} containers")


@check(
    "secrets-arguments",
    "secrets",
    "No command line on this machine holds a secret: everybody here can read those",
    MEND,
)
def arguments(patient: Patient) -> str:
    values = {**patient.secrets, **user_tokens(patient)}
    wrong = [
        f"the command line of {program.name} (pid {program.pid}) holds {secret}"
        for program in patient.programs
        for secret in in_texts(values, program.argv)
    ]
    if not patient.programs:
        raise CannotTell("/proc lists no programs")
    return none_wrong(wrong, f"{len(patient.programs)} programs")


def in_texts(values: Mapping[str, bytes], texts: list[str] | tuple[str, ...]) -> Iterator[str]:
    whole = "\0".join(map(str, texts)).encode(errors="replace")
    return (name for name, value in values.items() if value in whole)
