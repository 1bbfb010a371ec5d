"""What people and services do with jobs: insert, look, cancel, retry. The same as plain SQL, with truthful answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg.errors import CheckViolation
from psycopg.types.json import Jsonb

from narralytica_ingest.failures import failure
from narralytica_ingest.store import contacts
from narralytica_ingest.store.database import Connection, Row

TERMINAL = ("succeeded", "failed", "canceled")

# Failed children that are named one by one; all are counted.
NAMED_FAILURES = 10


@dataclass(frozen=True)
class JobRequest:
    """What a new job asks for: exactly one of `source_url` and `upload_ref`, and what is known already.

    `options` are those of docs/job-table.md besides `force`.
    """

    source_url: str | None = None
    upload_ref: str | None = None
    title: str | None = None
    channel: str | None = None
    language: str | None = None
    priority: int = 0
    idempotency_key: str | None = None
    force: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


_INSERT = """
INSERT INTO ingest_jobs (source_url, upload_ref, title, channel, language, priority, idempotency_key, options)
VALUES (%(source_url)s, %(upload_ref)s, %(title)s, %(channel)s, %(language)s, %(priority)s, %(idempotency_key)s,
        %(options)s)
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING job_id
"""


def insert(connection: Connection, request: JobRequest) -> UUID:
    """Inserts a job. A repeated idempotency key returns the job that has it, unchanged.

    Raises IngestError `job_refused` where the table does not take it.
    """
    options = {**request.options, "force": True} if request.force else dict(request.options)
    try:
        row = connection.execute(_INSERT, vars(request) | {"options": Jsonb(options)}).fetchone()
    except CheckViolation as error:
        why = error.diag.message_primary or "a value is out of bounds"
        raise failure("job_refused", f"The table does not take this job: {why}. Correct it.") from error
    if row is None:
        row = connection.execute(
            "SELECT job_id FROM ingest_jobs WHERE idempotency_key = %s", (request.idempotency_key,)
        ).fetchone()
    assert row is not None
    return UUID(str(row["job_id"]))


_LIST = """
SELECT * FROM ingest_jobs
 WHERE (%(status)s::text IS NULL OR status = %(status)s) AND (%(parent)s::uuid IS NULL OR parent_job_id = %(parent)s)
 ORDER BY created_at DESC, job_id LIMIT %(limit)s
"""


def recent(connection: Connection, status: str | None, limit: int, parent: UUID | None = None) -> list[Row]:
    """Whole job rows, newest first, each with `children`: how those of an expanded job fare, None for any other job."""
    rows = connection.execute(_LIST, {"status": status, "parent": parent, "limit": limit}).fetchall()
    fares = fare(connection, [row["job_id"] for row in rows if row["outcome"] == "expanded"])
    return [{**row, "children": fares.get(row["job_id"])} for row in rows]


def record(connection: Connection, job_or_video: str) -> Row | None:
    """Everything about a job or a video: `job`, `video`, `media_files`, `metadata`, `contacts` (hosts that its runs
    contacted, the latest first); None if there is no such thing.

    For a video, `job` is its latest. Files and metadata are those of the generation that is served, or, before the
    first is complete, those that are there. For an expanded job there is `children`, too: how many are in which state,
    and the first that failed.
    """
    job = _job(connection, job_or_video)
    video_id = job["video_id"] if job else _video_id(connection, job_or_video)
    if job is None and video_id is None:
        return None
    if job is None:
        job = connection.execute(
            "SELECT * FROM ingest_jobs WHERE video_id = %s ORDER BY created_at DESC LIMIT 1", (video_id,)
        ).fetchone()
    video = connection.execute("SELECT * FROM videos WHERE video_id = %s", (video_id,)).fetchone()
    files = connection.execute(
        "SELECT f.* FROM media_files f JOIN videos v USING (video_id) WHERE f.video_id = %s"
        " AND (f.generation = v.generation OR v.generation = 0) ORDER BY f.kind DESC, f.language, f.origin DESC",
        (video_id,),
    ).fetchall()
    metadata = connection.execute(
        "SELECT m.* FROM corrected_video_metadata m JOIN videos v USING (video_id) WHERE m.video_id = %s"
        " AND (m.generation = v.generation OR v.generation = 0)",
        (video_id,),
    ).fetchone()
    contacted = contacts.of_video(connection, video_id) if video_id else []
    found = {"job": job, "video": video, "media_files": files, "metadata": metadata, "contacts": contacted}
    return found | _children(connection, job)


_FARE = """
SELECT job_id, children AS jobs, queued, running, succeeded, failed, canceled
  FROM playlist_jobs WHERE job_id = ANY(%s)
"""
_FAILURES = """
SELECT job_id, source_url, title, error_class, error_code, error_message FROM ingest_jobs
 WHERE parent_job_id = %s AND status = 'failed' ORDER BY created_at LIMIT %s
"""


def fare(connection: Connection, job_ids: Sequence[UUID]) -> dict[UUID, Row]:
    """How the children of the expanded ones of these jobs fare: how many `jobs`, and how many are in which state."""
    rows = connection.execute(_FARE, (list(job_ids),)).fetchall() if job_ids else []
    return {row.pop("job_id"): row for row in rows}


def _children(connection: Connection, job: Row | None) -> Row:
    if job is None or job["outcome"] != "expanded":
        return {}
    failures = connection.execute(_FAILURES, (job["job_id"], NAMED_FAILURES)).fetchall()
    return {"children": {**fare(connection, [job["job_id"]])[job["job_id"]], "failures": failures}}


_UNFINISHED_RUNS = """
SELECT r.run_id FROM dagster.runs r JOIN ingest_jobs j USING (run_id)
 WHERE (j.job_id = ANY(%(ids)s) OR j.parent_job_id = ANY(%(ids)s)) AND j.finished_at IS NOT NULL
   AND r.status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')
