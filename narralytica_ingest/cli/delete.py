"""`delete`: a video goes, with its objects, its rows and its partition; what was done is said."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.look import JsonOption
from narralytica_ingest.cli.services import tables
from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.object_store.audit import require_bucket
from narralytica_ingest.recovery.delete import Deletion, delete_video
from narralytica_ingest.store import deletion
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.deletion import Outline

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Of the object store: the lock on a key is held while it is asked to remove the object.
PATIENCE_SECONDS = 5.0


def delete(
    video: Annotated[
        str, typer.Argument(metavar="VIDEO", help="Its id, another name of it, or a job of it.", show_default=False)
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a video: its stored objects (but those that another video has), its rows and its partition.

    Its jobs stay as history; those that have not ended fail. Interrupted, the same command finishes the deletion.
    """
    from narralytica_ingest.object_store.client import make_client

    settings = load_settings()
    if not yes and not sys.stdin.isatty():
        raise failure("not_confirmed", "This deletes for good, and there is no terminal to ask: add --yes.")
    with tables(settings, s3=True) as endpoints:
        client = make_client(endpoints.s3, seconds=PATIENCE_SECONDS, attempts=2)
        require_bucket(client, settings.s3_bucket)  # before anything is changed
        video_id, found = _find(endpoints, video)
        if found is not None and not yes and not _confirmed(found):
            terminal.say("Nothing is deleted.")
            raise typer.Exit(1)
        done = _delete(settings, endpoints, client, video_id)
    if done is None:
        raise _unknown(video)
    if as_json:
        terminal.print_json(asdict(done))
    else:
        _print(done, settings.sweep_grace_seconds)


def _delete(settings: Settings, endpoints: Endpoints, client: "S3Client", video_id: str) -> Deletion | None:
    def on_wait(run_id: str) -> None:
        terminal.say(f"Run {run_id} was at work on it: it stops at its next heartbeat.", "dim")

    return delete_video(settings, endpoints, client, video_id, on_wait)


def _find(endpoints: Endpoints, name: str) -> tuple[str, Outline | None]:
    """The video that is meant. Of one that is gone already there may still be something, under its own id."""
    if not name.isprintable():  # Postgres takes neither NUL nor broken UTF-8
        raise _unknown(name)
    with Database(endpoints.postgres_url).transaction() as connection:
        video_id = deletion.find(connection, name)
        if video_id is not None:
            return video_id, deletion.outline(connection, video_id)
    if not deletion.is_video_id(name):
        raise _unknown(name)
    return name, None


def _unknown(name: str) -> IngestError:
    return failure(
        "no_such_job_or_video",
        f"There is no video {terminal.clean(name)}, and nothing is left of one: `narralytica-ingest jobs` lists what "
        "there is. (What an interrupted deletion left is found by the video's own id.)",
    )


def _confirmed(found: Outline) -> bool:
    about = [f"{_counted(found.objects, 'stored object')}, {terminal.size(found.size_bytes)}"]
    if found.unfinished_jobs:
        about.append(f"{_counted(found.unfinished_jobs, 'unfinished job')}")
    title = f" “{terminal.clean(found.title)}”" if found.title else ""
    terminal.say(f"{found.video_id}{title} ({found.status}): {'; '.join(about)}.")
    return typer.confirm("Delete it for good?", err=True)


def _print(done: Deletion, grace_seconds: float) -> None:
    from rich.text import Text

    console = terminal.out()
    head = "What was left of video " if done.finished else "Video "
    tail = " is removed" if done.finished else " is deleted"
    console.print(Text.assemble((head, "bold"), terminal.text(done.video_id), (tail, "green")), soft_wrap=True)
    for name, value in _facts(done, grace_seconds):
        console.print(Text.assemble((f"  {name:<12}", "dim"), terminal.text(value)), soft_wrap=True)


def _facts(done: Deletion, grace_seconds: float) -> Iterator[tuple[str, str]]:
    yield "objects", f"{done.objects_removed} removed ({terminal.size(done.bytes_removed)})"
    if done.objects_kept:
        yield "kept", f"{_counted(done.objects_kept, 'object')} that another video has, too"
    if done.objects_left:
        grace = terminal.seconds(grace_seconds)
        yield "left", f"{_counted(done.objects_left, 'object')} on the way: `up` sweeps what arrives, {grace} from now"
    if done.jobs_ended:
        yield "jobs", f"{_counted(len(done.jobs_ended), 'job')} ended as failed (video_deleted)"
    if done.run_id is not None:
        how = "has stopped" if done.run_stopped else "was told to stop; it can write nothing more"
        yield "run", f"{done.run_id} {how}"
    yield "partition", "removed" if done.partition_removed else "there was none"
    if done.partial_removed:
        yield "download", "the unfinished one on this machine is removed"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
