"""Deployments: an image on a selection of devices, with its own secrets; one Swarm service each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from cyberlab.spec import DeploymentSpec, ImageSpec
from cyberlab.spec.run import ports_of
from cyberlab.wire import Deployment, Device, Job, JobKind, Phase, TaskView
from sqlalchemy import select

from cyberlab_hub.errors import Conflict, HubError, NotFound
from cyberlab_hub.ingest.store import Store
from cyberlab_hub.service import policy
from cyberlab_hub.service.catalogue import CatalogueShelf
from cyberlab_hub.service.credentials import Credentials
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.history import History
from cyberlab_hub.service.images import Images, reference, repository
from cyberlab_hub.service.jobs import Jobs
from cyberlab_hub.service.line import Outcome
from cyberlab_hub.service.models import DeploymentRow, ImageRow, now
from cyberlab_hub.service.progress import JobProgress
from cyberlab_hub.service.quotas import Quotas
from cyberlab_hub.workshop.orders import DeploymentState, DeployOrder, LogLine, Workshop

CANCEL_SECONDS = 15.0
"""How long a removal waits for a deployment that is just being started."""


@dataclass(frozen=True)
class Deployments:
    database: Database
    jobs: Jobs
    images: Images
    catalogue: CatalogueShelf
    credentials: Credentials
    workshop: Workshop
    store: Store
    quotas: Quotas
    history: History

    # ------------------------------------------------------------ deploying
    def start(self, owner: str, spec: DeploymentSpec) -> Job:
        """Queue a deployment; the same name again updates it in place.

        Raises:
            SpecRefused: with every problem. NotFound: ``image-unknown``.
            OverQuota: ``quota-deploys``, ``quota-deployments``, ``quota-devices``. PartDown: ``swarm-down``.
        """
        selected = policy.deployable(owner, spec, self.workshop.devices())
        image = self.images.find(owner, spec.image)
        allowed = self.quotas.all_of(owner)
        devices = frozenset(device.name for device in selected)
        with self.quotas.admission(owner):
            # first those under way, then those there: one that ends in between is counted twice, never not at all
            under_way = self.jobs.live(owner, JobKind.DEPLOY)
            policy.within(allowed["deploys"], len(under_way))
            there = self.occupied(owner)
            for lane, claims in under_way:
                there[lane] = there.get(lane, frozenset()) | claims
            if _lane(spec.name) not in there:
                policy.within(allowed["deployments"], len(there))
            policy.devices_within(allowed["devices"], frozenset().union(*there.values()), devices)
            return self.jobs.submit(
                JobKind.DEPLOY,
                owner,
                spec.name,
                lambda progress: self._deploy(owner, spec, image, selected, progress),
                lane=_lane(spec.name),
                claims=devices,
            )

    def occupied(self, owner: str) -> dict[str, frozenset[str]]:
        """The devices of each of the owner's deployments, by lane."""
        with self.database.session() as session:
            rows = session.scalars(select(DeploymentRow).where(DeploymentRow.owner == owner)).all()
        return {_lane(row.name): frozenset(row.devices) for row in rows}

    def _deploy(
        self,
        owner: str,
        spec: DeploymentSpec,
        image: ImageRow,
        selected: tuple[Device, ...],
        progress: JobProgress,
    ) -> Outcome:
        self.images.find(owner, reference(image))  # it may have been deleted while this job waited
        devices = [device.name for device in selected]
        progress.phase(Phase.PREPARING, f"{reference(image)} on {', '.join(devices)}")
        before = self._row(owner, spec.name)
        row = before or self._added(owner, spec, image, devices)
        self.store.ensure_owner(owner)
        made = self.credentials.issue(row.id, owner, spec.name, devices, repository(image))
        order = DeployOrder(
            job=progress.job,
            owner=owner,
            name=spec.name,
            deployment=row.id,
            repository=repository(image),
            digest=image.digest,
            image=reference(image),
            node_ids=tuple(device.id for device in selected),
            command=spec.command,
            env=tuple(sorted(spec.env.items())),
            ports=ports_of(ImageSpec.model_validate(image.spec), self.catalogue.plain()),
            token=made.token,
            pull_user=made.pull_user,
            pull_password=made.pull_password,
        )
        told = (row.id, owner, spec.name, image, spec, devices)
        self.history.note("starting", *told)  # before the first container can write
        try:
            self.workshop.deploy(order, progress)
        except HubError:
            if before is None:
                self._undo_first(row, cancelled=progress.cancelled)
            else:
                self.history.note("failed", *told)
            raise
        self._updated(row.id, spec, image, devices)
        self.history.note("running", *told)
        self.credentials.revoke(row.id, keep=made)
        return Outcome({"deployment": spec.name, "devices": devices, "image": reference(image)})

    def _undo_first(self, row: DeploymentRow, *, cancelled: bool) -> None:
        """A first deployment that failed stays as far as it got, so that its tasks say why; a cancelled one goes."""
        if cancelled:
            self.workshop.remove_deployment(row.owner, row.name)
        elif any(state.name == row.name for state in self.workshop.deployments(row.owner)):
            return  # what did start may go on writing
        self.history.note("stopped", row.id, row.owner, row.name)
        self._forget(row)

    # ------------------------------------------------------------ looking
    def of(self, owner: str) -> list[Deployment]:
        """By name. What the swarm runs for the owner is listed even when the database does not know it."""
        with self.database.session() as session:
            rows = session.scalars(select(DeploymentRow).where(DeploymentRow.owner == owner)).all()
        known = {row.name: row for row in rows}
        states = {state.name: state for state in self.workshop.deployments(owner)}
        return [_view(owner, name, known.get(name), states.get(name)) for name in sorted(known | states)]

    def get(self, owner: str, name: str) -> Deployment:
        """Raises:
        NotFound: ``deployment-unknown``. PartDown: ``swarm-down``.
        """
        found = next((deployment for deployment in self.of(owner) if deployment.name == name), None)
        if found is None:
            raise _unknown(name)
        return found

    def logs(self, owner: str, name: str, tail: int, follow: bool) -> Iterator[LogLine]:
        """Raises:
        NotFound: ``deployment-unknown``. PartDown: ``swarm-down``.
        """
        if self._row(owner, name) is None:
            raise _unknown(name)
        return self.workshop.deployment_logs(owner, name, tail, follow)

    # ------------------------------------------------------------ stopping
    def remove(self, owner: str, name: str) -> None:
        """Stop it everywhere and end its secrets. One that is just being started is cancelled first.

        Raises:
            NotFound: ``deployment-unknown``. Conflict: ``deployment-busy``. PartDown: ``swarm-down``.
        """
        starting = self.jobs.active(owner, _lane(name))
        for job in starting:
            self.jobs.cancel(owner, job)
            if not self.jobs.wait(job, CANCEL_SECONDS):
                raise Conflict(
                    "deployment-busy",
                    f"{name} is just being started and does not stop yet. Try again in a minute.",
                )
        row = self._row(owner, name)
        running = any(state.name == name for state in self.workshop.deployments(owner))
        if row is None and not running and not starting:
            raise _unknown(name)
        self.workshop.remove_deployment(owner, name)
        if row is not None:
            self.history.note("stopped", row.id, owner, name)
            self._forget(row)

    def _forget(self, row: DeploymentRow) -> None:
        self.credentials.revoke(row.id)
        with self.database.session() as session:
            session.delete(row)

    # ------------------------------------------------------------ rows
    def _row(self, owner: str, name: str) -> DeploymentRow | None:
        wanted = select(DeploymentRow).where(DeploymentRow.owner == owner, DeploymentRow.name == name)
        with self.database.session() as session:
            return session.scalars(wanted).one_or_none()

    def _added(self, owner: str, spec: DeploymentSpec, image: ImageRow, devices: list[str]) -> DeploymentRow:
        row = DeploymentRow(id=f"d{secrets.token_hex(5)}", owner=owner, name=spec.name, created=now())
        _fill(row, spec, image, devices)
        with self.database.session() as session:
            session.add(row)
        return row

    def _updated(self, deployment: str, spec: DeploymentSpec, image: ImageRow, devices: list[str]) -> None:
        with self.database.session() as session:
            _fill(session.get_one(DeploymentRow, deployment), spec, image, devices)


