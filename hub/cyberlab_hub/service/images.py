"""Images that users have built: which there are, which is meant, which may go."""

from __future__ import annotations

from datetime import datetime

from cyberlab.spec import ImageSpec
from cyberlab.wire import Image
from sqlalchemy import func, select

from cyberlab_hub.errors import Conflict, NotFound
from cyberlab_hub.service import policy
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import DeploymentRow, ImageRow, now
from cyberlab_hub.workshop.orders import BuiltImage, Workshop


class Images:
    """Rows of `image`, and the registry behind them. Every method takes the owner: another's are not there."""

    def __init__(self, database: Database, workshop: Workshop) -> None:
        self._database = database
        self._workshop = workshop

    def of(self, owner: str) -> list[Image]:
        """Newest first."""
        with self._database.session() as session:
            rows = session.scalars(
                select(ImageRow)
                .where(ImageRow.owner == owner, ImageRow.deleted.is_(None))
                .order_by(ImageRow.created.desc(), ImageRow.id.desc())
            ).all()
        return [view(row) for row in rows]

    def count(self, owner: str) -> int:
        wanted = select(func.count()).where(ImageRow.owner == owner, ImageRow.deleted.is_(None))
        with self._database.session() as session:
            return session.scalar(wanted) or 0

    def find(self, owner: str, image: str) -> ImageRow:
        """The image that ``name`` (the newest), ``name:version`` or ``owner/name:version`` means.

        Raises:
            NotFound: ``image-unknown``. SpecRefused: that is no reference to an own image.
        """
        name, version = policy.own_reference(owner, image)
        wanted = select(ImageRow).where(
            ImageRow.owner == owner, ImageRow.name == name, ImageRow.deleted.is_(None)
        )
        if version is not None:
            wanted = wanted.where(ImageRow.version == version)
        with self._database.session() as session:
            row = session.scalars(wanted.order_by(ImageRow.version.desc()).limit(1)).first()
        if row is None:
            raise NotFound("image-unknown", f"You have no image {image}. Build it first.")
        return row

    def same(self, owner: str, name: str, spec_digest: str) -> ImageRow | None:
        """The newest image of that name which came from the same spec."""
        wanted = select(ImageRow).where(
            ImageRow.owner == owner,
            ImageRow.name == name,
            ImageRow.spec_digest == spec_digest,
            ImageRow.deleted.is_(None),
        )
        with self._database.session() as session:
            return session.scalars(wanted.order_by(ImageRow.version.desc()).limit(1)).first()

    def next_version(self, owner: str, name: str) -> int:
        """1, 2, 3 ...: deleted versions count, so that a number never means two things."""
        wanted = select(func.max(ImageRow.version)).where(ImageRow.owner == owner, ImageRow.name == name)
        with self._database.session() as session:
            return (session.scalar(wanted) or 0) + 1

    def add(self, owner: str, spec: ImageSpec, version: int, spec_digest: str, built: BuiltImage) -> ImageRow:
        row = ImageRow(
            owner=owner,
            name=spec.name,
            version=version,
            digest=built.digest,
            spec_digest=spec_digest,
            base=spec.base,
            size_bytes=built.size_bytes,
            spec=spec.model_copy(update={"files": ()}).model_dump(mode="json"),
            created=now(),
        )
        with self._database.session() as session:
            session.add(row)
        return row

    def delete(self, owner: str, name: str, version: int) -> None:
        """Remove it from the list and from the registry.

        Raises:
            NotFound: ``image-unknown``. Conflict: ``image-in-use``. PartDown: ``registry-down``.
        """
        row = self.find(owner, f"{name}:{version}")
        with self._database.session() as session:
            used_by = session.scalars(
                select(DeploymentRow.name).where(
                    DeploymentRow.owner == owner, DeploymentRow.image_id == row.id
                )
            ).all()
            twins = session.scalar(
                select(func.count()).where(
                    ImageRow.owner == owner,
                    ImageRow.name == name,
                    ImageRow.digest == row.digest,
                    ImageRow.id != row.id,
                    ImageRow.deleted.is_(None),
                )
            )
        if used_by:
            raise Conflict(
                "image-in-use",
                f"{name}:{version} is deployed as {', '.join(used_by)}. Stop that first, then delete the image.",
            )
        if not twins:  # another version with the same content needs the manifest
            self._workshop.delete_image(repository(row), row.digest)
        self._mark_deleted(row.id, now())

    def _mark_deleted(self, image: int, at: datetime) -> None:
        with self._database.session() as session:
            row = session.get(ImageRow, image)
            if row is not None:
                row.deleted = at


def repository(row: ImageRow) -> str:
    """``owner/name`` in the registry. Both are safe there: `policy.owner_allowed`, `names.is_name`."""
    return f"{row.owner}/{row.name}"


def reference(row: ImageRow) -> str:
    """``owner/name:version``."""
    return f"{row.owner}/{row.name}:{row.version}"


def view(row: ImageRow) -> Image:
    return Image(
        owner=row.owner,
        name=row.name,
        version=row.version,
        digest=row.digest,
        spec_digest=row.spec_digest,
        size_mb=round(row.size_bytes / 1e6),
        created=row.created,
        base=row.base,
    )
