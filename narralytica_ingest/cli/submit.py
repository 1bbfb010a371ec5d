"""`submit`: from what people name to jobs, uploading local files on the way."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.bars import byte_bar
from narralytica_ingest.cli.describe import state_text
from narralytica_ingest.cli.families import all_succeeded
from narralytica_ingest.cli.follow import follow
from narralytica_ingest.cli.look import JsonOption, print_records, records
from narralytica_ingest.cli.references import Reference, checked, parse
from narralytica_ingest.cli.services import tables, up_is_running
from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.failures import failure
from narralytica_ingest.media.profiles import language_names, profile_names
from narralytica_ingest.store import jobs
from narralytica_ingest.store.database import Database, Row
from narralytica_ingest.store.jobs import TERMINAL, JobRequest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from narralytica_ingest.sources.upload_area import UploadArea

_INT4 = 2**31 - 1


def submit(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="A URL, a local file, or s3://bucket/key.")],
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Title, where the source states none.")] = None,
    channel: Annotated[str | None, typer.Option(metavar="TEXT", help="Channel, where the source states none.")] = None,
    language: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Language (`en`), where the source states none.")
    ] = None,
    priority: Annotated[int, typer.Option(metavar="N", help="Higher goes first.")] = 0,
    idempotency_key: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="A name for this request: a second one with it finds the first one's job."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Ingest again, although the video is ready.")
    ] = False,
    max_height: Annotated[
        int | None, typer.Option(metavar="PIXELS", min=1, max=100_000, help="Greatest picture height.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="TEXT", help="yt-dlp format selector, in place of the usual choice."),
    ] = None,
    max_duration: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.001, max=1e9, help="Longest video to take.")
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(metavar="N", min=1, help="Largest original to take.")] = None,
    playlist_limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Most videos to take from a playlist.")
    ] = None,
    audio_profile: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An audio track wanted, too: flac, wav, opus, channels, original."),
    ] = None,
    audio_language: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="A language (`de`) of which a track is wanted, too.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", metavar="", help="Follow them to the end; exit 1 if one does not succeed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Insert a job for each SOURCE. A local file is uploaded first.

    A video that is known already is answered at once. Everything else waits for `up`. A playlist or channel becomes a
    job for each of its videos, which --wait follows, too.
    """
    if idempotency_key is not None and len(sources) > 1:
        raise failure("one_key_one_source", "An idempotency key names one request: give one SOURCE with it.")
    request = JobRequest(
        title=_checked(title, "--title"),
        channel=_checked(channel, "--channel"),
        language=_checked(language, "--language"),
        priority=priority,
        idempotency_key=_checked(idempotency_key, "--idempotency-key"),
        force=force,
        options=_options(
            max_height=max_height,
            format=_checked(format_, "--format"),
            max_duration_seconds=max_duration,
            max_bytes=max_bytes,
            playlist_limit=playlist_limit,
            audio_profiles=_each(profile_names, audio_profile, "--audio-profile"),
            audio_languages=_each(language_names, audio_language, "--audio-language"),
        ),
    )
    if abs(priority) > _INT4:
        raise failure("bad_priority", f"--priority must lie between {-_INT4} and {_INT4}.")
    references = parse(sources)
    settings = load_settings()
    with tables(settings, may_migrate=True) as endpoints:
        job_ids = _known(endpoints, request) or _submit_with_s3(settings, endpoints, references, request)
        found = records(endpoints, job_ids)
        if wait or not as_json:
            _say_if_it_waits(settings, found)
        if wait:
            follow(endpoints.postgres_url, job_ids)
            found = records(endpoints, job_ids)
    if as_json:
        terminal.print_json(found)
    elif wait:
        print_records(settings, found)
    else:
        _print_lines(found)
    if wait and not all_succeeded(found):
        raise typer.Exit(1)


