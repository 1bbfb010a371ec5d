"""What the tables say, for whoever compares it with bucket and Dagster, and whether they agree with themselves.

Everything comes in pages or as a stream: a table of a million rows is never held.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from narralytica_ingest.store.database import Connection


@dataclass(frozen=True)
class StoredObject:
    """An object that media files refer to; several videos may share it."""

    bucket: str
    object_key: str
    size_bytes: int
    sha256: str
    content_type: str


@dataclass(frozen=True)
class Reference:
    """A media file that refers to an object, and whether it is served."""

    media_file_id: int
    video_id: str
    generation: int
    kind: str
    language: str | None
    origin: str | None
    profile: str | None
    served: bool
    lease_run_id: str | None


@dataclass(frozen=True)
class Disagreement:
    """What two places say differently about a video or a job; `detail` is the difference in a few words."""

    video_id: str | None
    job_id: UUID | None
    detail: str


VideoIds = Sequence[str] | None

# Distinct objects in the order of the index on bucket and key.
_PAGE = """
SELECT bucket, object_key, size_bytes, sha256, min(content_type) AS content_type FROM media_files
 WHERE (bucket, object_key) IN (
       SELECT DISTINCT bucket, object_key FROM media_files
        WHERE (bucket, object_key) > (%(bucket)s, %(key)s)
          AND (%(video_ids)s::text[] IS NULL OR video_id = ANY(%(video_ids)s))
        ORDER BY bucket, object_key LIMIT %(limit)s)
 GROUP BY bucket, object_key, size_bytes, sha256
 ORDER BY bucket, object_key
"""
_TOTAL = """
SELECT count(*) AS objects, coalesce(sum(size_bytes), 0)::bigint AS size_bytes
  FROM (SELECT DISTINCT bucket, object_key, size_bytes, sha256 FROM media_files
         WHERE %(video_ids)s::text[] IS NULL OR video_id = ANY(%(video_ids)s))
"""


def objects_after(
    connection: Connection, bucket: str, key: str, limit: int, video_ids: VideoIds = None
) -> list[StoredObject]:
    """The next objects after this one, of all videos or of these; empty strings begin. An object comes once, however
    many media files refer to it (twice where these disagree about its bytes)."""
    values = {"bucket": bucket, "key": key, "limit": limit, "video_ids": _list(video_ids)}
    return [StoredObject(**row) for row in connection.execute(_PAGE, values).fetchall()]


def total(connection: Connection, video_ids: VideoIds = None) -> tuple[int, int]:
    """How many objects there are, and how many bytes they have together."""
    row = connection.execute(_TOTAL, {"video_ids": _list(video_ids)}).fetchone()
    assert row is not None
    return row["objects"], row["size_bytes"]


_REFERENCES = """
SELECT f.media_file_id, f.video_id, f.generation, f.kind, f.language, f.origin, f.profile, v.lease_run_id,
       v.status = 'ready' AND v.generation = f.generation AS served
  FROM media_files f JOIN videos v USING (video_id)
 WHERE f.bucket = %(bucket)s AND f.object_key = %(object_key)s AND f.size_bytes = %(size_bytes)s
   AND f.sha256 = %(sha256)s
 ORDER BY f.video_id, f.media_file_id
"""


def references(connection: Connection, stored: StoredObject, *, lock: bool = False) -> list[Reference]:
    """The media files that refer to the object now. `lock`: their videos stay as they are to the transaction's end."""
    statement = f"{_REFERENCES} FOR NO KEY UPDATE OF v" if lock else _REFERENCES
    return [Reference(**row) for row in connection.execute(statement.encode(), vars(stored)).fetchall()]


# ------------------------------------------------------------------------------------------------------------------
# What the tables say of themselves and of Dagster. What the upkeep sensor puts right within seconds is no disagreement.
# ------------------------------------------------------------------------------------------------------------------
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class TableCheck:
    """A question to the tables: how many rows it looks at, and which of them disagree with something."""

    name: str
    looked_at: str
    disagreements: str
    needs: str | None = None  # a table of Dagster's


