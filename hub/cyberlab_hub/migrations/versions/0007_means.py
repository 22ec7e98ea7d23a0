"""Rules by which readings are made into means"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

UTC_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "means",
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("target", sa.String(length=255), nullable=False),
        sa.Column("measurement", sa.String(length=255), nullable=False),
        sa.Column("every", sa.String(length=8), nullable=False),
        sa.Column("days", sa.Integer(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("made_until", sa.BigInteger(), nullable=True),
        sa.Column("final_until", sa.BigInteger(), nullable=True),
        sa.Column("behind_since", UTC_TIME, nullable=True),
        sa.Column("problem", sa.String(length=400), nullable=False),
        sa.Column("updated", UTC_TIME, nullable=False),
        sa.PrimaryKeyConstraint("owner", "target", name="pk_means"),
    )


def downgrade() -> None:
    op.drop_table("means")
