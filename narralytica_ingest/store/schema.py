"""Which version the schema has, told without Alembic, which is slow to load."""

from pathlib import Path

from narralytica_ingest.store.database import Connection


def newest_version() -> str:
    """The version that this program's migrations lead to: their files begin with it."""
    return max(file.name.split("_")[0] for file in (Path(__file__).parent / "migrations" / "versions").glob("0*.py"))


def version_of(connection: Connection) -> str | None:
    """The version that the database has; None if the tables were never made."""
    row = connection.execute("SELECT to_regclass('ingest_schema_version') IS NOT NULL AS there").fetchone()
    if row is None or not row["there"]:
        return None
    row = connection.execute("SELECT version_num FROM ingest_schema_version").fetchone()
    return None if row is None else str(row["version_num"])
