"""The tables of the lab's database. Rows only: what may be written is decided elsewhere.

Everything a user owns carries `owner`. Times are UTC. Of tokens and passwords only SHA-256 hashes are kept:
they are long random strings, so a slow hash would add nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
)
from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def now() -> datetime:
    """The time, in UTC. The one clock of the service, so that a test can travel."""
    return datetime.now(UTC)


class UtcTime(TypeDecorator[datetime]):
    """A moment, kept as naive UTC with microseconds: SQLite has no zones and MariaDB drops them."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        kind = DATETIME(fsp=6) if dialect.name in ("mysql", "mariadb") else DateTime()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else value.replace(tzinfo=UTC)


LongText = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
"""MariaDB's TEXT ends at 64 KB."""

USER = String(255)
NAME = String(64)


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# ---------------------------------------------------------------- catalogue
class CatalogueBase(Table):
    """A base image that the form offers."""

    __tablename__ = "catalogue_base"

    name: Mapped[str] = mapped_column(NAME, primary_key=True)
    position: Mapped[int]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    """`wire.Base` without what the workshop knows (ready, size, versions)."""
    seeded: Mapped[bool] = mapped_column(Boolean, default=True)
    """From the packaged file: follows it at every start. False: the operator's own, left alone."""


class CatalogueScenario(Table):
    """A way to run an image."""

    __tablename__ = "catalogue_scenario"

    name: Mapped[str] = mapped_column(NAME, primary_key=True)
    position: Mapped[int]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    """`wire.Scenario`."""
    seeded: Mapped[bool] = mapped_column(Boolean, default=True)


class CatalogueSetting(Table):
    """What is neither a base nor a scenario: ``device_profiles``, ``limits``."""

    __tablename__ = "catalogue_setting"

    name: Mapped[str] = mapped_column(NAME, primary_key=True)
    data: Mapped[Any] = mapped_column(JSON)
    seeded: Mapped[bool] = mapped_column(Boolean, default=True)


