"""Following jobs to their end: LISTEN tells of every change of state, a slow look shows the progress between."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.bars import progress_bars
from narralytica_ingest.cli.describe import progress_text, source_name
from narralytica_ingest.cli.families import children_in, family_text
from narralytica_ingest.config import load_settings
from narralytica_ingest.failures import failure
from narralytica_ingest.store import pauses
from narralytica_ingest.store.database import Row
from narralytica_ingest.store.hosts import host_rules, waits
from narralytica_ingest.store.jobs import TERMINAL

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LOOK_SECONDS = 0.5
_BURST_SECONDS = 0.1  # many changes at once are one look
_PATIENCE_SECONDS = 60.0
_LINE_SECONDS = 10.0

# Children come last, in the order in which they were made.
_JOBS = """
SELECT j.* FROM ingest_jobs j LEFT JOIN unnest(%(ids)s::uuid[]) WITH ORDINALITY AS wanted (job_id, place) USING (job_id)
 WHERE j.job_id = ANY(%(ids)s) OR j.parent_job_id IN (
       SELECT job_id FROM ingest_jobs WHERE job_id = ANY(%(ids)s) AND outcome = 'expanded')
 ORDER BY wanted.place, j.created_at, j.job_id
"""


def follow(postgres_url: str, job_ids: Sequence[UUID], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Shows the progress of the jobs, and of their playlists' jobs, on standard error until all have ended. Calls
    `meanwhile` about twice a second.

    Raises IngestError `job_gone`, and `database_away` if Postgres stays away for a minute.
    """
    with _display() as show:
        for rows in watch(postgres_url, job_ids):
            show(rows)
            meanwhile()


def watch(postgres_url: str, job_ids: Sequence[UUID]) -> Iterator[list[Row]]:
    """The jobs' rows, in the order given, then their children's, at every change of state and twice a second, until all
    have ended."""
    last_good, rules = time.monotonic(), host_rules(load_settings())
    rows: list[Row] = []
    while True:
        try:
            with psycopg.connect(postgres_url, autocommit=True, row_factory=dict_row, connect_timeout=10) as connection:
                connection.execute("LISTEN narralytica_ingest")
                while True:
                    rows = pauses.waits(connection, waits(connection, rules, _look(connection, job_ids)))
                    last_good = time.monotonic()
                    yield rows
                    if all(row["status"] in TERMINAL for row in rows):
                        return
                    time.sleep(_BURST_SECONDS)
                    for _ in connection.notifies(timeout=LOOK_SECONDS - _BURST_SECONDS, stop_after=1):
                        pass
        except psycopg.OperationalError as error:
            if time.monotonic() - last_good > _PATIENCE_SECONDS:
                raise failure("database_away", "Postgres went away; the jobs stay. Check it with `doctor`.") from error
        yield rows  # as they were: whoever watches may be the one who brings Postgres back
        time.sleep(LOOK_SECONDS)


def _look(connection: psycopg.Connection[Row], job_ids: Sequence[UUID]) -> list[Row]:
    rows = connection.execute(_JOBS, {"ids": list(job_ids)}).fetchall()
    if not {row["job_id"] for row in rows}.issuperset(job_ids):
        raise failure("job_gone", "A job was deleted while it was being followed: submit its source again.")
    return rows


@contextmanager
def _display() -> Iterator[Callable[[list[Row]], None]]:
    if not terminal.err().is_terminal:
        yield _Lines().show
        return
    with progress_bars() as progress:
        yield _Bars(progress).show


class _Lines:
    """A line for each change, and now and then one for the bytes."""

    def __init__(self) -> None:
        self._said: dict[UUID, tuple[Any, float]] = {}

    def show(self, rows: list[Row]) -> None:
        for row in rows:
            stage, wait = (row["progress"] or {}).get("stage"), (row["host_wait"] or {}).get("why")
            pause = (row["pause"] or {}).get("error_code")
            state = (row["status"], None if pause else row["not_before"], row["error_code"], stage, wait, pause)
            before, at = self._said.get(row["job_id"], (None, 0.0))
            if state != before or (row["status"] == "running" and time.monotonic() - at > _LINE_SECONDS):
                self._said[row["job_id"]] = (state, time.monotonic())
                terminal.say(f"{source_name(row)}: {family_text(row, _children(row, rows))} {progress_text(row)}")


class _Bars:
    """A bar for each job, and for a playlist's jobs while they run."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._tasks: dict[UUID, TaskID] = {}

    def show(self, rows: list[Row]) -> None:
        for row in rows:
            children = _children(row, rows)
            total, completed = _bar(row, children)
            if row["job_id"] not in self._tasks:
                self._tasks[row["job_id"]] = self._progress.add_task("", total=1, amount="")
            self._progress.update(
                self._tasks[row["job_id"]],
                total=total,
                completed=completed,
                description=f"{source_name(row, 28)}: {family_text(row, children)}",
                amount=progress_text(row),
                visible=row["parent_job_id"] is None or row["status"] == "running",
            )


def _children(row: Row, rows: list[Row]) -> Row | None:
    return children_in(rows, row) if row["outcome"] == "expanded" else None


def _bar(row: Row, children: Row | None) -> tuple[float | None, float]:
    """Total and completed: of a playlist's jobs; else of the bytes while it runs (unknown total: the bar swings), else
    nothing or all."""
    if children:
        return children["jobs"], sum(children[state] for state in TERMINAL)
    if row["status"] == "succeeded":
        return 1, 1
    if row["status"] != "running":
        return 1, 0
    progress = row["progress"] or {}
    return progress.get("total") or None, progress.get("bytes") or 0
