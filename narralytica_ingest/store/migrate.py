"""Brings the schema to the newest version. Safe to run at any time, by several processes at once."""

from pathlib import Path

import psycopg

from narralytica_ingest.endpoints import sqlalchemy_url

# Any constant will do, as long as every migrator takes the same one.
_ADVISORY_LOCK = 7_264_001

# Who may not make schemas may not say IF NOT EXISTS either: a worker with few rights finds them made.
_MAKE_SCHEMAS = """
DO $$ BEGIN
    IF to_regnamespace('dagster') IS NULL THEN CREATE SCHEMA dagster; END IF;
    IF to_regnamespace('broker') IS NULL THEN CREATE SCHEMA broker; END IF;
END $$
"""


def migrate(postgres_url: str) -> None:
    """Runs the missing migrations in one transaction each, one migrator at a time.

    Raises SQLAlchemy's OperationalError if the database cannot be reached.
    """
    # Imported here: Alembic and SQLAlchemy are slow to load, and only this command needs them.
    import sqlalchemy
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = sqlalchemy.create_engine(sqlalchemy_url(postgres_url), poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection, engine.connect() as guard:
        guard.exec_driver_sql(f"SELECT pg_advisory_lock({_ADVISORY_LOCK})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    create_schemas(postgres_url)


def create_schemas(postgres_url: str) -> None:
    """Makes the schemas in which Dagster and Celery keep tables of their own; they fill them themselves."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
        connection.execute(_MAKE_SCHEMAS)
