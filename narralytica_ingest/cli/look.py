"""`jobs` and `show`: what is there."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.services import running_ui, tables, up_is_running
from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.failures import failure
from narralytica_ingest.store import jobs as table
from narralytica_ingest.store import pauses
from narralytica_ingest.store.database import Database, Row
from narralytica_ingest.store.hosts import host_rules, waits

JsonOption = Annotated[
    bool, typer.Option("--json", metavar="", help="JSON on standard output, and nothing else there.")
]


class Status(StrEnum):
    """The states of a job."""

    QUEUED = "queued"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


def jobs(
    status: Annotated[Status | None, typer.Option(metavar="STATE", help="Only jobs in this state.")] = None,
    parent: Annotated[
        UUID | None, typer.Option(metavar="JOB", help="Only the jobs of this playlist.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    from narralytica_ingest.cli.render import job_table

    settings = load_settings()
    with tables(settings) as endpoints, Database(endpoints.postgres_url).transaction() as connection:
        rows = table.recent(connection, status.value if status else None, limit, parent)
        rows = pauses.waits(connection, waits(connection, host_rules(settings), rows))
        paused = pauses.look(connection)
    if as_json:
        terminal.print_json(rows)
        return
    for pause in paused:
        terminal.out().print(terminal.text(pause.sentence, "yellow"), soft_wrap=True)
    if rows:
        terminal.out().print(job_table(rows, terminal.out().width))
    else:
        which = f"{f' of playlist {parent}' if parent else ''}{f' in state {status}' if status else ''}"
        terminal.say(f"There are no jobs{which}.")


def show(
    job_or_video: Annotated[str, typer.Argument(help="A job's id, or a video's.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Show all about a job or a video: state, failure and remedy, stored objects, metadata."""
    settings = load_settings()
    with tables(settings) as endpoints:
        record = find(endpoints, job_or_video)
    if as_json:
        terminal.print_json(record)
    else:
        print_records(settings, [record])


def find(endpoints: Endpoints, job_or_video: str) -> Row:
    """The record of a job or a video. Raises IngestError `no_such_job_or_video`."""
    askable = job_or_video.isprintable()  # Postgres takes neither NUL nor broken UTF-8
    with Database(endpoints.postgres_url).transaction() as connection:
        record = table.record(connection, job_or_video) if askable else None
        if record is not None and record["job"] is not None:
            rows = waits(connection, host_rules(load_settings()), [record["job"]])
            record["job"] = pauses.waits(connection, rows)[0]
    if record is None:
        raise failure(
            "no_such_job_or_video",
            f"There is no job or video {terminal.clean(job_or_video)}: `narralytica-ingest jobs` lists what there is.",
        )
    return record


def records(endpoints: Endpoints, job_ids: Sequence[UUID]) -> list[Row]:
    """The records of these jobs, in this order."""
    return [find(endpoints, str(job_id)) for job_id in job_ids]


def print_records(settings: Settings, found: Sequence[Row]) -> None:
    """The records as screens on standard output."""
    from narralytica_ingest.cli.render import record_screen

    ui, up = running_ui(settings.home), up_is_running(settings.home)
    for place, record in enumerate(found):
        if place:
            terminal.out().print()
        screen = record_screen(record, ui=ui, up_is_running=up, max_attempts=settings.max_attempts)
        terminal.out().print(screen, soft_wrap=True)