"""


def unfinished_runs(connection: Connection, job_ids: Sequence[UUID]) -> list[str]:
    """The runs of these jobs and of their children that Dagster counts as at work, although the job has ended: that is
    at its last commit, a moment before its run ends."""
    return [row["run_id"] for row in connection.execute(_UNFINISHED_RUNS, {"ids": list(job_ids)}).fetchall()]


def _job(connection: Connection, text: str) -> Row | None:
    try:
        job_id = UUID(text)
    except ValueError:
        return None
    return connection.execute("SELECT * FROM ingest_jobs WHERE job_id = %s", (job_id,)).fetchone()


def _video_id(connection: Connection, text: str) -> str | None:
    row = connection.execute(
        "SELECT video_id FROM videos WHERE video_id = %(id)s UNION ALL"
        " SELECT video_id FROM video_aliases WHERE alias = %(id)s LIMIT 1",
        {"id": text},
    ).fetchone()
    return None if row is None else str(row["video_id"])


_CANCEL = """
UPDATE ingest_jobs
   SET cancel_requested = true,
       status = CASE WHEN status = 'running' THEN 'running' ELSE 'canceled' END,
       finished_at = CASE WHEN status = 'running' THEN NULL ELSE now() END,
       not_before = NULL,
       error_class = CASE WHEN status = 'running' THEN error_class ELSE 'canceled' END,
       error_code = CASE WHEN status = 'running' THEN error_code ELSE 'canceled' END,
       error_message = CASE WHEN status = 'running' THEN error_message
                            ELSE 'Canceled on request; `retry` starts it again.' END
 WHERE (job_id = %(job_id)s OR parent_job_id = %(parent)s) AND status IN ('queued', 'dispatched', 'running')
RETURNING job_id, status
"""
# A commit holds its video before its jobs; so do we, or two of them might wait for each other.
_LOCK_VIDEOS = """
SELECT FROM videos WHERE video_id IN (SELECT video_id FROM ingest_jobs WHERE parent_job_id = %s)
 ORDER BY video_id FOR NO KEY UPDATE
"""


def cancel(connection: Connection, job_id: UUID) -> str:
    """Ends a job that no run has yet, or asks its run to stop. Returns the status now: `canceled` or `running`.

    Raises IngestError `no_such_job_or_video` or `job_has_ended`.
    """
    row = connection.execute(_CANCEL, {"job_id": job_id, "parent": None}).fetchone()
    if row is None:
        raise failure(
            "job_has_ended", f"Job {job_id} is {_status(connection, job_id)} already: there is nothing to cancel."
        )
    return str(row["status"])


def cancel_children(connection: Connection, parent: UUID) -> list[UUID]:
    """Ends the unfinished children of an expanded job, or asks their runs to stop. Returns them; none is no error."""
    connection.execute(_LOCK_VIDEOS, (parent,))
    return [row["job_id"] for row in connection.execute(_CANCEL, {"job_id": None, "parent": parent}).fetchall()]


_RETRY = """
UPDATE ingest_jobs
   SET status = 'queued', outcome = NULL, failures = 0, not_before = NULL, finished_at = NULL, run_id = NULL,
       cancel_requested = false, progress = NULL, error_class = NULL, error_code = NULL, error_message = NULL,
       playlist = NULL,  -- one that is listed again takes what is new; its children keep what they have
       options = CASE WHEN %(force)s AND outcome IS DISTINCT FROM 'expanded' THEN options || '{"force": true}'
                      ELSE options END
 WHERE (job_id = %(job_id)s AND (status IN ('failed', 'canceled') OR (status = 'succeeded' AND %(force)s)))
    OR (parent_job_id = %(parent)s AND status IN ('failed', 'canceled'))
RETURNING job_id
"""
_TRY_NOW = "UPDATE ingest_jobs SET not_before = NULL WHERE job_id = %s AND status = 'queued' AND not_before IS NOT NULL"


def retry(connection: Connection, job_id: UUID, *, force: bool = False) -> None:
    """Queues an ended job again with a fresh budget, or lets a deferred one go now. `force` also takes succeeded ones.

    Raises IngestError `no_such_job_or_video` or `job_not_ended`.
    """
    if connection.execute(_RETRY, {"job_id": job_id, "parent": None, "force": force}).rowcount:
        return
    if connection.execute(_TRY_NOW, (job_id,)).rowcount:
        return
    status = _status(connection, job_id)
    advice = "use --force to ingest it again" if status == "succeeded" else "it will end by itself, or cancel it first"
    raise failure("job_not_ended", f"Job {job_id} is {status}: {advice}.")


def retry_children(connection: Connection, parent: UUID) -> list[UUID]:
    """Queues the failed and canceled children of an expanded job again. Returns them; none is no error."""
    connection.execute(_LOCK_VIDEOS, (parent,))
    rows = connection.execute(_RETRY, {"job_id": None, "parent": parent, "force": False}).fetchall()
    return [row["job_id"] for row in rows]


def _status(connection: Connection, job_id: UUID) -> str:
    row = connection.execute("SELECT status FROM ingest_jobs WHERE job_id = %s", (job_id,)).fetchone()
    if row is None:
        raise failure("no_such_job_or_video", f"There is no job {job_id}: `narralytica-ingest jobs` lists them.")
    return str(row["status"])
