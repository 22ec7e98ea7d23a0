"""Quotas of users and groups, and who is in which group"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

UTC_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quota",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("quota", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("updated", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject", "quota", name="pk_quota"),
    )
    op.create_table(
        "membership",
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("member_of", sa.JSON(), nullable=False),
        sa.Column("seen", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_membership"),
    )


def downgrade() -> None:
    op.drop_table("membership")
    op.drop_table("quota")
