"""`retry` and `cancel`: what an operator does to a job, told truthfully."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import typer

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.describe import is_deferred, pause_text, rest_text, state_text
from narralytica_ingest.cli.families import children_text
from narralytica_ingest.cli.follow import follow
from narralytica_ingest.cli.look import JsonOption, find, records
from narralytica_ingest.cli.services import tables, up_is_running
from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.store import jobs
from narralytica_ingest.store.database import Database, Row

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)]


def retry(
    job: JobArgument,
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Take a succeeded job, too: ingest its video again.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Queue a job again that failed or was canceled, with fresh attempts; or let a deferred one go at once.

    Of a playlist its failed and canceled jobs are queued; with --force it is listed again, and what is new is added.
    """
    job_id, settings = _job_id(job), load_settings()
    with tables(settings) as endpoints:
        before = find(endpoints, job)["job"]
        family = _is_playlist(before) and not force
        if before is not None and before["host_wait"] and not is_deferred(before):
            raise failure("job_not_ended", f"Job {job_id} is queued and waits: {rest_text(before['host_wait'])}.")
        with Database(endpoints.postgres_url).transaction() as connection:
            if family:
                children = jobs.retry_children(connection, job_id)
            else:
                jobs.retry(connection, job_id, force=force)
        record = find(endpoints, job)
    if family and not children:
        raise failure(
            "job_not_ended", f"No job of playlist {job_id} failed or was canceled: --force lists the playlist again."
        )
    if as_json:
        terminal.print_json(record)
        return
    deferred = before["status"] == "queued"
    what = "no longer waits for its time" if deferred else f"is queued again (it was {before['status']})"
    up = up_is_running(settings.home)
    then = _then(record["job"], up)
    if family:
        what, then = f"has {_counted(children)} queued again", "." if up else "; `up` does not run here."
    _print(f"Job {job_id} {what}{then}")


def cancel(
    job: JobArgument,
    wait: Annotated[
        bool, typer.Option("--wait", metavar="", help="Wait for its end; exit 1 if it was not canceled.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Cancel a job: at once if no run has it yet, else its run is asked to stop, which takes some seconds.

    Of a playlist its unfinished jobs are canceled.
    """
    job_id, settings = _job_id(job), load_settings()
    with tables(settings) as endpoints:
        if _is_playlist(find(endpoints, job)["job"]):
            _cancel_playlist(settings, endpoints, job_id, wait=wait, as_json=as_json)
            return
        try:
            with Database(endpoints.postgres_url).transaction() as connection:
                status = jobs.cancel(connection, job_id)
        except IngestError:
            if not _is_playlist(find(endpoints, job)["job"]):
                raise
            _cancel_playlist(settings, endpoints, job_id, wait=wait, as_json=as_json)  # it was expanded just now
            return
        if status == "running" and wait and not up_is_running(settings.home):
            terminal.say("`up` is not running here: the job ends when `narralytica-ingest up` runs.", "yellow")
        if wait:
            follow(endpoints.postgres_url, [job_id])
        record = find(endpoints, job)
    now = record["job"]["status"]
    if as_json:
        terminal.print_json(record)
    elif now == "canceled":
        _print(f"Job {job_id} is canceled.")
    elif wait:
        _print(f"Job {job_id} ended before the cancel reached it: {state_text(record['job'])}.")
    elif status == "running":
        who = "its run was asked to stop" if up_is_running(settings.home) else "it ends when `up` runs again"
        _print(f"Job {job_id} is running; {who}.")
    if wait and now != "canceled":
        raise typer.Exit(1)


def _then(job: Row, up: bool) -> str:
    """How the sentence about a queued job ends: what it waits for now."""
    if up and (job["pause"] or job["host_wait"]):
        return f". It waits: {pause_text(job['pause']) if job['pause'] else rest_text(job['host_wait'])}."
    return ": it goes with the next look at the job table." if up else ": it goes when `up` runs."


def _cancel_playlist(settings: Settings, endpoints: Endpoints, job_id: UUID, *, wait: bool, as_json: bool) -> None:
    with Database(endpoints.postgres_url).transaction() as connection:
        children = jobs.cancel_children(connection, job_id)
    if not children:
        raise failure("job_has_ended", f"All jobs of playlist {job_id} have ended: there is nothing to cancel.")
    if wait:
        follow(endpoints.postgres_url, children)
    record = find(endpoints, str(job_id))
    ended = records(endpoints, children)
    running = [each for each in ended if each["job"]["status"] == "running"]
    if as_json:
        terminal.print_json(record)
    else:
        who = "their runs were asked to stop" if up_is_running(settings.home) else "they end when `up` runs again"
        left = f"; {_counted(running)} running: {who}" if running else ""
        _print(f"Job {job_id} had {_counted(children)} to cancel{left}. Now: {children_text(record['children'])}.")
    if wait and any(each["job"]["status"] != "canceled" for each in ended):
        raise typer.Exit(1)


def _is_playlist(job: Row | None) -> bool:
    return job is not None and job["outcome"] == "expanded"


def _counted(children: Sequence[object]) -> str:
    return "1 job" if len(children) == 1 else f"{len(children)} jobs"


def _job_id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise failure(
            "not_a_job_id", f"{terminal.clean(value)} is no job id: `narralytica-ingest jobs` lists them."
        ) from None


def _print(sentence: str) -> None:
    terminal.out().print(terminal.text(sentence), soft_wrap=True)