def submit_all(
    settings: Settings, endpoints: Endpoints, references: Sequence[Reference], request: JobRequest
) -> list[UUID]:
    """Uploads the local files, inserts all jobs at once, and answers those whose video is ready. S3 must be running.

    Raises IngestError `file_changed` and what the object store and Postgres raise; then no job is inserted.
    """
    from narralytica_ingest.intake import Intake

    uploads = _upload(settings, endpoints, [each.file for each in references if each.file])
    requests = [_request(each, request, uploads) for each in references]
    with Database(endpoints.postgres_url).transaction() as connection:
        job_ids = [jobs.insert(connection, each) for each in requests]
    Intake(settings, endpoints).admit(job_ids)
    return job_ids


def _known(endpoints: Endpoints, request: JobRequest) -> list[UUID]:
    """The job that has the idempotency key already."""
    query = "SELECT job_id FROM ingest_jobs WHERE idempotency_key = %s"
    known = [row["job_id"] for row in Database(endpoints.postgres_url).all(query, (request.idempotency_key,))]
    if known:
        terminal.say("A job with this idempotency key is there already: nothing new was submitted.", "yellow")
    return known


def _submit_with_s3(
    settings: Settings, endpoints: Endpoints, references: Sequence[Reference], request: JobRequest
) -> list[UUID]:
    if not any(each.needs_s3 for each in references):
        return submit_all(settings, endpoints, references, request)
    from narralytica_ingest.local.services import hold

    with hold(settings, postgres=False):
        return submit_all(settings, endpoints, references, request)


def _request(reference: Reference, request: JobRequest, uploads: dict[Path, str]) -> JobRequest:
    titled = replace(request, title=request.title or reference.title)
    if reference.file is not None:
        return replace(titled, upload_ref=uploads[reference.file])
    if reference.is_upload:
        return replace(titled, upload_ref=reference.text)
    return replace(titled, source_url=reference.text)


def _upload(settings: Settings, endpoints: Endpoints, files: Sequence[Path]) -> dict[Path, str]:
    if not files:
        return {}
    from narralytica_ingest.intake import upload_area
    from narralytica_ingest.object_store.client import make_client

    client, area = make_client(endpoints.s3), upload_area(settings)
    return {file: _upload_one(client, file, area) for file in files}


def _upload_one(client: "S3Client", file: Path, area: "UploadArea") -> str:
    """The key holds the file's SHA-256, so a file that changes on the way must not stay under it."""
    from narralytica_ingest.media.integrity import sha256_file
    from narralytica_ingest.object_store.media import ObjectRef
    from narralytica_ingest.object_store.uploads import upload_file, upload_key

    before = file.stat()
    with byte_bar(f"{file.name}: reading", before.st_size) as bar:
        sha256 = sha256_file(file, bar.reach)
    ref = ObjectRef(area.bucket, area.inside(upload_key(sha256, file.name)))
    with byte_bar(f"{file.name}: uploading", before.st_size) as bar:
        reference = upload_file(client, file, ref, sha256, bar.advance)
    after = file.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        if bar.done:  # else it was there already, and right
            client.delete_object(Bucket=ref.bucket, Key=ref.key)
        raise failure("file_changed", f"{file} changed while it was uploaded: submit it again when it is complete.")
    return reference


def _say_if_it_waits(settings: Settings, found: Sequence[Row]) -> None:
    count = sum(each["job"]["status"] not in TERMINAL for each in found)
    if count and not up_is_running(settings.home):
        waiting = "the job waits" if count == 1 else f"{count} jobs wait"
        terminal.say(f"`up` is not running here: {waiting} until `narralytica-ingest up` runs.", "yellow")


def _print_lines(found: Sequence[Row]) -> None:
    for each in found:
        job = each["job"]
        said = f"{job['job_id']}  {state_text(job)}" + (f"  {job['video_id']}" if job["video_id"] else "")
        terminal.out().print(terminal.text(said), soft_wrap=True)
        if job["status"] == "failed":
            terminal.say(f"  {job['error_message']}", "red")


def _options(**wishes: object) -> dict[str, object]:
    return {name: wish for name, wish in wishes.items() if wish is not None}


def _each(names: Callable[[list[str]], Sequence[str]], given: list[str] | None, option: str) -> list[str] | None:
    """Names that may be given several times; none is no wish."""
    try:
        return list(names(given)) if given else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _checked(value: str | None, name: str) -> str | None:
    return None if value is None else checked(value, name)
