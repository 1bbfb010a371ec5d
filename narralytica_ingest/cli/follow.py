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
from narralytica_ingest.cli.describe import progress_text, source_name, state_text
from narralytica_ingest.failures import local, permanent
from narralytica_ingest.store.database import Row
from narralytica_ingest.store.jobs import TERMINAL

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LOOK_SECONDS = 0.5
_BURST_SECONDS = 0.1  # many changes at once are one look
_PATIENCE_SECONDS = 60.0
_LINE_SECONDS = 10.0

_JOBS = """
SELECT j.* FROM unnest(%s::uuid[]) WITH ORDINALITY AS wanted (job_id, place) JOIN ingest_jobs j USING (job_id)
 ORDER BY place
"""


def follow(postgres_url: str, job_ids: Sequence[UUID], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Shows the jobs' progress on standard error until all have ended. Calls `meanwhile` about twice a second.

    Raises IngestError `job_gone`, and `database_away` if Postgres stays away for a minute.
    """
    with _display() as show:
        for rows in watch(postgres_url, job_ids):
            show(rows)
            meanwhile()


def watch(postgres_url: str, job_ids: Sequence[UUID]) -> Iterator[list[Row]]:
    """The jobs' rows, in the order given, at every change of state and twice a second, until all have ended."""
    last_good = time.monotonic()
    rows: list[Row] = []
    while True:
        try:
            with psycopg.connect(postgres_url, autocommit=True, row_factory=dict_row, connect_timeout=10) as connection:
                connection.execute("LISTEN narralytica_ingest")
                while True:
                    rows = _look(connection, job_ids)
                    last_good = time.monotonic()
                    yield rows
                    if all(row["status"] in TERMINAL for row in rows):
                        return
                    time.sleep(_BURST_SECONDS)
                    for _ in connection.notifies(timeout=LOOK_SECONDS - _BURST_SECONDS, stop_after=1):
                        pass
        except psycopg.OperationalError as error:
            if time.monotonic() - last_good > _PATIENCE_SECONDS:
                raise local("database_away", "Postgres went away; the jobs stay. Check it with `doctor`.") from error
        yield rows  # as they were: whoever watches may be the one who brings Postgres back
        time.sleep(LOOK_SECONDS)


def _look(connection: psycopg.Connection[Row], job_ids: Sequence[UUID]) -> list[Row]:
    rows = connection.execute(_JOBS, (list(job_ids),)).fetchall()
    if len(rows) != len(job_ids):
        raise permanent("job_gone", "A job was deleted while it was being followed: submit its source again.")
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
        self._said: dict[int, tuple[Any, float]] = {}

    def show(self, rows: list[Row]) -> None:
        for place, row in enumerate(rows):
            state = (row["status"], row["not_before"], row["error_code"], (row["progress"] or {}).get("stage"))
            before, at = self._said.get(place, (None, 0.0))
            if state != before or (row["status"] == "running" and time.monotonic() - at > _LINE_SECONDS):
                self._said[place] = (state, time.monotonic())
                terminal.say(f"{source_name(row)}: {state_text(row)} {progress_text(row)}")


class _Bars:
    """A bar for each job."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._tasks: list[TaskID] = []

    def show(self, rows: list[Row]) -> None:
        while len(self._tasks) < len(rows):
            self._tasks.append(self._progress.add_task("", total=1, amount=""))
        for task, row in zip(self._tasks, rows, strict=True):
            total, completed = _bar(row)
            label = f"{source_name(row, 28)}: {state_text(row)}"
            self._progress.update(task, total=total, completed=completed, description=label, amount=progress_text(row))


def _bar(row: Row) -> tuple[float | None, float]:
    """Total and completed: of the bytes while it runs (unknown total: the bar swings), else nothing or all."""
    if row["status"] == "succeeded":
        return 1, 1
    if row["status"] != "running":
        return 1, 0
    progress = row["progress"] or {}
    return progress.get("total") or None, progress.get("bytes") or 0
