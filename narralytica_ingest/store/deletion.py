"""A video's end in the tables: its row and all that belongs to it go in one transaction, and its jobs are told.

That the row is gone is the fence: whoever still works on the video holds a lease on nothing, and can write nothing, not
even if the video is ingested anew under its old name, since then the lease is another run's.
"""

import re
from dataclasses import dataclass
from uuid import UUID

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.store.database import Connection


@dataclass(frozen=True)
class Outline:
    """What a video is, for whoever is asked whether it shall go: its objects, their bytes, its unfinished jobs."""

    video_id: str
    status: str
    title: str | None
    objects: int
    size_bytes: int
    unfinished_jobs: int


@dataclass(frozen=True)
class DeletedRows:
    """What the transaction did: the jobs that it ended, the run that was at work, and what that run was storing."""

    jobs_ended: tuple[UUID, ...]
    run_id: str | None
    on_their_way: frozenset[tuple[str, str]]  # bucket and key


_FIND = """
SELECT video_id FROM videos WHERE video_id = %(name)s
 UNION ALL SELECT video_id FROM video_aliases WHERE alias = %(name)s
 UNION ALL SELECT video_id FROM ingest_jobs WHERE job_id = %(job_id)s AND video_id IS NOT NULL
 LIMIT 1
"""


def find(connection: Connection, name: str) -> str | None:
    """The id of the video that has this id, this alias or this job; None if there is none (any more)."""
    row = connection.execute(_FIND, {"name": name, "job_id": _as_job_id(name)}).fetchone()
    return None if row is None else str(row["video_id"])


def is_video_id(name: str) -> bool:
    """Whether a video may have this id."""
    return re.fullmatch(r"[A-Za-z0-9_-]{1,200}", name) is not None


def _as_job_id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


_OUTLINE = """
SELECT v.video_id, v.status, m.title, f.objects, f.size_bytes::bigint, j.unfinished_jobs
  FROM videos v
  LEFT JOIN video_metadata m ON m.video_id = v.video_id AND m.generation = v.generation
 CROSS JOIN LATERAL (SELECT count(*) AS objects, coalesce(sum(size_bytes), 0) AS size_bytes
                       FROM (SELECT DISTINCT bucket, object_key, size_bytes FROM media_files
                              WHERE video_id = v.video_id)) f
 CROSS JOIN LATERAL (SELECT count(*) AS unfinished_jobs FROM ingest_jobs
                      WHERE video_id = v.video_id AND finished_at IS NULL) j
 WHERE v.video_id = %s
"""


def outline(connection: Connection, video_id: str) -> Outline | None:
    """What there is of a video."""
    row = connection.execute(_OUTLINE, (video_id,)).fetchone()
    return None if row is None else Outline(**row)


_LOCK = """
SELECT CASE WHEN lease_expires_at > now() THEN lease_run_id END AS run_id FROM videos WHERE video_id = %s FOR UPDATE
"""
# The ended ones, too: nobody may retry or claim one between here and the end of the row.
_LOCK_JOBS = "SELECT FROM ingest_jobs WHERE video_id = %s ORDER BY job_id FOR UPDATE"
_ON_THEIR_WAY = "SELECT bucket, object_key FROM publications WHERE video_id = %s"
_END_JOBS = """
UPDATE ingest_jobs
   SET status = 'failed', finished_at = now(), not_before = NULL, progress = NULL,
       error_class = %(error_class)s, error_code = %(error_code)s, error_message = %(error_message)s
 WHERE video_id = %(video_id)s AND status IN ('queued', 'dispatched', 'running')
RETURNING job_id
"""
# Files before publications: the trigger on these takes an object that a file refers to for stored.
_DROP = (
    "DELETE FROM media_files WHERE video_id = %s",
    "DELETE FROM publications WHERE video_id = %s",
    "DELETE FROM videos WHERE video_id = %s",
)


def delete_rows(connection: Connection, video_id: str) -> DeletedRows | None:
    """Removes the video from the tables; None if there is none of this id. Its jobs stay, without their video, and
    those that had not ended fail as `video_deleted`.

    New jobs for the same source wait for the end of the transaction, and begin anew. The triggers note the objects.
    """
    row = connection.execute(_LOCK, (video_id,)).fetchone()
    if row is None:
        return None
    connection.execute(_LOCK_JOBS, (video_id,))
    publishing = connection.execute(_ON_THEIR_WAY, (video_id,)).fetchall()
    ended = connection.execute(_END_JOBS, {"video_id": video_id, **_verdict()}).fetchall()
    for statement in _DROP:
        connection.execute(statement, (video_id,))
    return DeletedRows(
        jobs_ended=tuple(job["job_id"] for job in ended),
        run_id=row["run_id"],
        on_their_way=frozenset((each["bucket"], each["object_key"]) for each in publishing),
    )


def _verdict() -> dict[str, str]:
    error: IngestError = failure("video_deleted")
    return {"error_class": error.failure_class.value, "error_code": error.code, "error_message": error.message}


_RUN = "SELECT status FROM dagster.runs WHERE run_id = %s"
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")


def run_has_ended(connection: Connection, run_id: str) -> bool | None:
    """Whether Dagster counts the run as ended; None if Dagster does not know it."""
    if not _has_table(connection, "dagster.runs"):
        return None
    row = connection.execute(_RUN, (run_id,)).fetchone()
    return None if row is None else row["status"] in _ENDED


_PARTITION = """
SELECT FROM dagster.dynamic_partitions WHERE partitions_def_name = %s AND partition = %s
"""


def has_partition(connection: Connection, partitions: str, video_id: str) -> bool:
    """Whether Dagster has a partition for the video. `partitions` is the name of the partition set."""
    if not _has_table(connection, "dagster.dynamic_partitions"):
        return False
    return connection.execute(_PARTITION, (partitions, video_id)).fetchone() is not None


_WITHOUT_ROW = """
SELECT key FROM unnest(%s::text[]) AS key WHERE NOT EXISTS (SELECT FROM videos WHERE video_id = key)
"""


def without_row(connection: Connection, video_ids: list[str]) -> list[str]:
    """Of these videos those that the tables do not have."""
    return [row["key"] for row in connection.execute(_WITHOUT_ROW, (video_ids,)).fetchall()]


def _has_table(connection: Connection, name: str) -> bool:
    """Dagster makes its tables when it first starts."""
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL AS there", (name,)).fetchone()
    return bool(row and row["there"])
