"""An `Engine` that answers from a script: for what the swarm says in which order."""

from __future__ import annotations

from typing import Any

from cyberlab_hub.workshop.service_spec import JOB


class ScriptedEngine:
    """`answers` maps a path to an answer, or to a list of answers given one after the other (the last one stays)."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {f"/{path}": answer for path, answer in answers.items()}
        self.calls: list[tuple[str, str]] = []

    def call(self, method: str, path: str, **_more: Any) -> Any:
        self.calls.append((method, path))
        answer = self.answers["/" + path.split("/")[1]]
        if isinstance(answer, Script):
            return answer.next()
        return answer


class Script:
    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def next(self) -> Any:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def node(number: int, state: str = "ready", availability: str = "active", **labels: str) -> dict[str, Any]:
    return {
        "ID": f"n{number}",
        "Spec": {"Role": "worker", "Availability": availability, "Labels": {"enrolled": "1", **labels}},
        "Description": {
            "Hostname": f"pi{number:02}",
            "Platform": {"Architecture": "aarch64", "OS": "linux"},
            "Resources": {"NanoCPUs": 4_000_000_000, "MemoryBytes": 4 * 2**30},
        },
        "Status": {"State": state, "Addr": f"10.0.0.{number}"},
    }


def task(
    number: int, state: str, *, name: str = "t1", code: int | None = None, err: str = "", **more: Any
) -> dict[str, Any]:
    status: dict[str, Any] = {"State": state, "Err": err, "Timestamp": "2026-01-01T00:00:00.123456789Z"}
    if code is not None:
        status["ContainerStatus"] = {"ExitCode": code}
    return {
        "ID": f"{name}-{number}",
        "NodeID": f"n{number}",
        "ServiceID": "s1",
        "CreatedAt": f"2026-01-01T00:00:00.{name}Z",
        "DesiredState": "running",
        "Version": {"Index": 1},
        "Status": status,
        "Spec": {"ContainerSpec": {"Labels": {JOB: "j1"}}},
        **more,
    }
