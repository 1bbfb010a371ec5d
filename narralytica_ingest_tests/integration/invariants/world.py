"""The world of the state machine: the real tables, a bucket, the sources, what Dagster was asked for, and time."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from psycopg.errors import LockNotAvailable
from psycopg.rows import dict_row

from narralytica_ingest.failures import IngestError
from narralytica_ingest.store.artifacts import MediaFile
from narralytica_ingest.store.database import Connection, Row
from narralytica_ingest.store.dispatch import Dispatched, VideoKey
from narralytica_ingest.store.outcomes import RetryPolicy
from narralytica_ingest_tests.integration.invariants.history import History, Stored, fingerprint
from narralytica_ingest_tests.integration.invariants.invariants import Invariant, Violated
from narralytica_ingest_tests.integration.invariants.steps import PausingConnection, SlowStep, Step

BUCKET = "media"
LEASE_SECONDS = 45.0
GRACE_SECONDS = 0.0  # the grace period is for readers; nothing else may rely on it
POLICY = RetryPolicy(max_attempts=3, base_seconds=5, max_seconds=60, random=lambda: 0.0)

# How long a step waits for a row that a slow one holds; then it is as if it had not begun.
_WAIT_SHORTLY = "SET LOCAL lock_timeout = '4ms'"


# ---- sources --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """What a name holds: its content, and what opening it reveals."""

    content: str
    alias: str | None = None  # the identity that the page itself states
    entries: tuple[str, ...] = ()  # of a playlist
    host: str = "host"


SOURCES = {
    "a": Source("A"),
    "b": Source("B", host="other"),
    "same-as-b": Source("B"),  # another video with the same bytes
    "page-of-a": Source("A", alias="web-a"),
    "one-name": Source("C", alias="site-c"),
    "other-name": Source("C", alias="site-c"),
    "upload": Source("U", host=""),
    "list": Source("", entries=("a", "one-name", "inner-list")),
    "inner-list": Source("", entries=("b",)),
}


@dataclass(frozen=True)
class Removal:
    """What a sweeper knows that is about to remove an object; see recovery/removal.py."""

    key: str
    alone: bool
    began_at: datetime | None


def name_of(video_id: str) -> str:
    """The source that a video was first seen at."""
    return video_id.removeprefix("web-")


def key_of(name: str) -> VideoKey:
    """The identity of a source before it is opened."""
    host = SOURCES[name].host
    url, upload = (f"http://{host}/{name}", None) if host else (None, f"s3://uploads/{name}")
    return VideoKey(f"web-{name}", "web", name, url, upload, "v1" if upload else None, host)


def digest(text: str) -> str:
    """The SHA-256 of what the text stands for."""
    return sha256(text.encode()).hexdigest()


# ---- connections ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Connections:
    """Connections that all examples share: one for whole steps, one for a slow step, one that moves time."""

    whole: Connection
    slow: PausingConnection
    sweeping: "Sweeping"


@contextlib.contextmanager
def connected(url: str) -> Iterator[Connections]:
    """Connections whose commits do not wait for the disk."""
    with (
        PausingConnection.connect(url, autocommit=True, row_factory=dict_row) as whole,
        PausingConnection.connect(url, autocommit=True, row_factory=dict_row) as slow,
        PausingConnection.connect(url, autocommit=True, row_factory=dict_row) as sweeping,
    ):
        for connection in (whole, slow, sweeping):
            connection.execute("SET synchronous_commit = off")
            connection.execute("SET client_min_messages = error")
            connection.execute("SET jit = off")
        sweeping.execute("SET session_replication_role = replica")
        yield Connections(whole, slow, Sweeping.of(sweeping))


_TABLES = """
SELECT table_name AS name, array_agg(column_name::text) FILTER (WHERE data_type = 'timestamp with time zone') AS dates
  FROM information_schema.columns JOIN pg_tables ON tablename = table_name AND schemaname = table_schema
 WHERE table_schema = 'public' AND table_name NOT IN ('ingest_schema_version', 'installation') GROUP BY table_name
