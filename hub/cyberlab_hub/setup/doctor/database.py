"""The lab's own database: the audit stays as it was written."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cyberlab_hub.service.database import Database
from cyberlab_hub.setup.doctor.check import Wrong, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

CHANGES = "UPDATE audit SET action = action WHERE id = :id", "DELETE FROM audit WHERE id = :id"


@check(
    "audit-fixed",
    "database",
    "The database itself refuses to change or remove a row of the audit",
    "`cyberlab-hub audit` shows what is left; make the triggers anew as migrations/versions/0002_audit.py has them "
    "(MariaDB: log_bin_trust_function_creators=1 first)",
)
def audit(patient: Patient) -> str:
    database = Database.open(patient.settings.db_url, upgrade=False)
    try:
        with database.engine.connect() as connection:
            newest = connection.execute(text("SELECT MAX(id) FROM audit")).scalar()
        if newest is None:
            return "no row yet"
        wrong = [
            f"the database takes `{statement.split(' WHERE ')[0]}`"
            for statement in CHANGES
            if _takes(database, statement, int(newest))
        ]
    finally:
        database.close()
    return none_wrong(wrong, f"row {newest} can be neither changed nor removed")


def _takes(database: Database, statement: str, row: int) -> bool:
    """Whether it would be done. It never is: the transaction is always rolled back."""
    with database.engine.connect() as connection:
        transaction = connection.begin()
        try:
            done = connection.execute(text(statement), {"id": row})
        except DBAPIError as error:
            if "rows of the audit" in str(error.orig):
                return False
            raise Wrong(f"it cannot be tried: {error.orig}") from error
        else:
            return done.rowcount > 0
        finally:
            transaction.rollback()
