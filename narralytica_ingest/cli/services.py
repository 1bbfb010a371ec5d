"""What a command needs before it can work: settings, running services, tables.

What belongs here: bringing them about, and whether an `up` is running. Every command works with and without it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.failures import failure
from narralytica_ingest.local.environment import Ports, ui_url
from narralytica_ingest.local.identity import Identity
from narralytica_ingest.local.services import hold
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.schema import newest_version, version_of


@contextmanager
def tables(settings: Settings, *, s3: bool = False, may_migrate: bool = False) -> Iterator[Endpoints]:
    """Within the block Postgres runs (S3 too, if asked for) and has the tables of this version.

    Missing or old tables are brought up to date in our own Postgres, and in a given one if `may_migrate`. Raises
    IngestError `schema_old`, `schema_newer`, `database_away`, and what starting the services raises.
    """
    with hold(settings, s3=s3) as endpoints:
        _ensure_schema(endpoints.postgres_url, may_migrate or settings.postgres_url is None)
        yield endpoints


def _ensure_schema(postgres_url: str, may_migrate: bool) -> None:
    with Database(postgres_url).transaction() as connection:
        version = version_of(connection)
    newest = newest_version()
    if version == newest:
        return
    if version is not None and version > newest:
        raise failure("schema_newer", f"The tables have version {version}, this program knows {newest}: update it.")
    if not may_migrate:
        raise failure(
            "schema_old",
            f"The tables in Postgres are {f'of version {version}' if version else 'missing'}, and version {newest} is "
            "needed: run `narralytica-ingest migrate`.",
        )
    migrate(postgres_url)


def migrate(postgres_url: str) -> None:
    """Brings the schema to the newest version. Raises IngestError `migration_failed`."""
    from sqlalchemy.exc import SQLAlchemyError

    from narralytica_ingest.store.migrate import migrate as run

    try:
        run(postgres_url)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise failure("migration_failed", f"The tables could not be brought up to date: {reason}.") from error


def up_is_running(home: Path) -> bool:
    """Whether this home has an `up` now."""
    identity = Identity.load(home / "run" / "up.json")
    return identity is not None and identity.alive


def running_ui(home: Path) -> str | None:
    """Where the Dagster UI is, if an `up` of this home runs."""
    ports = Ports.load(home)
    return ui_url(ports) if ports and up_is_running(home) else None
