"""How the tables are reached: one short connection for each transaction.

A run lives for minutes and a worker for weeks; a connection that is opened when it is needed survives a restarted
Postgres and a forked process, and costs some 10 ms on one machine.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from narralytica_ingest.failures import IngestError, failure

Row = dict[str, Any]
Connection = psycopg.Connection[Row]
T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 10

# What passes by itself, and the pauses (seconds) between two tries: a restarted Postgres is away for some seconds.
PASSING = ("database_away", "database_conflict")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0

# Where the triggers of the schema announce every change of state.
CHANNEL = "narralytica_ingest"

# Classes of SQLSTATE in which the server, not the statement, is the trouble: connection, resources, shutdown.
_AWAY = ("08", "53", "57P", "58")


@dataclass(frozen=True)
class Database:
    """The Postgres of the tables. The URL holds a password, so it is kept out of `repr`."""

    url: str = field(repr=False)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: commits at the end, rolls back on any exception.

        Raises IngestError, class local: `database_away` if the server cannot be reached or goes away, and
        `database_conflict` if two transactions collided.
        """
        try:
            with psycopg.connect(
                self.url, row_factory=dict_row, connect_timeout=CONNECT_TIMEOUT_SECONDS, application_name="narralytica"
            ) as connection:
                yield connection
        except psycopg.OperationalError as error:
            state = error.sqlstate or "08"
            if state.startswith("40"):
                raise failure(
                    "database_conflict", "Two transactions collided in Postgres; it is tried again."
                ) from error
            if not state.startswith(_AWAY):
                raise
            raise failure(
                "database_away",
                f"Postgres cannot be reached or went away: {_first_line(error)}. Check it with `doctor`.",
            ) from error

    def patiently(self, work: Callable[[Connection], T], seconds: float) -> T:
        """What `work` returns in a transaction of its own. While Postgres is away, or others are in the way, it is
        tried again, for at most so many seconds.

        A connection that breaks during the commit leaves open whether it happened: `work` may be run again after it
        has done its work, and must then change nothing more and return the same. Raises like `transaction`.
        """
        deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
        while True:
            try:
                with self.transaction() as connection:
                    return work(connection)
            except IngestError as error:
                if error.code not in PASSING or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    @contextmanager
    def listening(self) -> Iterator[Callable[[float], bool]]:
        """Listens to every change of state from now on. Gives a function that waits so many seconds for the first.

        Begin to listen before you look at the tables, and nothing falls between. Raises IngestError `database_away`.
        """
        with self.transaction() as connection:
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
            yield lambda seconds: any(True for _ in connection.notifies(timeout=seconds, stop_after=1))

    def all(self, query: str, params: Sequence[Any] | Row = ()) -> list[Row]:
        """The rows of one statement in a transaction of its own."""
        with self.transaction() as connection:
            return connection.execute(query.encode(), params).fetchall()


def clock(connection: Connection) -> datetime:
    """The time by the database's clock: the tables are dated by it; a worker's may be wrong."""
    row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None
    now: datetime = row["now"]
    return now


def as_jsonb(value: Any) -> Jsonb:
    """The value for a jsonb column. Postgres takes neither NUL nor lone surrogates, which strangers' text may hold."""
    return Jsonb(_storable(value))


def storable_text(text: str) -> str:
    """The text without what Postgres cannot store."""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode()


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return {storable_text(str(name)): _storable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(each) for each in value]
    return value


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
