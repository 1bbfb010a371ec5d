"""A job in words: its name, its state, its progress, and what a person can do next. Pure: rows in, text out."""

from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from narralytica_ingest.cli.terminal import clean, distance, seconds, size
from narralytica_ingest.redaction import shown_url
from narralytica_ingest.store.database import Row

# After that long without a heartbeat a run counts as silent, for people; what really decides is the lease.
_SILENT_SECONDS = 60.0


def source_of(job: Row) -> str:
    """What the job refers to, without what opens it."""
    return shown_url(str(job["source_url"] or job["upload_ref"]))


def source_name(job: Row, width: int = 60) -> str:
    """A short name of the job's source: the file's name, or host and last part of the URL; at most `width` wide."""
    source = source_of(job)
    try:
        parts = urlsplit(source)
    except ValueError:
        parts = urlsplit("")
    last = PurePosixPath(parts.path).name or parts.path
    name = last if parts.scheme == "s3" and last else f"{parts.hostname or ''}/{last}" if parts.netloc else source
    if parts.netloc and parts.query and parts.scheme != "s3":
        name += f"?{parts.query}"
    name = clean(name)
    if len(name) <= width:
        return name
    ending = (width - 1) // 2  # names of one site differ at their ends
    return f"{name[: width - 1 - ending]}…{name[-ending:]}"


def state_text(job: Row) -> str:
    """The job's state in a few words: `queued (http_503, tried again in 5.0 s)`, `succeeded (deduplicated)`."""
    detail = detail_text(job)
    return f"{job['status']} ({detail})" if detail else str(job["status"])


def detail_text(job: Row) -> str:
    """What there is to say about the job's state beyond its name: outcome, error, stage, next try."""
    match job["status"]:
        case "succeeded":
            return str(job["outcome"])
        case "failed":
            return str(job["error_code"])
        case "running":
            return "stopping" if job["cancel_requested"] else clean(str((job["progress"] or {}).get("stage") or ""))
        case "queued" if job.get("pause"):
            return f"waits: {pause_text(job['pause'])}"
        case "queued" if is_deferred(job):
            again = f"tried again {distance(job['not_before'])}"
            return f"{job['error_code']}, {again}" if job["error_code"] else again
        case "queued" if job.get("host_wait"):
            return f"waits: {host_wait_text(job['host_wait'])}"
    return ""


def is_deferred(job: Row) -> bool:
    """Whether the job waits for a point in time."""
    return job["not_before"] is not None and job["not_before"] > datetime.now(UTC)


def pause_text(pause: Row) -> str:
    """What keeps all jobs waiting, in a few words. `pause` is what `store.pauses.waits` found."""
    what = f"claims are paused until {clock(pause['until'])}" if pause["closed"] else "one job at a time is tried"
    return f"{what} ({pause['error_code']})"


def host_wait_text(wait: Row) -> str:
    """What a host keeps its jobs waiting for: `www.example.com cools down until 12:03:10 UTC (bot_check)`.

    `wait` is what `store.hosts.waits` found.
    """
    host, why = wait["host"], f" ({wait['error_code']})" if wait["error_code"] else ""
    match wait["why"]:
        case "cooling":
            return f"{host} cools down until {clock(wait['until'])}{why}"
        case "trying_one":
            return f"{host} is tried by one job at a time until one succeeds{why}"
        case "pause":
            return f"{host} is given a pause between two starts"
    return f"{host} has its {wait['limit']} job{'s' if wait['limit'] != 1 else ''} at once"


def rest_text(wait: Row) -> str:
    """The same, and what ends it where a person can."""
    if not wait["error_code"]:
        return host_wait_text(wait)
    first = "" if wait["error_code"] in ("rate_limited", "session_limited") else "once cookies or a proxy are set, "
    return f"{host_wait_text(wait)}; {first}`narralytica-ingest hosts reset {wait['host']}` ends that"


def clock(value: datetime) -> str:
    """A time of today for people: `12:03:10 UTC`; with its date if it is another day's."""
    utc = value.astimezone(UTC)
    return f"{utc:%H:%M:%S} UTC" if utc.date() == datetime.now(UTC).date() else f"{utc:%Y-%m-%d %H:%M:%S} UTC"


def progress_text(job: Row) -> str:
    """Bytes, total, rate and time to go while the job runs: `12.0 MB of 45.0 MB, 3.1 MB/s, 11 s left`; empty where
    nothing is known."""
    progress: dict[str, Any] = job["progress"] or {}
    if job["status"] != "running" or not progress.get("bytes"):
        return ""
    left = f", {seconds(progress['eta'])} left" if progress.get("eta") else ""
    return amount(progress["bytes"], progress.get("total"), progress.get("rate")) + left


def amount(done: float, total: float | None = None, rate: float | None = None) -> str:
    """Bytes done, of how many, and how fast (bytes per second)."""
    of = f" of {size(total)}" if total else ""
    return size(done) + of + (f", {size(rate)}/s" if rate else "")


def next_step(job: Row, up_is_running: bool) -> str | None:
    """What happens next to the job, or what a person can do about it; None if nothing is left to say."""
    retry = f"narralytica-ingest retry {job['job_id']}"
    match job["status"]:
        case "queued":
            return _when_queued(job, retry, up_is_running)
        case "dispatched":
            return "Its run waits for a worker." if up_is_running else _NOT_UP
        case "running":
            return _when_running(job, up_is_running)
        case "failed" if job["error_class"] == "needs_operator":
            return f"Mend what the message names, then `{retry}`."
        case "failed" if job["error_class"] == "permanent":
            return f"Trying again will not help by itself: correct the source and submit it anew, or `{retry}`."
        case "failed":
            return f"Its attempts are used up: `{retry}` starts it with fresh ones."
        case "canceled":
            return f"`{retry}` starts it again."
    return None


_NOT_UP = "It waits until `narralytica-ingest up` runs."


def _when_queued(job: Row, retry: str, up_is_running: bool) -> str:
    wait = job.get("host_wait")
    if job.get("pause") and up_is_running:
        return f"It waits. {job['pause']['sentence']}"
    if wait and wait["error_code"] and up_is_running:
        return f"It waits: {rest_text(wait)}."
    if is_deferred(job):
        when = f"It is tried again {distance(job['not_before'])} by itself"
        return f"{when}; `{retry}` lets it go now." if up_is_running else f"{when}, once `narralytica-ingest up` runs."
    if wait and up_is_running:
        return f"It waits: {host_wait_text(wait)}."
    return "It waits for its turn." if up_is_running else _NOT_UP


def _when_running(job: Row, up_is_running: bool) -> str | None:
    silence = (datetime.now(UTC) - job["heartbeat_at"]).total_seconds() if job["heartbeat_at"] else 0.0
    if silence > _SILENT_SECONDS:
        who = "`up` queues it again" if up_is_running else "the next `narralytica-ingest up` queues it again"
        return f"Its run has been silent for {seconds(silence)}: {who}."
    return "Its run was asked to stop; that takes some seconds." if job["cancel_requested"] else None


def took(job: Row) -> str | None:
    """How long an ended job took, and how much of it was waiting."""
    if job["finished_at"] is None:
        return None
    whole = (job["finished_at"] - job["created_at"]).total_seconds()
    if job["started_at"] is None or job["outcome"] == "deduplicated":
        return seconds(whole)
    return f"{seconds(whole)}, the last attempt {seconds((job['finished_at'] - job['started_at']).total_seconds())}"
