"""Jobs and videos as screens for people: from them an operator understands any failure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from narralytica_ingest.cli.contacts import contact_facts
from narralytica_ingest.cli.describe import (
    detail_text,
    is_deferred,
    next_step,
    progress_text,
    source_name,
    source_of,
    took,
)
from narralytica_ingest.cli.families import children_text
from narralytica_ingest.cli.terminal import age, moment, seconds, size, text
from narralytica_ingest.redaction import shown_url
from narralytica_ingest.store.database import Row

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_WIDE = 120  # columns
_ORDER = ("raw_video", "audio_track", "captions", "thumbnail", "source_info")
_STYLES = {"succeeded": "green", "ready": "green", "failed": "bold red", "canceled": "magenta", "running": "cyan"}


def job_table(jobs: Sequence[Row], width: int) -> "Table":
    """The jobs: id, state, age, source, and what there is to say; that goes below the source where `width` is small."""
    from rich.table import Table
    from rich.text import Text

    wide = width >= _WIDE
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("JOB", "STATE", "AGE"):
        table.add_column(name, no_wrap=True)
    table.add_column("SOURCE", overflow="fold")
    if wide:
        table.add_column("", overflow="fold")
    for job in jobs:
        style = _STYLES.get(job["status"], "")
        fare = f": {children_text(job['children'])}" if job["children"] else ""
        detail = text(f"{detail_text(job)}{fare} {progress_text(job)}", style)
        source = text(source_name(job))
        cells = [source, detail] if wide else [Text("\n").join([source, detail]) if detail else source]
        table.add_row(str(job["job_id"]), text(job["status"], style), age(job["created_at"]), *cells)
    return table


def record_screen(record: Row, *, ui: str | None, up_is_running: bool, max_attempts: int) -> "RenderableType":
    """Everything about a job and its video. `ui` is the address of the Dagster UI, if it is there."""
    from rich.console import Group

    job, video, files, metadata = record["job"], record["video"], record["media_files"], record["metadata"]
    parts: list[RenderableType] = []
    if job is not None:
        parts += [_title("Job", job["job_id"], job["status"], job["outcome"])]
        parts += _lines(_job_facts(job, ui, up_is_running, max_attempts))
    if record.get("children"):
        parts += [_heading("Playlist"), *_lines(_playlist_facts(job, record["children"]))]
    if video is not None:
        parts += [_title("Video", video["video_id"], video["status"]), *_lines(_video_facts(video, job, ui))]
        parts += _lines(contact_facts(record["contacts"]))
    if metadata is not None:
        parts += [_heading("Metadata"), *_lines(_metadata_facts(metadata))]
    if files:
        parts += [_heading("Stored objects"), *_files(files)]
    return Group(*parts)


def _title(name: str, identity: object, status: str, outcome: str | None = None) -> "Text":
    from rich.text import Text

    said = f"{status} ({outcome})" if outcome else status
    return Text.assemble((f"{name} ", "bold"), text(identity), "  ", (said, _STYLES.get(status, "yellow")))


def _heading(name: str) -> "Text":
    from rich.text import Text

    return Text(name, style="bold")


def _lines(facts: Iterator[tuple[str, Any, str]]) -> Iterator["Text"]:
    """One line each, however long: a terminal wraps it, and a URL or a key can still be clicked and copied."""
    from rich.text import Text

    for name, value, style in facts:
        if value not in (None, ""):
            yield Text.assemble((f"  {name:<12}", "dim"), text(value, style))


Facts = Iterator[tuple[str, Any, str]]


def _job_facts(job: Row, ui: str | None, up_is_running: bool, max_attempts: int) -> Facts:
    yield "source", source_of(job), ""
    hints = {name: job[name] for name in ("title", "channel", "language") if job[name]}
    yield "hints", ", ".join(f"{name}: {value}" for name, value in hints.items()), ""
    yield "options", ", ".join(f"{name}: {str(value).lower()}" for name, value in job["options"].items()), ""
    yield "priority", job["priority"] or None, ""
    yield "key", job["idempotency_key"], ""
    yield "created", moment(job["created_at"]), ""
    yield "finished", _moment(job["finished_at"]), ""
    yield "took", took(job), ""
    yield "attempts", _attempts(job, max_attempts), ""
    if job["status"] == "running":
        yield "progress", f"{detail_text(job)} {progress_text(job)}", "cyan"
        yield "heartbeat", _moment(job["heartbeat_at"]), ""
    yield "run", job["run_id"], ""
    yield "run in UI", f"{ui}/runs/{job['run_id']}" if ui and job["run_id"] else None, ""
    if job["error_code"]:
        yield "error", f"{job['error_class']} / {job['error_code']}", "red"
        yield "what", job["error_message"], "red" if job["status"] == "failed" else ""
    if is_deferred(job):
        yield "next try", _moment(job["not_before"]), ""
    yield "next", next_step(job, up_is_running), "bold"


def _playlist_facts(job: Row, children: Row) -> Facts:
    playlist = job["playlist"]
    yield "title", playlist["title"], ""
    yield "listed", f"{playlist['videos']} videos{_left_out(job)}", ""
    yield "jobs", children_text(children), "bold"
    for failed in children["failures"]:
        name = failed["title"] or shown_url(failed["source_url"])
        yield "failed", f"{name}: {failed['error_code']} (job {failed['job_id']})", "red"
    unnamed = children["failed"] - len(children["failures"])
    yield "", f"and {unnamed} more that failed" if unnamed > 0 else None, "red"
    yield "all of them", f"narralytica-ingest jobs --parent {job['job_id']} --limit {children['jobs']}", ""
    if children["failed"] or children["canceled"]:
        yield "again", f"narralytica-ingest retry {job['job_id']}", ""


def _left_out(job: Row) -> str:
    playlist, limits = job["playlist"], ["NARRALYTICA_PLAYLIST_LIMIT"]
    if "playlist_limit" in job["options"]:
        limits.insert(0, "playlist_limit")
    more = f"; the limit leaves others out ({' or '.join(limits)})" if playlist["more"] else ""
    return f"{more}; {playlist['skipped']} entries have no usable URL" if playlist["skipped"] else more


def _attempts(job: Row, max_attempts: int) -> str | None:
    if not job["failures"] or job["error_class"] in ("permanent", "needs_operator"):
        return str(job["attempt"]) if job["attempt"] else None
    allowed = "" if job["finished_at"] else f" (at {job['max_attempts'] or max_attempts} it fails for good)"
    return f"{job['attempt']}, of which {job['failures']} failed{allowed}"


def _video_facts(video: Row, job: Row | None, ui: str | None) -> Facts:
    where = source_of(video)
    yield "source", where if job is None or where != source_of(job) else None, ""
    yield "from", video["source"], ""
    yield "ready", _moment(video["ready_at"]), ""
    yield "generation", video["generation"] or None, ""
    yield "content", video["content_sha256"] and f"sha256 {video['content_sha256']}", ""
    # The run whose job has just succeeded holds its lease for a moment longer: not worth a line.
    if video["lease_run_id"] and not (job and job["finished_at"] and job["run_id"] == video["lease_run_id"]):
        yield "at work", f"run {video['lease_run_id']}", "cyan"
    if video["error_code"] and (job is None or job["error_code"] != video["error_code"]):
        yield "error", f"{video['error_class']} / {video['error_code']}: {video['error_message']}", "red"
    yield "in UI", f"{ui}/assets/raw_video?partition={video['video_id']}" if ui else None, ""


# How much of a time is told, by its precision.
_TIMES = {"second": "%Y-%m-%d %H:%M:%S UTC", "day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}


def _metadata_facts(metadata: Row) -> Facts:
    yield "title", *_stated(metadata, "title")
    yield "channel", *_stated(metadata, "channel")
    yield "published", *_stated(metadata, "published_at")
    yield "language", *_stated(metadata, "language")
    duration = metadata["measured_duration_seconds"] or metadata["declared_duration_seconds"]
    yield "duration", duration and f"{seconds(duration)} ({duration:.2f} s)", ""
    yield "picture", _picture(metadata), ""
    yield "sound", _sound(metadata), ""
    yield "container", metadata["measured_container"], ""
    yield "chapters", len(metadata["chapters"] or []) or None, ""
    yield "captions", _captions(metadata["captions"] or []), ""
    yield "tags", ", ".join(str(tag) for tag in metadata["tags"] or []), ""
    yield "license", metadata["license"], ""
    yield "counts", _counts(metadata), ""
    yield "page", metadata["webpage_url"], ""
    yield "corrected", ", ".join(sorted(n for n, o in metadata["origins"].items() if o == "correction")), "bold"


def _stated(metadata: Row, name: str) -> tuple[str | None, str]:
    """A value, and who stated it where that was not the source."""
    value, origin = metadata[name], metadata["origins"].get(name, "source")
    if isinstance(value, datetime):
        value = value.astimezone(UTC).strftime(_TIMES[metadata[name.replace("_at", "_precision")] or "day"])
    return (value if value is None or origin == "source" else f"{value} ({origin.replace('_', ' ')})"), ""


def _captions(captions: Sequence[Row]) -> str:
    """How many there are of each origin, and the languages of those that people made."""
    made = [each["name"] for each in captions if each["origin"] != "automatic"]
    automatic = len(captions) - len(made)
    return ", ".join([*map(str, made), *([f"{automatic} automatic"] if automatic else [])])


def _counts(metadata: Row) -> str | None:
    names = {"view_count": "views", "like_count": "likes", "comment_count": "comments"}
    found = [f"{metadata[name]:,} {what}" for name, what in names.items() if metadata[name] is not None]
    return f"{', '.join(found)} at {moment(metadata['read_at'])}" if found and metadata["read_at"] else None


def _picture(metadata: Row) -> str:
    width, height = metadata["measured_width"], metadata["measured_height"]
    rate = metadata["measured_frame_rate"]
    parts = [
        f"{width}x{height}" if width and height else None,
        f"{rate:.5g} frames/s" if rate else None,
        metadata["measured_video_codec"],
    ]
    return ", ".join(str(part) for part in parts if part)


def _sound(metadata: Row) -> str:
    rate, channels = metadata["measured_audio_sample_rate"], metadata["measured_audio_channels"]
    parts = [
        metadata["measured_audio_codec"],
        f"{rate} Hz" if rate else None,
        f"{channels} channel{'s' if channels > 1 else ''}" if channels else None,
    ]
    return ", ".join(str(part) for part in parts if part)


def _files(files: Sequence[Row]) -> Iterator["Text"]:
    from rich.text import Text

    for file in sorted(files, key=lambda each: _ORDER.index(each["kind"])):
        which = ", ".join(filter(None, [file["language"], file["origin"], file["profile"]]))
        kind = f"{file['kind']} ({which})" if which else file["kind"]
        about = f"{size(file['size_bytes'])} ({file['size_bytes']:,} bytes), {file['content_type']}"
        yield Text.assemble("  ", text(kind, "cyan"), "  ", text(about))
        yield Text.assemble(("    sha256 ", "dim"), text(file["sha256"]))
        yield Text.assemble("    ", text(f"s3://{file['bucket']}/{file['object_key']}"))


def _moment(value: datetime | None) -> str | None:
    return None if value is None else moment(value)
