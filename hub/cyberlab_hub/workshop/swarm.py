"""Deployments as Swarm services: made, updated in place, listed and removed.

A failed update leaves no trace: the version before runs again on the devices it ran on. A first deployment that fails
stays as far as it got, so that its tasks and logs can say why.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal

from cyberlab.wire import Phase, TaskView

from cyberlab_hub.errors import Cancelled, Conflict, NotFound, WorkFailed
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import service_spec as spec
from cyberlab_hub.workshop.engine import Engine, filters, registry_auth
from cyberlab_hub.workshop.nodes import ATTEMPTS, Nodes, name_of, selector, state_of
from cyberlab_hub.workshop.orders import DeploymentState, DeployOrder, Progress
from cyberlab_hub.workshop.registry import Registry
from cyberlab_hub.workshop.rollout import Rollout, task_words

_STATES: dict[str, Literal["waiting", "starting", "running", "stopped", "failed", "away"]] = {
    "new": "waiting",
    "allocated": "waiting",
    "pending": "waiting",
    "assigned": "waiting",
    "accepted": "waiting",
    "preparing": "starting",
    "ready": "starting",
    "starting": "starting",
    "running": "running",
    "complete": "stopped",
    "shutdown": "stopped",
    "remove": "stopped",
    "failed": "failed",
    "rejected": "failed",
    "orphaned": "away",
}


class Swarm:
    def __init__(self, engine: Engine, nodes: Nodes, registry: Registry, settings: Settings) -> None:
        self._engine = engine
        self._nodes = nodes
        self._registry = registry
        self._settings = settings

    # ------------------------------------------------------------ deploy
    def deploy(self, order: DeployOrder, progress: Progress) -> None:
        """Create or update the service and wait for every device. See `Workshop.deploy`."""
        progress.phase(Phase.STARTING)
        if not self._registry.exists(order.repository, order.digest):
            raise WorkFailed(
                "deploy-failed", f"The image {order.image} is not in the registry any more. Build it again."
            )
        before = self._find(deployment=order.deployment)
        selected_before = self._nodes.selected(order.deployment)
        token = self._ensure_secret(order)
        wanted = spec.service_spec(self._settings, order, token, self._ensure_authority())
        try:
            service = self._update(before[0]["ID"], wanted, order) if before else self._create(wanted, order)
            Rollout(self._engine, self._nodes, service, order.job, order.node_ids).wait(progress)
        except (WorkFailed, Cancelled) as error:
            if not before:
                if not self._find(deployment=order.deployment):
                    self._forget(order.deployment)
                raise
            self._put_back(before[0]["ID"], order, selected_before, token)
            if isinstance(error, Cancelled):
                raise
            raise WorkFailed(
                error.code, f"{error.message} The version before runs again.", error.problems
            ) from error
        self._drop_secrets(order.deployment, keep=token.id)
        progress.phase(Phase.RUNNING)

    def _create(self, wanted: dict[str, Any], order: DeployOrder) -> str:
        # labels first: then every task starts at once
        self._nodes.select(order.deployment, order.node_ids)
        made = self._engine.call("POST", "/services/create", body=wanted, headers=self._auth(order))
        return str(made["ID"])

    def _update(self, service: str, wanted: dict[str, Any], order: DeployOrder) -> str:
        # a device that joins sees the new version only, one that leaves does not start it
        self._nodes.keep_only(order.deployment, order.node_ids)
        self._post_update(service, lambda _current: wanted, headers=self._auth(order))
        self._nodes.select(order.deployment, order.node_ids)
        return service

    def _post_update(
        self,
        service: str,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        rollback: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Services are versioned; Swarm itself may change one in between (a rollback): then read again."""
        for attempt in range(1, ATTEMPTS + 1):
            current = self._engine.call("GET", f"/services/{service}")
            params = {
                "version": current["Version"]["Index"],
                **({"rollback": "previous"} if rollback else {}),
            }
            body = change(current["Spec"])
            try:
                self._engine.call(
                    "POST", f"/services/{service}/update", params=params, body=body, headers=headers
                )
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    def _put_back(self, service: str, order: DeployOrder, nodes: tuple[str, ...], token: spec.Kept) -> None:
        current = self._engine.call("GET", f"/services/{service}")
        labels = current["Spec"]["TaskTemplate"]["ContainerSpec"].get("Labels") or {}
        # Swarm may have rolled it back already
        if labels.get(spec.JOB) == order.job and current.get("PreviousSpec"):
            self._post_update(service, lambda now: now, rollback=True)
        self._nodes.keep_only(order.deployment, nodes)
        self._nodes.select(order.deployment, nodes)
        with suppress(NotFound, Conflict, WorkFailed):  # in use, when both versions had the same token
            self._engine.call("DELETE", f"/secrets/{token.id}")

    # ------------------------------------------------------------ look and remove
    def deployments(self, owner: str | None = None) -> tuple[DeploymentState, ...]:
        services = self._find(owner=owner)
        if not services:
            return ()
        nodes = {node["ID"]: node for node in self._nodes.all()}
        tasks: dict[str, list[dict[str, Any]]] = {service["ID"]: [] for service in services}
        for task in self._engine.call("GET", "/tasks", params=filters(service=list(tasks))):
            tasks[task["ServiceID"]].append(task)
        return tuple(self._state(service, tasks[service["ID"]], nodes) for service in services)

    def find_one(self, owner: str, name: str) -> str:
        """The service's id. Raises NotFound (``deployment-unknown``)."""
        found = self._find(owner=owner, name=name)
        if not found:
            raise NotFound("deployment-unknown", f"You have no deployment named {name}.")
        return str(found[0]["ID"])

    def remove(self, owner: str, name: str) -> None:
        """Stop it everywhere and remove its secrets and labels. One that is gone already is no error."""
        for service in self._find(owner=owner, name=name):
            deployment = service["Spec"]["Labels"][spec.DEPLOYMENT]
            with suppress(NotFound):
                self._engine.call("DELETE", f"/services/{service['ID']}")
            self._forget(deployment)

    def _forget(self, deployment: str) -> None:
        """Remove what a deployment without a service leaves behind."""
        self._drop_secrets(deployment)
        self._nodes.keep_only(deployment, ())

    def sweep(self) -> None:
        """Remove secrets and node labels of deployments that are no more."""
        services = self._engine.call("GET", "/services", params=filters(label=spec.DEPLOYMENT))
        alive = {service["Spec"]["Labels"][spec.DEPLOYMENT] for service in services}
        for secret in self._mine("/secrets"):
            deployment = secret["Spec"]["Labels"].get(spec.DEPLOYMENT, "")
            if deployment not in alive:
                self._drop_secrets(deployment)
        self._nodes.sweep(alive)

    def _state(
        self, service: dict[str, Any], tasks: list[dict[str, Any]], nodes: dict[str, dict[str, Any]]
    ) -> DeploymentState:
        labels = service["Spec"]["Labels"]
        deployment = labels[spec.DEPLOYMENT]
        newest = _newest(tasks)
        chosen = {
            i: node for i, node in nodes.items() if selector(deployment) in (node["Spec"].get("Labels") or {})
        }
        views = [_view(node, newest.get(i)) for i, node in chosen.items()]
        return DeploymentState(
            owner=labels[spec.OWNER],
            name=labels[spec.NAME],
            deployment=deployment,
            image=labels[spec.IMAGE],
            tasks=tuple(sorted(views, key=lambda view: view.device)),
        )

    def _find(
        self, *, deployment: str = "", owner: str | None = None, name: str = ""
    ) -> list[dict[str, Any]]:
        wanted = {spec.DEPLOYMENT: deployment, spec.OWNER: owner, spec.NAME: name}
        return self._mine("/services", *(f"{key}={value}" for key, value in wanted.items() if value))

    def _mine(self, path: str, *labels: str) -> list[dict[str, Any]]:
        """What of this lab the swarm has."""
        mine = [f"{spec.LAB}={self._settings.name}", *labels]
        if path == "/services":
            found: list[dict[str, Any]] = self._engine.call("GET", path, params=filters(label=mine))
            return found
        # secrets and configs are filtered by any of the labels, services by all
        return [
            kept
            for kept in self._engine.call("GET", path, params=filters(label=mine[0]))
            if set(mine) <= {f"{key}={value}" for key, value in (kept["Spec"].get("Labels") or {}).items()}
        ]

    # ------------------------------------------------------------ secrets and the lab's authority
    def _ensure_secret(self, order: DeployOrder) -> spec.Kept:
        name = spec.secret_name(self._settings, order)
        return self._ensure_kept("/secrets", name, order.token.encode(), spec.labels(self._settings, order))

    def _ensure_authority(self) -> spec.Kept:
        authority = (self._settings.certs / "ca.crt").read_bytes()
        name = spec.config_name(self._settings, authority)
        return self._ensure_kept("/configs", name, authority, {spec.LAB: self._settings.name})

    def _ensure_kept(self, path: str, name: str, data: bytes, labels: dict[str, str]) -> spec.Kept:
        body = {"Name": name, "Labels": labels, "Data": base64.b64encode(data).decode()}
        try:
            made = self._engine.call("POST", f"{path}/create", body=body)["ID"]
        except Conflict:  # the name contains a hash of the content: it is the same
            made = self._engine.call("GET", f"{path}/{name}")["ID"]
        return spec.Kept(str(made), name)

    def _drop_secrets(self, deployment: str, keep: str = "") -> None:
        for secret in self._mine("/secrets", f"{spec.DEPLOYMENT}={deployment}"):
            if secret["ID"] != keep:
                with suppress(NotFound):
                    self._engine.call("DELETE", f"/secrets/{secret['ID']}")

    def _auth(self, order: DeployOrder) -> dict[str, str]:
        return registry_auth(order.pull_user, order.pull_password, self._settings.registry)


def _newest(tasks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Node id -> the task that tells how it stands there: the newest, or the failed one whose successor waits."""
    found: dict[str, dict[str, Any]] = {}
    for task in sorted(tasks, key=lambda t: str(t["CreatedAt"])):
        before = found.get(task.get("NodeID", ""))
        waits = task["DesiredState"] == "ready"
        if before is None or not (waits and _STATES.get(before["Status"]["State"]) in ("failed", "stopped")):
            found[task.get("NodeID", "")] = task
    return found


def _view(node: dict[str, Any], task: dict[str, Any] | None) -> TaskView:
    device = name_of(node)
    if state_of(node) == "away":
        return TaskView(device=device, state="away", message="the device does not answer")
    if task is None:
        return TaskView(device=device, state="waiting")
    state = _STATES.get(task["Status"]["State"], "waiting")
    told = state in ("failed", "stopped") or task["Status"].get("Err")
    since = datetime.fromisoformat(task["Status"]["Timestamp"])
    return TaskView(device=device, state=state, message=task_words(task) if told else "", since=since)
