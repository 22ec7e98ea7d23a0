"""What the MQTT broker checks a token against"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ingest_token", sa.Column("mqtt", sa.String(length=160), nullable=True))


def downgrade() -> None:
    op.drop_column("ingest_token", "mqtt")
