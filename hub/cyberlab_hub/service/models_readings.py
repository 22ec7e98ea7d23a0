"""The tables about readings: which code wrote them, how long they are kept, and their means. As `models`, rows only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Index, Integer, LargeBinary, String, event
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.orm import Mapped, mapped_column

from cyberlab_hub.service.models import NAME, USER, LongText, Table, UtcTime

Bytes = LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


class ImageSource(Table):
    """What an image was built from, kept for whoever asks what wrote a reading. See `service.history`."""

    __tablename__ = "image_source"

    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
    owner: Mapped[str] = mapped_column(USER, index=True)
    dockerfile: Mapped[str] = mapped_column(LongText)
    dockerfile_shown: Mapped[str] = mapped_column(LongText)
    """The same without the values of its environment: for those with whom readings are shared."""
    file_list: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """``path``, ``size`` in bytes and ``sha256`` of each file."""
    files: Mapped[bytes | None] = mapped_column(Bytes)
    """`FileEntry` of each as JSON, compressed; None once there were newer ones enough."""
    size: Mapped[int] = mapped_column(Integer)
    """Bytes of `files`."""


class DeploymentEvent(Table):
    """What a deployment was from a moment on. Rows are added, never changed; triggers of revision 0005 see to it."""

    __tablename__ = "deployment_event"
    __table_args__ = (Index("ix_deployment_event_owner_name", "owner", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime)
    event: Mapped[str] = mapped_column(String(16))
    """``starting``, ``running``, ``failed``, ``stopped``."""
    deployment: Mapped[str] = mapped_column(String(32))
    """Its id: the same name again, after a stop, is another deployment."""
    owner: Mapped[str] = mapped_column(USER)
    name: Mapped[str] = mapped_column(NAME)
    image_id: Mapped[int | None] = mapped_column(ForeignKey("image.id"))
    image: Mapped[str] = mapped_column(String(400))
    digest: Mapped[str] = mapped_column(String(80))
    devices: Mapped[list[str]] = mapped_column(JSON)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The `DeploymentSpec` as it was asked for."""


class RetentionRow(Table):
    """How long an owner wants readings kept."""

    __tablename__ = "retention"

    owner: Mapped[str] = mapped_column(USER, primary_key=True)
    days: Mapped[int] = mapped_column(Integer)
    updated: Mapped[datetime] = mapped_column(UtcTime)


class MeansRow(Table):
    """A rule of an owner's: which measurement is made into means. See `service.means`."""

    __tablename__ = "means"

    owner: Mapped[str] = mapped_column(USER, primary_key=True)
    target: Mapped[str] = mapped_column(USER, primary_key=True)
    """The measurement that the means are in."""
    measurement: Mapped[str] = mapped_column(USER)
    every: Mapped[str] = mapped_column(String(8))
    """Length of a window, one of `policy.EVERY`."""
    days: Mapped[int | None] = mapped_column(Integer)
    """How long the means are kept; None: as long as the quota says."""
    active: Mapped[bool] = mapped_column(Boolean)
    """False: no more are made; those there are stay."""
    made_until: Mapped[int | None] = mapped_column(BigInteger)
    """Nanoseconds: every window before has been made at least once."""
    final_until: Mapped[int | None] = mapped_column(BigInteger)
    """Nanoseconds: readings of before were deleted, so windows before are never made again."""
    behind_since: Mapped[datetime | None] = mapped_column(UtcTime)
    """Since when readings that are too old have waited for their means."""
    problem: Mapped[str] = mapped_column(String(400))
    """Why it does not go on; empty when it does."""
    updated: Mapped[datetime] = mapped_column(UtcTime)


@event.listens_for(DeploymentEvent, "before_update")
@event.listens_for(DeploymentEvent, "before_delete")
def _append_only(*_: object) -> None:
    raise RuntimeError("rows of the history are never changed or removed")
