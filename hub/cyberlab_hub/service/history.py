"""Which code wrote a reading: the history of deployments, and what their images were built from.

A reading carries the name of its deployment and a time. A deployment of one name is updated, stopped and made again, so
each change is a row of `deployment_event`, which is only added to. A version is in force from the moment its roll-out
begins until the next one runs everywhere (or it is stopped): in between both may have written, and both are told.

Files of images are kept up to `SOURCE_BYTES` for each owner; older ones then keep their names and hashes only, or
building without end would fill the lab's database.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cyberlab.spec import DeploymentSpec, ImageSpec
from cyberlab.spec.dockerfile import render
from cyberlab.spec.files import content
from cyberlab.spec.image import FileEntry
from cyberlab.wire import Catalogue
from cyberlab.wire_origin import HIDDEN, Origin, Source, SourceFile
from sqlalchemy import func, select

from cyberlab_hub.errors import NotFound
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import ImageRow, now
from cyberlab_hub.service.models_readings import DeploymentEvent, ImageSource

SOURCE_BYTES = 256 * 2**20
"""Compressed, for each owner."""
NOTEBOOK = "notebook"


@dataclass(frozen=True)
class Version:
    """One row of the history with the time in which it was in force."""

    row: DeploymentEvent
    until: datetime | None = None
    stopped: bool = False


class History:
    """Safe to use from every thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ------------------------------------------------------------ keeping
    def keep_source(self, image: ImageRow, spec: ImageSpec, dockerfile: str, catalogue: Catalogue) -> None:
        """Keep what `image` was built from."""
        masked = spec.model_copy(update={"env": dict.fromkeys(spec.env, HIDDEN)})
        packed = zlib.compress(json.dumps([file.model_dump(mode="json") for file in spec.files]).encode())
        with self._database.session() as session:
            session.add(
                ImageSource(
                    image_id=image.id,
                    owner=image.owner,
                    dockerfile=dockerfile,
                    dockerfile_shown=render(masked, catalogue),
                    file_list=[_listed(file).model_dump() for file in spec.files],
                    files=packed,
                    size=len(packed),
                )
            )
        self._make_room(image.owner)

    def _make_room(self, owner: str) -> None:
        held = select(func.coalesce(func.sum(ImageSource.size), 0)).where(
            ImageSource.owner == owner, ImageSource.files.is_not(None)
        )
        with self._database.session() as session:
            while (session.scalar(held) or 0) > SOURCE_BYTES:
                oldest = session.scalars(
                    select(ImageSource)
                    .where(ImageSource.owner == owner, ImageSource.files.is_not(None))
                    .order_by(ImageSource.image_id)
                    .limit(1)
                ).one()
                oldest.files = None
                session.flush()

    def note(
        self,
        event: str,
        deployment: str,
        owner: str,
        name: str,
        image: ImageRow | None = None,
        spec: DeploymentSpec | None = None,
        devices: Sequence[str] = (),
    ) -> None:
        """Add one row: what the deployment is from now on."""
        with self._database.session() as session:
            session.add(
                DeploymentEvent(
                    at=now(),
                    event=event,
                    deployment=deployment,
                    owner=owner,
                    name=name,
                    image_id=image.id if image else None,
                    image=f"{image.owner}/{image.name}:{image.version}" if image else "",
                    digest=image.digest if image else "",
                    devices=list(devices),
                    spec=spec.model_dump(mode="json") if spec else {},
                )
            )

    # ------------------------------------------------------------ telling
    def origins(
        self,
        owner: str,
        deployment: str,
        *,
        start: datetime,
        stop: datetime,
        devices: frozenset[str],
        own: bool,
    ) -> list[Origin]:
        """Every version of the deployment that was in force between `start` and `stop` (both included), oldest first.

        Args:
            devices: only versions that ran on one of these; empty: on any.
            own: whether the owner asks: others do not see environment values.

        Raises:
            NotFound: ``origin-unknown``: nothing of that name was deployed then.
        """
        if deployment == NOTEBOOK:
            return [Origin(kind="notebook", author=owner, deployment=NOTEBOOK)]
        wanted = (
            select(DeploymentEvent)
            .where(DeploymentEvent.owner == owner, DeploymentEvent.name == deployment)
            .order_by(DeploymentEvent.id)
        )
        with self._database.session() as session:
            rows = session.scalars(wanted).all()
            found = [
                version
                for version in versions(rows)
                if version.row.at <= stop
                and (version.until is None or version.until >= start)
                and (not devices or devices & set(version.row.devices))
            ]
            images = {
                version.row.image_id: (
                    session.get(ImageRow, version.row.image_id),
                    session.get(ImageSource, version.row.image_id),
                )
                for version in found
            }
        if not found:
            raise _unknown()
        return [_origin(version, *images[version.row.image_id], own=own) for version in found]

    def source(self, owner: str, version: int) -> Source:
        """The files of one version of the history.

        Raises:
            NotFound: ``origin-unknown``; ``source-gone``: they are not kept (any more).
        """
        with self._database.session() as session:
            row = session.get(DeploymentEvent, version)
            kept = session.get(ImageSource, row.image_id) if row and row.image_id else None
        if row is None or row.owner != owner:
            raise _unknown()
        if kept is None or kept.files is None:
            raise NotFound(
                "source-gone",
                f"The files of {row.image} are not kept any more; their names and hashes are in the provenance.",
            )
        files = json.loads(zlib.decompress(kept.files))
        return Source(image=row.image, files=tuple(FileEntry.model_validate(file) for file in files))


