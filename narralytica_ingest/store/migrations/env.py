"""Alembic's entry point: runs the migrations on the connection that `store/migrate.py` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="ingest_schema_version", transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
