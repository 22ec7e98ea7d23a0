"""Which code wrote a reading: sources of images, and the history of deployments"""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

UTC_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

log = logging.getLogger(__name__)

FIXED = "rows of the history are never changed or removed"
SQLITE = (
    f"CREATE TRIGGER history_fixed BEFORE UPDATE ON deployment_event BEGIN SELECT RAISE(ABORT, '{FIXED}'); END",
    f"CREATE TRIGGER history_kept BEFORE DELETE ON deployment_event BEGIN SELECT RAISE(ABORT, '{FIXED}'); END",
    # INSERT OR REPLACE removes a row without asking the trigger above
    "CREATE TRIGGER history_new BEFORE INSERT ON deployment_event "
    "WHEN EXISTS (SELECT 1 FROM deployment_event WHERE id = NEW.id) "
    "BEGIN SELECT RAISE(ABORT, 'rows of the history are never changed or removed'); END",
)
_SIGNAL = f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{FIXED}'"
MARIADB = (
    f"CREATE TRIGGER history_fixed BEFORE UPDATE ON deployment_event FOR EACH ROW {_SIGNAL}",
    f"CREATE TRIGGER history_kept BEFORE DELETE ON deployment_event FOR EACH ROW {_SIGNAL}",
)
POSTGRESQL = (
    f"CREATE FUNCTION history_fixed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{FIXED}'; END $$",
    "CREATE TRIGGER history_fixed BEFORE UPDATE OR DELETE ON deployment_event "
    "FOR EACH ROW EXECUTE FUNCTION history_fixed()",
    "CREATE TRIGGER history_whole BEFORE TRUNCATE ON deployment_event "
    "FOR EACH STATEMENT EXECUTE FUNCTION history_fixed()",
)


def upgrade() -> None:
    op.create_table(
        "image_source",
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("dockerfile", LONG_TEXT, nullable=False),
        sa.Column("dockerfile_shown", LONG_TEXT, nullable=False),
        sa.Column("file_list", sa.JSON(), nullable=False),
        sa.Column("files", BYTES, nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_image_source_image_id"),
        sa.PrimaryKeyConstraint("image_id", name="pk_image_source"),
    )
    op.create_index("ix_image_source_owner", "image_source", ["owner"])
    op.create_table(
        "deployment_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("deployment", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=True),
        sa.Column("image", sa.String(length=400), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("devices", sa.JSON(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_deployment_event_image_id"),
        sa.PrimaryKeyConstraint("id", name="pk_deployment_event"),
    )
    op.create_index("ix_deployment_event_owner_name", "deployment_event", ["owner", "name"])
    # what runs already: since its last update, as far as is known
    op.execute(
        sa.text(
            "INSERT INTO deployment_event "
            "(at, event, deployment, owner, name, image_id, image, digest, devices, spec) "
            "SELECT updated, 'running', id, owner, name, image_id, image, digest, devices, spec FROM deployment"
        )
    )
    dialect = op.get_bind().dialect.name
    if dialect in ("mysql", "mariadb"):
        _mariadb()
        return
    for statement in {"sqlite": SQLITE, "postgresql": POSTGRESQL}[dialect]:
        op.execute(sa.text(statement))


def _mariadb() -> None:
    # a server with binary logs lets only its administrator make triggers; the lab starts all the same
    try:
        for statement in MARIADB:
            op.execute(sa.text(statement))
    except sa.exc.DBAPIError as error:
        log.warning("no triggers (%s): only the lab itself keeps the history append-only", error.orig)


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    on = " ON deployment_event" if dialect == "postgresql" else ""
    for name in ("history_fixed", "history_kept", "history_new", "history_whole"):
        op.execute(sa.text(f"DROP TRIGGER IF EXISTS {name}{on}"))
    if dialect == "postgresql":
        op.execute(sa.text("DROP FUNCTION IF EXISTS history_fixed()"))
    op.drop_table("deployment_event")
    op.drop_table("image_source")
