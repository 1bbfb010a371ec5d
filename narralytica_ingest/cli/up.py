"""`up`: the whole stack, and what is submitted to it."""

import time
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import typer

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.families import all_succeeded
from narralytica_ingest.cli.follow import follow
from narralytica_ingest.cli.look import JsonOption, print_records, records
from narralytica_ingest.cli.references import Reference, parse, sample
from narralytica_ingest.cli.submit import submit_all
from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.failures import failure
from narralytica_ingest.local.stack import Stack
from narralytica_ingest.store import jobs
from narralytica_ingest.store.database import Database, Row
from narralytica_ingest.store.jobs import JobRequest

# How long `up` lets runs finish whose jobs have ended; it takes a fraction of a second.
RUN_END_SECONDS = 10.0


def up(
    port: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=65535, help="Port of the UI (default 3000); 0: a free one.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Videos processed at once (default 2).")
    ] = None,
    submit: Annotated[
        list[str] | None, typer.Option(metavar="SOURCE", help="Submit this, and show what comes out; may be repeated.")
    ] = None,
    use_sample: Annotated[
        bool, typer.Option("--sample", metavar="", help="Submit the bundled clip of speech.")
    ] = False,
    exit_when_done: Annotated[
        bool,
        typer.Option(
            "--exit-when-done", metavar="", help="Stop when all submitted jobs have ended; exit 1 if one failed."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the whole stack: Postgres, S3, workers, Dagster and its UI. Ctrl-C stops it all.

    Whatever dies is started again. All state is under NARRALYTICA_HOME; what it does is said on standard error.
    """
    references = ([sample()] if use_sample else []) + parse(submit or [])
    if exit_when_done and not references:
        raise failure("nothing_to_wait_for", "--exit-when-done needs something to wait for: add --submit SOURCE.")
    settings = _settings(port, workers)
    with Stack(settings, _say) as stack:
        try:
            found = _run(stack, settings, references, as_json)
        except KeyboardInterrupt:
            _say("Stopping. Jobs that were submitted stay; the next `up` goes on with them.")
            raise
        if not exit_when_done:
            _keep_running(stack)
        _say("Stopping.")
        _let_runs_end(stack, found)
    if exit_when_done and not all_succeeded(found):
        raise typer.Exit(1)


def _settings(port: int | None, workers: int | None) -> Settings:
    given: dict[str, Any] = {"ui_port": port, "workers": workers}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _run(stack: Stack, settings: Settings, references: Sequence[Reference], as_json: bool) -> list[Row]:
    """Starts the stack, and brings what was submitted to its end. Returns the records."""
    started = time.monotonic()
    endpoints = stack.start()
    job_ids = submit_all(settings, endpoints, references, JobRequest()) if references else []
    stack.wait_until_ready()
    _say(f"Ready after {terminal.seconds(time.monotonic() - started)}. The UI: {stack.ui_url}")
    found = _follow(stack, endpoints, job_ids)
    if as_json:
        terminal.print_json(found)
    else:
        print_records(settings, found)
    return found


def _follow(stack: Stack, endpoints: Endpoints, job_ids: Sequence[UUID]) -> list[Row]:
    if job_ids:
        follow(endpoints.postgres_url, job_ids, meanwhile=stack.supervise)
    return records(endpoints, job_ids)


def _let_runs_end(stack: Stack, found: Sequence[Row]) -> None:
    """A job ends a moment before its run; a worker that is stopped in between would make a failed run of a good one."""
    assert stack.endpoints is not None
    job_ids = [each["job"]["job_id"] for each in found]
    database, deadline = Database(stack.endpoints.postgres_url), time.monotonic() + RUN_END_SECONDS
    while time.monotonic() < deadline:
        with database.transaction() as connection:
            if not jobs.unfinished_runs(connection, job_ids):
                return
        time.sleep(0.1)


def _keep_running(stack: Stack) -> None:
    _say(f"Running until Ctrl-C. The UI: {stack.ui_url}")
    try:
        stack.run_forever()
    except KeyboardInterrupt:  # the ordinary end of a stack, and no error
        return


def _say(sentence: str) -> None:
    terminal.say(f"up: {sentence}", "dim")