"""


@dataclass(frozen=True)
class Sweeping:
    """Statements about all tables at once, without triggers and without the checks of foreign keys. On a connection of
    its own: to turn these off forgets all plans of the connection."""

    connection: Connection
    empty: str
    move_dates: str

    @classmethod
    def of(cls, connection: Connection) -> "Sweeping":
        """For the tables that there are. (Their names are the schema's own.)"""
        tables = connection.execute(_TABLES).fetchall()
        for row in tables:  # a vacuum that shortens a table locks everybody out for a moment
            connection.execute(f"ALTER TABLE {row['name']} SET (vacuum_truncate = off)".encode())
        moved = {row["name"]: ", ".join(f"{date} = {date} - make_interval(secs => %(by)s)" for date in row["dates"])
                 for row in tables if row["dates"]}  # fmt: skip
        return cls(
            connection,
            _at_once(f"DELETE FROM {row['name']}" for row in tables),
            _at_once(f"UPDATE {name} SET {dates}" for name, dates in moved.items()),
        )

    def do(self, statement: str, values: Row | None = None) -> None:
        """One of the two."""
        self.connection.execute(statement.encode(), values)


def _at_once(statements: Iterable[str]) -> str:
    return "WITH " + ", ".join(f"t{n} AS ({each})" for n, each in enumerate(statements)) + " SELECT"


class World:
    """Empty at first. Every change goes through `do`, `hold` and `go_on`, which look at the invariants."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.stored = Stored()
        self.files: dict[str, MediaFile] = {}  # all that were ever about to be stored, by their key
        self.removing: Removal | None = None  # what the sweeper is about to remove
        self.late_removals: list[str] = []  # that the bucket will carry out some time soon
        self.versions: dict[str, int] = dict.fromkeys((source.content for source in SOURCES.values()), 1)
        self.encoder = 1  # of audio tracks: another version makes other bytes
        self.requests: list[Dispatched] = []  # that reached Dagster and have no run yet
        self.known_run_keys: set[str] = set()  # of which Dagster has heard
        self.history = History()
        self.slow: SlowStep | None = None
        self.broken = False
        self.events: Counter[str] = Counter()  # how often what matters happened
        self._numbers = 0
        connections.sweeping.do(connections.sweeping.empty)

    @property
    def bucket(self) -> set[str]:
        """The keys that are stored."""
        return self.stored.bucket

    def lose(self, kind: str) -> None:
        """The bucket loses the files of this kind."""
        keys = {key for key, file in self.files.items() if file.kind == kind} & self.bucket
        self.stored.bucket -= keys
        self.stored.lost |= keys
        self.look()

    def number(self) -> int:
        """A number that nobody had."""
        self._numbers += 1
        return self._numbers

    def content(self, name: str) -> str:
        """The SHA-256 of what the source serves now."""
        content = SOURCES[name].content
        return digest(f"{content}{self.versions[content]}")

    # ---- steps ------------------------------------------------------------------------------------------------------

    def do(self, step: Step) -> bool:
        """Does the step. False if it had to wait for the slow one: then nothing was done.

        Raises Violated, and why the step was refused, unless the step has a use for that.
        """
        self.events["steps"] += 1
        connection = self.connections.whole
        stale = step.lease is not None and not self.history.seen.holds(step.lease)
        before = fingerprint(connection) if stale else None
        result, refusal = None, None
        with self._breaking():
            try:
                with connection.transaction():
                    if self.slow is not None:
                        connection.execute(_WAIT_SHORTLY)
                    result = step.act(connection)
            except LockNotAvailable:
                if self.slow is None:
                    raise
                self.events["waited for the slow step"] += 1
                return False
            except IngestError as error:
                refusal = error
            self.events["steps of zombies"] += stale
            if stale and fingerprint(connection) != before:
                raise Violated(Invariant.FENCED, f"{step.name} under {step.lease} changed the tables")
            self._done(step, result, refusal)
        return True

    def hold(self, step: Step) -> None:
        """Begins the step as the slow one."""
        assert self.slow is None
        self.slow = SlowStep(self.connections.slow, step)
        self.go_on(1)

    def go_on(self, statements: int) -> None:
        """Lets the slow step, if there is one, do some more statements. Raises as `do`."""
        slow = self.slow
        if slow is None:
            return
        with self._breaking():
            for _ in range(statements):
                if not slow.done:
                    slow.advance()
            if not slow.done:
                return
            self.slow = None
            if slow.error is not None and not isinstance(slow.error, IngestError):
                raise slow.error
            self.events["slow steps done"] += 1
            self._done(slow.step, slow.result, slow.error)

    def is_slow(self, run_id: str) -> bool:
        """Whether the slow step is this run's."""
        return self.slow is not None and self.slow.step.run_id == run_id

    def kill_slow(self) -> None:
        """Whoever does the slow step dies."""
        if self.slow is not None:
            self.slow.kill()
            self.slow = None

    def time_passes(self, seconds: float) -> None:
        """All dates of all tables move into the past. It is always long enough for a request to the bucket to be done,
        and for the sweeper to notice that it was away."""
        self.removing, self.late_removals = None, []
        tables = self.connections.sweeping
        tables.do(tables.move_dates, {"by": seconds})
        self.look()

    def look(self) -> None:
        """Looks at the invariants without a step."""
        with self._breaking():
            self._look(None)

    def _done(self, step: Step, result: object, refusal: IngestError | None) -> None:
        if refusal is None:
            step.after(result)
            self._look(step)
        elif step.refused is None:
            raise refusal
        else:
            step.refused(refusal)

    def _look(self, step: Step | None) -> None:
        self.stored.late &= self.bucket
        self.stored.lost -= self.bucket
        self.history.look(self.connections.whole, step, self.stored)

    @contextlib.contextmanager
    def _breaking(self) -> Iterator[None]:
        """Notes that the world is not to be looked at any more."""
        try:
            yield
        except IngestError:
            raise
        except BaseException:
            self.broken = True
            raise
