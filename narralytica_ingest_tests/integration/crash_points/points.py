"""Every write of a process to database and bucket, numbered, and its death at one of them.

What belongs here: how writes are seen. It happens from outside, around the libraries that send them (psycopg for the
tables, SQLAlchemy for Dagster's own, botocore for the bucket), so the product knows nothing of it.
"""

import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from weakref import WeakKeyDictionary

TABLES, DAGSTER, BUCKET = "tables", "dagster", "bucket"


@dataclass(frozen=True)
class Point:
    """A write: its number, where it goes (TABLES, DAGSTER or BUCKET), and what it is."""

    number: int
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.number:4} {self.kind:8} {self.what}"


@dataclass(frozen=True)
class Kill:
    """Where the process dies: just before its write of this number is sent, or just after it took effect."""

    number: int
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} write {self.number}"


class Points:
    """Counts the writes of this process into the file `log`, and kills it at one of them."""

    def __init__(self, log: Path, kill: Kill | None) -> None:
        self._kill, self._count, self._lock = kill, 0, threading.Lock()
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    @contextmanager
    def write(self, kind: str, what: str) -> Iterator[None]:
        """A write that takes effect within the block."""
        with self._lock:
            self._count += 1
            point = Point(self._count, kind, what)
            os.write(self._log, json.dumps(asdict(point)).encode() + b"\n")
        self._die_if(Kill(point.number, after=False))
        yield
        self._die_if(Kill(point.number, after=True))

    def _die_if(self, here: Kill) -> None:
        if here == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)


def read_points(log: Path) -> list[Point]:
    """What was counted into the file."""
    return [Point(**json.loads(line)) for line in log.read_text().splitlines()]


def watch(points: Points) -> None:
    """From now on every write of this process is a point. There is no way back: the process is there to be killed."""
    _watch_psycopg(points)
    _watch_sqlalchemy(points)
    _watch_botocore(points)


# ---- the tables: psycopg ------------------------------------------------------------------------------------------


def _watch_psycopg(points: Points) -> None:
    import psycopg
    from psycopg.pq import TransactionStatus

    noted: WeakKeyDictionary[psycopg.Connection[Any], list[str]] = WeakKeyDictionary()
    outermost: WeakKeyDictionary[psycopg.Transaction, bool] = WeakKeyDictionary()
    execute, commit = psycopg.Cursor.execute, psycopg.Connection.commit
    enter, leave = psycopg.Transaction.__enter__, psycopg.Transaction.__exit__

    def idle(connection: psycopg.Connection[Any]) -> bool:
        return connection.info.transaction_status is TransactionStatus.IDLE

    def watched_execute(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        connection = cursor.connection
        text = query if isinstance(query, bytes | str) else query.as_bytes(connection)
        what = _changes(text if isinstance(text, str) else text.decode())
        if what and connection.autocommit and idle(connection):
            with points.write(TABLES, what):
                return execute(cursor, query, *arguments, **options)
        answer = execute(cursor, query, *arguments, **options)
        if what:
            noted.setdefault(connection, []).append(what)
        return answer

    @contextmanager
    def committing(connection: psycopg.Connection[Any]) -> Iterator[None]:
        changes = noted.pop(connection, [])
        if changes and _wrote(connection):
            with points.write(TABLES, ", ".join(dict.fromkeys(changes))):
                yield
        else:
            yield

    def watched_commit(connection: psycopg.Connection[Any]) -> None:
        with committing(connection):
            commit(connection)

    def watched_enter(block: psycopg.Transaction) -> psycopg.Transaction:
        outermost[block] = idle(block.connection)
        return enter(block)

    def watched_leave(block: psycopg.Transaction, kind: Any, error: Any, trace: Any) -> bool:
        if error is not None or not outermost[block]:
            return leave(block, kind, error, trace)
        with committing(block.connection):
            return leave(block, kind, error, trace)

    for owner, name, replacement in (
        (psycopg.Cursor, "execute", watched_execute),
        (psycopg.Connection, "commit", watched_commit),
        (psycopg.Transaction, "__enter__", watched_enter),
        (psycopg.Transaction, "__exit__", watched_leave),
    ):
        setattr(owner, name, replacement)


def _wrote(connection: Any) -> bool:
    """Whether the open transaction has a number, which Postgres gives it at its first change or lock of a row."""
    answer = connection.pgconn.exec_(b"SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
    return bool(answer.get_value(0, 0) == b"t")


_CHANGE = re.compile(r'(?<!DO )(?<!FOR )(?<!KEY )\b(INSERT INTO|UPDATE|DELETE FROM)\s+([\w."]+)', re.IGNORECASE)


def _changes(statement: str) -> str:
    """What the statement changes: `UPDATE videos`; nothing for one that only reads."""
    found = _CHANGE.findall(statement)
    return ", ".join(f"{verb.upper().split()[0]} {table}" for verb, table in dict.fromkeys(found))


# ---- Dagster's own tables: SQLAlchemy ------------------------------------------------------------------------------


def _watch_sqlalchemy(points: Points) -> None:
    """Dagster commits with each statement; where it does not, with the transaction."""
    from sqlalchemy import event
    from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
    from sqlalchemy.engine import Engine

    noted: dict[int, list[str]] = {}
    open_writes: dict[int, Any] = {}
    commit: Any = PGDialect_psycopg2.do_commit

    def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        what = _changes(statement)
        if what and cursor.connection.autocommit:
            open_writes[id(cursor)] = points.write(DAGSTER, what)
            open_writes[id(cursor)].__enter__()
        elif what:
            noted.setdefault(id(cursor.connection), []).append(what)

    def after(connection: Any, cursor: Any, *_: Any) -> None:
        if id(cursor) in open_writes:
            open_writes.pop(id(cursor)).__exit__(None, None, None)

    def watched_commit(dialect: Any, connection: Any) -> None:
        changes = noted.pop(id(connection), [])
        if not changes:
            commit(dialect, connection)
            return
        with points.write(DAGSTER, ", ".join(dict.fromkeys(changes))):
            commit(dialect, connection)

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    PGDialect_psycopg2.do_commit = watched_commit  # type: ignore[method-assign]


# ---- the bucket: botocore ------------------------------------------------------------------------------------------


def _watch_botocore(points: Points) -> None:
    from botocore.httpsession import URLLib3Session

    send = URLLib3Session.send

    def watched_send(session: Any, request: Any) -> Any:
        if request.method in ("GET", "HEAD"):
            return send(session, request)
        with points.write(BUCKET, _operation(request)):
            return send(session, request)

    URLLib3Session.send = watched_send  # type: ignore[assignment]


def _operation(request: Any) -> str:
    """The S3 operation of a request, with the end of its key."""
    address = urlsplit(request.url)
    query = parse_qs(address.query, keep_blank_values=True)
    copies = "x-amz-copy-source" in {name.lower() for name in request.headers}
    folder, _, name = address.path.rpartition("/")
    shown = f" {folder.rpartition('/')[2]}/{name if len(name) < 20 else '…' + name[-12:]}"
    if request.method == "PUT":
        if "partNumber" in query:
            return f"{'UploadPartCopy' if copies else 'UploadPart'} {query['partNumber'][0]}{shown}"
        return f"{'CopyObject' if copies else 'PutObject'}{shown}"
    if request.method == "DELETE":
        return f"{'AbortMultipartUpload' if 'uploadId' in query else 'DeleteObject'}{shown}"
    names = {"uploads": "CreateMultipartUpload", "uploadId": "CompleteMultipartUpload", "delete": "DeleteObjects"}
    return next((name for each, name in names.items() if each in query), f"{request.method} {address.query}") + shown
