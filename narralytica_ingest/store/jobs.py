"""What people and services do with jobs: insert, look, cancel, retry. The same as plain SQL, with truthful answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from narralytica_ingest.failures import permanent
from narralytica_ingest.store.database import Connection, Row

TERMINAL = ("succeeded", "failed", "canceled")


@dataclass(frozen=True)
class JobRequest:
    """What a new job asks for: exactly one of `source_url` and `upload_ref`, and what is known already."""

    source_url: str | None = None
    upload_ref: str | None = None
    title: str | None = None
    channel: str | None = None
    language: str | None = None
    priority: int = 0
    idempotency_key: str | None = None
    force: bool = False


_INSERT = """
INSERT INTO ingest_jobs (source_url, upload_ref, title, channel, language, priority, idempotency_key, options)
VALUES (%(source_url)s, %(upload_ref)s, %(title)s, %(channel)s, %(language)s, %(priority)s, %(idempotency_key)s,
        %(options)s)
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING job_id
"""


def insert(connection: Connection, request: JobRequest) -> UUID:
    """Inserts a job. A repeated idempotency key returns the job that has it, unchanged."""
    options: dict[str, Any] = {"force": True} if request.force else {}
    row = connection.execute(_INSERT, vars(request) | {"options": Jsonb(options)}).fetchone()
    if row is None:
        row = connection.execute(
            "SELECT job_id FROM ingest_jobs WHERE idempotency_key = %s", (request.idempotency_key,)
        ).fetchone()
    assert row is not None
    return UUID(str(row["job_id"]))


_LIST = """
SELECT * FROM ingest_jobs WHERE %(status)s::text IS NULL OR status = %(status)s
 ORDER BY created_at DESC, job_id LIMIT %(limit)s
"""


def recent(connection: Connection, status: str | None, limit: int) -> list[Row]:
    """Whole job rows, newest first."""
    return connection.execute(_LIST, {"status": status, "limit": limit}).fetchall()


def record(connection: Connection, job_or_video: str) -> Row | None:
    """Everything about a job or a video: `job`, `video`, `media_files`, `metadata`; None if there is no such thing.

    For a video, `job` is its latest. Files and metadata are those of the generation that is served, or, before the
    first is complete, those that are there.
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
        " AND (f.generation = v.generation OR v.generation = 0) ORDER BY f.kind DESC, f.language",
        (video_id,),
    ).fetchall()
    metadata = connection.execute(
        "SELECT m.* FROM video_metadata m JOIN videos v USING (video_id) WHERE m.video_id = %s"
        " AND (m.generation = v.generation OR v.generation = 0)",
        (video_id,),
    ).fetchone()
    return {"job": job, "video": video, "media_files": files, "metadata": metadata}


_UNFINISHED_RUNS = """
SELECT run_id FROM dagster.runs WHERE run_id = ANY(%s) AND status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')
"""


def unfinished_runs(connection: Connection, run_ids: Sequence[str]) -> list[str]:
    """Those of the runs that Dagster counts as at work. A job ends at its last commit, a moment before its run does."""
    return [row["run_id"] for row in connection.execute(_UNFINISHED_RUNS, (list(run_ids),)).fetchall()]


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
 WHERE job_id = %s AND status IN ('queued', 'dispatched', 'running')
RETURNING status
"""


def cancel(connection: Connection, job_id: UUID) -> str:
    """Ends a job that no run has yet, or asks its run to stop. Returns the status now: `canceled` or `running`.

    Raises IngestError `no_such_job` or `job_has_ended`.
    """
    row = connection.execute(_CANCEL, (job_id,)).fetchone()
    if row is None:
        raise permanent(
            "job_has_ended", f"Job {job_id} is {_status(connection, job_id)} already: there is nothing to cancel."
        )
    return str(row["status"])


_RETRY = """
UPDATE ingest_jobs
   SET status = 'queued', outcome = NULL, failures = 0, not_before = NULL, finished_at = NULL, run_id = NULL,
       cancel_requested = false, progress = NULL, error_class = NULL, error_code = NULL, error_message = NULL,
       options = CASE WHEN %(force)s THEN options || '{"force": true}' ELSE options END
 WHERE job_id = %(job_id)s AND (status IN ('failed', 'canceled') OR (status = 'succeeded' AND %(force)s))
RETURNING status
"""
_TRY_NOW = "UPDATE ingest_jobs SET not_before = NULL WHERE job_id = %s AND status = 'queued' AND not_before IS NOT NULL"


def retry(connection: Connection, job_id: UUID, *, force: bool = False) -> None:
    """Queues an ended job again with a fresh budget, or lets a deferred one go now. `force` also takes succeeded ones.

    Raises IngestError `no_such_job` or `job_not_ended`.
    """
    if connection.execute(_RETRY, {"job_id": job_id, "force": force}).rowcount:
        return
    if connection.execute(_TRY_NOW, (job_id,)).rowcount:
        return
    status = _status(connection, job_id)
    advice = "use --force to ingest it again" if status == "succeeded" else "it will end by itself, or cancel it first"
    raise permanent("job_not_ended", f"Job {job_id} is {status}: {advice}.")


def _status(connection: Connection, job_id: UUID) -> str:
    row = connection.execute("SELECT status FROM ingest_jobs WHERE job_id = %s", (job_id,)).fetchone()
    if row is None:
        raise permanent("no_such_job", f"There is no job {job_id}: `narralytica-ingest jobs` lists them.")
    return str(row["status"])
