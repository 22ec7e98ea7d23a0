"""First tables"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

UTC_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("object", sa.String(length=400), nullable=False),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=400), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])

    op.create_table(
        "catalogue_base",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("seeded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_catalogue_base"),
    )
    op.create_table(
        "catalogue_scenario",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("seeded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_catalogue_scenario"),
    )
    op.create_table(
        "catalogue_setting",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("seeded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_catalogue_setting"),
    )
    op.create_table(
        "image",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("spec_digest", sa.String(length=80), nullable=False),
        sa.Column("base", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("deleted", UTC_TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_image"),
        sa.UniqueConstraint("owner", "name", "version", name="uq_image_owner"),
    )
    op.create_index("ix_image_spec_digest", "image", ["spec_digest"])

    op.create_table(
        "ingest_token",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("deployment", sa.String(length=32), nullable=True),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("devices", sa.JSON(), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("revoked", UTC_TIME, nullable=True),
        sa.PrimaryKeyConstraint("hash", name="pk_ingest_token"),
    )
    op.create_index("ix_ingest_token_deployment", "ingest_token", ["deployment"])

    op.create_table(
        "job",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("started", UTC_TIME, nullable=True),
        sa.Column("finished", UTC_TIME, nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
    )
    op.create_index("ix_job_owner_created", "job", ["owner", "created"])
    op.create_index("ix_job_phase", "job", ["phase"])

    op.create_table(
        "pull_account",
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("repository", sa.String(length=400), nullable=False),
        sa.Column("deployment", sa.String(length=32), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("username", name="pk_pull_account"),
    )
    op.create_index("ix_pull_account_deployment", "pull_account", ["deployment"])

    op.create_table(
        "saved_spec",
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("updated", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name="pk_saved_spec"),
    )
    op.create_table(
        "share",
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("reader", sa.String(length=255), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("owner", "reader", name="pk_share"),
    )
    op.create_index("ix_share_reader", "share", ["reader"])

    op.create_table(
        "deployment",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("image", sa.String(length=400), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("devices", sa.JSON(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("created", UTC_TIME, nullable=False),
        sa.Column("updated", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_deployment_image_id"),
        sa.PrimaryKeyConstraint("id", name="pk_deployment"),
        sa.UniqueConstraint("owner", "name", name="uq_deployment_owner"),
    )
    op.create_table(
        "job_event",
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("text", LONG_TEXT, nullable=False),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("steps", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["job.id"], name="fk_job_event_job", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", "id", name="pk_job_event"),
    )


def downgrade() -> None:
    op.drop_table("job_event")
    op.drop_table("deployment")
    op.drop_index("ix_share_reader", "share")

    op.drop_table("share")
    op.drop_table("saved_spec")
    op.drop_index("ix_pull_account_deployment", "pull_account")

    op.drop_table("pull_account")
    op.drop_index("ix_job_phase", "job")
    op.drop_index("ix_job_owner_created", "job")

    op.drop_table("job")
    op.drop_index("ix_ingest_token_deployment", "ingest_token")

    op.drop_table("ingest_token")
    op.drop_index("ix_image_spec_digest", "image")

    op.drop_table("image")
    op.drop_table("catalogue_setting")
    op.drop_table("catalogue_scenario")
    op.drop_table("catalogue_base")
    op.drop_index("ix_audit_at", "audit")

    op.drop_table("audit")