READY_VIDEOS = TableCheck(
    "ready videos",
    """
SELECT count(*) AS n FROM videos v
 WHERE v.status = 'ready' AND (%(video_ids)s::text[] IS NULL OR v.video_id = ANY(%(video_ids)s))
""",
    """
SELECT video_id, NULL::uuid AS job_id, 'has no ' || concat_ws(', ', raw, audio, metadata) AS detail
  FROM (SELECT v.video_id,
               CASE WHEN NOT EXISTS (SELECT FROM media_files f WHERE f.video_id = v.video_id
                    AND f.generation = v.generation AND f.kind = 'raw_video') THEN 'raw_video' END AS raw,
               CASE WHEN NOT EXISTS (SELECT FROM media_files f WHERE f.video_id = v.video_id
                    AND f.generation = v.generation AND f.kind = 'audio_track') THEN 'audio_track' END AS audio,
               CASE WHEN NOT EXISTS (SELECT FROM video_metadata m WHERE m.video_id = v.video_id
                    AND m.generation = v.generation) THEN 'metadata' END AS metadata
          FROM videos v
         WHERE v.status = 'ready' AND (%(video_ids)s::text[] IS NULL OR v.video_id = ANY(%(video_ids)s)))
 WHERE num_nonnulls(raw, audio, metadata) > 0
""",
)
RUNNING_JOBS = TableCheck(
    "running jobs",
    """
SELECT count(*) AS n FROM ingest_jobs v
 WHERE v.status = 'running' AND (%(video_ids)s::text[] IS NULL OR v.video_id = ANY(%(video_ids)s))
""",
    """
SELECT j.video_id, j.job_id, 'runs without a lease' AS detail FROM ingest_jobs j JOIN videos v USING (video_id)
 WHERE j.status = 'running' AND (%(video_ids)s::text[] IS NULL OR v.video_id = ANY(%(video_ids)s))
   AND (v.lease_run_id IS DISTINCT FROM j.run_id OR v.lease_expires_at < now())
   AND coalesce(j.heartbeat_at, j.started_at) < now() - make_interval(secs => %(patience)s)
""",
)
# (The job of a deleted video has none any more: that is history, and no disagreement.)
SUCCEEDED_JOBS = TableCheck(
    "succeeded jobs",
    """
SELECT count(*) AS n FROM ingest_jobs v
 WHERE v.status = 'succeeded' AND (%(video_ids)s::text[] IS NULL OR v.video_id = ANY(%(video_ids)s))
""",
    """
SELECT v.video_id, (SELECT j.job_id FROM ingest_jobs j WHERE j.video_id = v.video_id AND j.status = 'succeeded'
                     ORDER BY j.created_at DESC LIMIT 1) AS job_id,
       'its job succeeded, and the video is ' || v.status AS detail
  FROM videos v
 WHERE v.status <> 'ready' AND (%(video_ids)s::text[] IS NULL OR v.video_id = ANY(%(video_ids)s))
   AND v.lease_run_id IS NULL
   AND EXISTS (SELECT FROM ingest_jobs j WHERE j.video_id = v.video_id AND j.status = 'succeeded')
   AND NOT EXISTS (SELECT FROM ingest_jobs j WHERE j.video_id = v.video_id AND j.finished_at IS NULL)
""",
)
LEASES = TableCheck(
    "leases",
    """
SELECT count(*) AS n FROM videos v
 WHERE v.lease_run_id IS NOT NULL AND (%(video_ids)s::text[] IS NULL OR v.video_id = ANY(%(video_ids)s))
""",
    """
SELECT v.video_id, NULL::uuid AS job_id, 'holds a lease that expired long ago' AS detail FROM videos v
 WHERE v.lease_expires_at < now() - make_interval(secs => %(patience)s)
   AND (%(video_ids)s::text[] IS NULL OR v.video_id = ANY(%(video_ids)s))
""",
)
PARTITIONS = TableCheck(
    "partitions",
    """
SELECT count(*) AS n FROM dagster.dynamic_partitions v
 WHERE v.partitions_def_name = %(partitions)s
   AND (%(video_ids)s::text[] IS NULL OR v.partition = ANY(%(video_ids)s))
""",
    """
SELECT p.partition AS video_id, NULL::uuid AS job_id, 'has a partition in Dagster, and no row' AS detail
  FROM dagster.dynamic_partitions p
 WHERE p.partitions_def_name = %(partitions)s
   AND (%(video_ids)s::text[] IS NULL OR p.partition = ANY(%(video_ids)s))
   AND NOT EXISTS (SELECT FROM videos v WHERE v.video_id = p.partition)
""",
    needs="dagster.dynamic_partitions",
)
TABLE_CHECKS = (READY_VIDEOS, RUNNING_JOBS, SUCCEEDED_JOBS, LEASES, PARTITIONS)


def looked_at(connection: Connection, check: TableCheck, partitions: str, video_ids: VideoIds = None) -> int:
    """How many rows the check looks at. `partitions` is the name of the partition set."""
    if not _applies(connection, check):
        return 0
    row = connection.execute(check.looked_at.encode(), _values(partitions, video_ids)).fetchone()
    return int(row["n"]) if row else 0


def disagreements(
    connection: Connection, check: TableCheck, partitions: str, video_ids: VideoIds = None
) -> Iterator[Disagreement]:
    """What is wrong, as a stream: read it to its end before the connection is used for anything else."""
    if not _applies(connection, check):
        return
    with connection.cursor("disagreements") as cursor:
        cursor.execute(check.disagreements.encode(), _values(partitions, video_ids))
        for row in cursor:
            yield Disagreement(**row)


def _values(partitions: str, video_ids: VideoIds) -> dict[str, object]:
    return {"video_ids": _list(video_ids), "patience": PATIENCE_SECONDS, "partitions": partitions}


def _applies(connection: Connection, check: TableCheck) -> bool:
    row = connection.execute("SELECT %s::text IS NULL OR to_regclass(%s) IS NOT NULL AS yes", [check.needs] * 2)
    return bool((row.fetchone() or {}).get("yes"))


def _list(video_ids: VideoIds) -> list[str] | None:
    return None if video_ids is None else list(video_ids)