def versions(rows: Iterable[DeploymentEvent]) -> list[Version]:
    """The versions that the rows of one name tell of, and when each ended. Pure."""
    ended: dict[int, Version] = {}
    open_: list[DeploymentEvent] = []
    last_start: dict[str, DeploymentEvent] = {}
    for row in rows:
        if row.event == "starting":
            open_.append(row)
            last_start[row.deployment] = row
            continue
        begun = last_start.pop(row.deployment, None)
        if row.event == "failed":  # what ran before goes on
            going = [begun] if begun else []
        elif row.event == "running":
            going = [one for one in open_ if one is not begun]
            if begun is None:  # from before there was a history
                open_.append(row)
        else:
            going = list(open_)
        for one in going:
            ended[one.id] = Version(one, row.at, stopped=row.event == "stopped")
            open_.remove(one)
    together = [*ended.values(), *(Version(one) for one in open_)]
    return sorted(together, key=lambda version: version.row.id)


def _origin(version: Version, image: ImageRow | None, source: ImageSource | None, *, own: bool) -> Origin:
    row = version.row
    dockerfile = "" if source is None else source.dockerfile if own else source.dockerfile_shown
    return Origin(
        kind="deployment",
        author=row.owner,
        deployment=row.name,
        version=row.id,
        since=row.at,
        until=version.until,
        stopped=version.stopped,
        image=row.image,
        digest=row.digest,
        devices=tuple(row.devices),
        built=image.created if image else None,
        base=image.base if image else "",
        spec=_seen(image.spec if image else {}, own=own),
        deployed=_seen(row.spec, own=own),
        dockerfile=dockerfile,
        files=tuple(SourceFile.model_validate(file) for file in (source.file_list if source else ())),
    )


def _seen(spec: dict[str, object], *, own: bool) -> dict[str, object]:
    """A spec without ``files``, and for others than its owner without the values of its environment."""
    plain = {key: value for key, value in spec.items() if key != "files"}
    env = plain.get("env")
    if not own and isinstance(env, dict):
        plain["env"] = dict.fromkeys(env, HIDDEN)
    return plain


def _listed(file: FileEntry) -> SourceFile:
    data = content(file)
    return SourceFile(path=file.path, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _unknown() -> NotFound:
    return NotFound("origin-unknown", "No such deployment is known for that time.")