# ---------------------------------------------------------------- what users make
class SavedSpecRow(Table):
    __tablename__ = "saved_spec"

    owner: Mapped[str] = mapped_column(USER, primary_key=True)
    name: Mapped[str] = mapped_column(NAME, primary_key=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    updated: Mapped[datetime] = mapped_column(UtcTime)


class ImageRow(Table):
    """A built image. Deleted ones stay as rows, so that a version number is never given twice."""

    __tablename__ = "image"
    __table_args__ = (UniqueConstraint("owner", "name", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(USER)
    name: Mapped[str] = mapped_column(NAME)
    version: Mapped[int]
    digest: Mapped[str] = mapped_column(String(80))
    """Registry manifest digest, ``sha256:...``."""
    spec_digest: Mapped[str] = mapped_column(String(80), index=True)
    base: Mapped[str] = mapped_column(NAME)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What it was built from, without its files: command, environment and ports are read from here."""
    created: Mapped[datetime] = mapped_column(UtcTime)
    deleted: Mapped[datetime | None] = mapped_column(UtcTime)


class DeploymentRow(Table):
    __tablename__ = "deployment"
    __table_args__ = (UniqueConstraint("owner", "name"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """Safe in labels and service names."""
    owner: Mapped[str] = mapped_column(USER)
    name: Mapped[str] = mapped_column(NAME)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    image: Mapped[str] = mapped_column(String(400))
    """``owner/name:version``."""
    digest: Mapped[str] = mapped_column(String(80))
    devices: Mapped[list[str]] = mapped_column(JSON)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The `DeploymentSpec` as it was asked for."""
    created: Mapped[datetime] = mapped_column(UtcTime)
    updated: Mapped[datetime] = mapped_column(UtcTime)


class ShareRow(Table):
    """`reader` may read the database of `owner`."""

    __tablename__ = "share"

    owner: Mapped[str] = mapped_column(USER, primary_key=True)
    reader: Mapped[str] = mapped_column(USER, primary_key=True, index=True)
    created: Mapped[datetime] = mapped_column(UtcTime)


# ---------------------------------------------------------------- quotas
class QuotaRow(Table):
    """What an administrator gave a user or a group instead of the default."""

    __tablename__ = "quota"

    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    """``user`` or ``group``."""
    subject: Mapped[str] = mapped_column(USER, primary_key=True)
    """Name of the user or of the hub's group."""
    quota: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
    updated: Mapped[datetime] = mapped_column(UtcTime)


class MembershipRow(Table):
    """The hub's groups of a user, as the hub last said: who has no token at hand reads them here."""

    __tablename__ = "membership"

    owner: Mapped[str] = mapped_column(USER, primary_key=True)
    member_of: Mapped[list[str]] = mapped_column(JSON)
    seen: Mapped[datetime] = mapped_column(UtcTime)


# ---------------------------------------------------------------- jobs
class JobRow(Table):
    __tablename__ = "job"
    __table_args__ = (Index("ix_job_owner_created", "owner", "created"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    owner: Mapped[str] = mapped_column(USER)
    name: Mapped[str] = mapped_column(NAME)
    phase: Mapped[str] = mapped_column(String(16), index=True)
    created: Mapped[datetime] = mapped_column(UtcTime)
    started: Mapped[datetime | None] = mapped_column(UtcTime)
    finished: Mapped[datetime | None] = mapped_column(UtcTime)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """`wire.ErrorInfo`."""
    result: Mapped[dict[str, Any]] = mapped_column(JSON)


class JobEventRow(Table):
    __tablename__ = "job_event"

    job: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """1, 2, 3 ... within the job."""
    at: Mapped[datetime] = mapped_column(UtcTime)
    kind: Mapped[str] = mapped_column(String(8))
    phase: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(LongText)
    step: Mapped[int | None]
    steps: Mapped[int | None]


# ---------------------------------------------------------------- credentials
class IngestToken(Table):
    """Who may send readings: one for each deployment, each device's agent, each thing of an owner's."""

    __tablename__ = "ingest_token"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the token, hex."""
    kind: Mapped[str] = mapped_column(String(16))
    """``deployment``, ``device`` or ``thing``."""
    owner: Mapped[str] = mapped_column(USER)
    """A user, or ``fleet`` for the agents of devices: whose database the points go into."""
    deployment: Mapped[str | None] = mapped_column(String(32), index=True)
    """Id of the deployment; None for the others."""
    name: Mapped[str] = mapped_column(NAME)
    """Name of the deployment, the device or the thing."""
    devices: Mapped[list[str]] = mapped_column(JSON)
    """Names of the devices that may use it."""
    created: Mapped[datetime] = mapped_column(UtcTime)
    revoked: Mapped[datetime | None] = mapped_column(UtcTime)
    mqtt: Mapped[str | None] = mapped_column(String(160))
    """The same token as the MQTT broker keeps it (`mqtt_logins`); None: it is not taken there."""


class PullAccount(Table):
    """A registry account that may pull exactly one repository: what a deployment's devices use."""

    __tablename__ = "pull_account"

    username: Mapped[str] = mapped_column(NAME, primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the password, hex."""
    repository: Mapped[str] = mapped_column(String(400))
    deployment: Mapped[str] = mapped_column(String(32), index=True)
    created: Mapped[datetime] = mapped_column(UtcTime)


# ---------------------------------------------------------------- audit
class AuditRow(Table):
    """Who did what. Rows are added, never changed; see `service.audit` and the triggers of revision 0002."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_actor_id", "actor", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    actor: Mapped[str] = mapped_column(USER)
    action: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(String(400))
    allowed: Mapped[bool] = mapped_column(Boolean)
    reason: Mapped[str] = mapped_column(String(400))
    address: Mapped[str] = mapped_column(String(64))
    times: Mapped[int] = mapped_column(Integer, server_default="1")
    """How often it happened; over 1 where a flood was counted."""
    pruned_until: Mapped[datetime | None] = mapped_column(UtcTime, index=True)
    """Only in a row that announces a pruning: what was written before this may be removed."""


@event.listens_for(AuditRow, "before_update")
@event.listens_for(AuditRow, "before_delete")
def _append_only(*_: object) -> None:
    raise RuntimeError("rows of the audit are never changed or removed")
