"""Alembic runs this. The connection comes from `service.database`; there is no alembic.ini."""

from alembic import context

from cyberlab_hub.service.models import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite changes a column by copying the table
)
with context.begin_transaction():
    context.run_migrations()