def _fill(row: DeploymentRow, spec: DeploymentSpec, image: ImageRow, devices: list[str]) -> None:
    row.image_id, row.image, row.digest = image.id, reference(image), image.digest
    row.devices, row.spec, row.updated = devices, spec.model_dump(mode="json"), now()


def _lane(name: str) -> str:
    return f"deployment {name}"


def _unknown(name: str) -> NotFound:
    return NotFound("deployment-unknown", f"You have no deployment named {name}.")


def _view(owner: str, name: str, row: DeploymentRow | None, state: DeploymentState | None) -> Deployment:
    tasks = state.tasks if state else ()
    if row is None:
        since = min((task.since for task in tasks if task.since), default=now())
        devices = tuple(sorted({task.device for task in tasks}))
        image = state.image if state else ""
        return Deployment(
            owner=owner,
            name=name,
            image=image,
            digest="",
            devices=devices,
            tasks=tasks,
            created=since,
            updated=since,
        )
    if state is None:
        gone = "It is not on the devices any more. Deploy it again, or remove it."
        tasks = tuple(TaskView(device=device, state="stopped", message=gone) for device in row.devices)
    return Deployment(
        owner=owner,
        name=name,
        image=state.image if state else row.image,
        digest=row.digest,
        devices=tuple(row.devices),
        tasks=tasks,
        created=row.created,
        updated=row.updated,
    )
