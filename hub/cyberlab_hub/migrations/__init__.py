"""Alembic revisions of the lab's database; `service.database` brings a database to the newest at start."""
