"""How the tables are reached: one short connection for each transaction.

A run lives for minutes and a worker for weeks; a connection that is opened when it is needed survives a restarted
Postgres and a forked process, and costs some 10 ms on one machine.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from narralytica_ingest.failures import local

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

CONNECT_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Database:
    """The Postgres of the tables. The URL holds a password, so it is kept out of `repr`."""

    url: str = field(repr=False)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: commits at the end, rolls back on any exception.

        Raises IngestError `database_away` (class local) if the server cannot be reached or goes away.
        """
        try:
            with psycopg.connect(
                self.url, row_factory=dict_row, connect_timeout=CONNECT_TIMEOUT_SECONDS, application_name="narralytica"
            ) as connection:
                yield connection
        except psycopg.OperationalError as error:
            raise local(
                "database_away",
                f"Postgres cannot be reached or went away: {_first_line(error)}. Check it with `doctor`.",
            ) from error

    def all(self, query: str, params: Sequence[Any] | Row = ()) -> list[Row]:
        """The rows of one statement in a transaction of its own."""
        with self.transaction() as connection:
            return connection.execute(query.encode(), params).fetchall()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
