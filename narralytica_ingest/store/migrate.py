"""Brings the schema to the newest version. Safe to run at any time, by several processes at once."""

from pathlib import Path

from narralytica_ingest.endpoints import sqlalchemy_url

# Any constant will do, as long as every migrator takes the same one.
_ADVISORY_LOCK = 7_264_001


def migrate(postgres_url: str) -> None:
    """Runs the missing migrations in one transaction each, one migrator at a time.

    Also makes the schemas `dagster` and `broker`, where Dagster and Celery keep their own tables. Raises SQLAlchemy's
    OperationalError if the database cannot be reached.
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
        for schema in ("dagster", "broker"):
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        connection.commit()
