"""`migrate` and `env`: the schema, and what other tools need to know."""

import shlex

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.look import JsonOption
from narralytica_ingest.cli.services import migrate as run_migrations
from narralytica_ingest.config import load_settings
from narralytica_ingest.local.environment import Ports, environment
from narralytica_ingest.local.services import hold
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.schema import version_of


def migrate() -> None:
    """Bring the tables to the newest version. Safe at any time; `up` and `submit` do it by themselves."""
    with hold(load_settings(), s3=False) as endpoints:
        database = Database(endpoints.postgres_url)
        with database.transaction() as connection:
            before = version_of(connection)
        run_migrations(endpoints.postgres_url)
        with database.transaction() as connection:
            after = version_of(connection)
    if before == after:
        said = f"The tables have version {after} already: nothing to do."
    else:
        said = f"The tables have version {after} now (before: {before or 'none'})."
    terminal.out().print(terminal.text(said), soft_wrap=True)


def env(as_json: JsonOption = False) -> None:
    """Print where everything is, as shell variables for psql, aws and dagster. They hold passwords.

    DATABASE_URL (Postgres), AWS_* (S3), BROKER_URL, DAGSTER_HOME, and UI_URL once `up` has run.
    """
    settings = load_settings()
    with hold(settings, postgres=False, s3=False) as endpoints:
        variables = environment(settings, endpoints, Ports.load(settings.home))
    if as_json:
        terminal.print_json(variables)
    else:
        print("\n".join(f"export {name}={_quoted(value)}" for name, value in sorted(variables.items())))


def _quoted(value: str) -> str:
    """In single quotes always, so that every line looks the same."""
    quoted = shlex.quote(value)
    return quoted if quoted.startswith("'") else f"'{quoted}'"
