"""Audit: counted rows, announced pruning, and triggers that let rows neither be changed nor removed

Only rows that a later row with `pruned_until` covers can be removed.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

UTC_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

log = logging.getLogger(__name__)

FIXED = "rows of the audit are never changed"
KEPT = "rows of the audit are removed only after a row that says so"
ANNOUNCED = "EXISTS (SELECT 1 FROM audit p WHERE p.pruned_until > OLD.at AND p.id > OLD.id)"

SQLITE = (
    f"CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, '{FIXED}'); END",
    f"CREATE TRIGGER audit_kept BEFORE DELETE ON audit WHEN NOT {ANNOUNCED} BEGIN SELECT RAISE(ABORT, '{KEPT}'); END",
    # INSERT OR REPLACE removes a row without asking the trigger above
    "CREATE TRIGGER audit_new BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) "
    "BEGIN SELECT RAISE(ABORT, 'rows of the audit are never changed'); END",
)
_SIGNAL = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT ="
MARIADB = (
    f"CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit FOR EACH ROW {_SIGNAL} '{FIXED}'",
    "CREATE TRIGGER audit_kept BEFORE DELETE ON audit FOR EACH ROW BEGIN "
    f"IF NOT {ANNOUNCED} THEN {_SIGNAL} '{KEPT}'; END IF; END",
)
POSTGRESQL = (
    f"CREATE FUNCTION audit_fixed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{FIXED}'; END $$",
    "CREATE FUNCTION audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    f"IF NOT {ANNOUNCED} THEN RAISE EXCEPTION '{KEPT}'; END IF; RETURN OLD; END $$",
    "CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION audit_fixed()",
    "CREATE TRIGGER audit_kept BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_kept()",
    "CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_fixed()",
)


def upgrade() -> None:
    op.add_column("audit", sa.Column("times", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("audit", sa.Column("pruned_until", UTC_TIME, nullable=True))
    op.create_index("ix_audit_actor_id", "audit", ["actor", "id"])
    op.create_index("ix_audit_pruned_until", "audit", ["pruned_until"])
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
        log.warning(
            "the database server lets the lab make no triggers (%s): only the lab itself keeps the audit append-only; "
            "log_bin_trust_function_creators=1 allows it",
            error.orig,
        )


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    on = " ON audit" if dialect == "postgresql" else ""
    for name in ("audit_fixed", "audit_kept", "audit_new", "audit_whole"):
        op.execute(sa.text(f"DROP TRIGGER IF EXISTS {name}{on}"))
    if dialect == "postgresql":
        for name in ("audit_fixed", "audit_kept"):
            op.execute(sa.text(f"DROP FUNCTION IF EXISTS {name}()"))
    op.drop_index("ix_audit_pruned_until", "audit")
    op.drop_index("ix_audit_actor_id", "audit")
    op.drop_column("audit", "pruned_until")
    op.drop_column("audit", "times")
