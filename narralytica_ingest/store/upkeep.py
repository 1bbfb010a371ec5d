"""What nobody else will notice: runs that died without a word, and leases that nobody holds any more.

While Postgres is away nobody can renew a lease. So when it is back, every lease lasts for a grace period at least: runs
that live say so first. And of a job whose run is never heard of again, nobody knows whether its worker died or only
lost its way in the outage, which was ours: see `LostJob.unseen`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from narralytica_ingest.store.database import Connection, Row
from narralytica_ingest.store.leases import Dispatch


@dataclass(frozen=True)
class LostJob:
    """A running job whose run is in doubt. `unseen`: it has said nothing since Postgres was last away."""

    job_id: UUID
    attempt: int
    video_id: str
    run_id: str
    unseen: bool = False


# The last return of Postgres: its start, or a later time that the caller knows of.
_BACK = "(SELECT greatest(pg_postmaster_start_time(), %(back_since)s::timestamptz) AS since) back"
_LOST = "SELECT j.job_id, j.attempt, j.video_id, j.run_id, coalesce(j.heartbeat_at < back.since, false) AS unseen"

_SILENT = f"""
{_LOST} FROM ingest_jobs j JOIN videos v USING (video_id), {_BACK}
 WHERE j.status = 'running'
   AND (v.lease_run_id IS DISTINCT FROM j.run_id
        OR greatest(v.lease_expires_at, back.since + make_interval(secs => %(grace)s)) < now())
   FOR UPDATE OF v SKIP LOCKED
"""


def silent_jobs(
    connection: Connection, grace_seconds: float = 0.0, back_since: datetime | None = None
) -> list[LostJob]:
    """Running jobs whose run lost its lease, or lets it expire. Their videos stay locked, so that no late heartbeat
    comes between this and what follows in the same transaction."""
    values = {"grace": grace_seconds, "back_since": back_since}
    return [LostJob(**row) for row in connection.execute(_SILENT, values).fetchall()]


_FREE = """
WITH free AS (SELECT video_id, lease_run_id FROM videos WHERE {which} FOR UPDATE SKIP LOCKED)
UPDATE videos v
   SET lease_run_id = NULL, lease_expires_at = NULL, lease_generation = NULL, lease_epoch = v.lease_epoch + 1,
       status = CASE WHEN v.status = 'ingesting' THEN 'pending' ELSE v.status END
  FROM free WHERE v.video_id = free.video_id
RETURNING v.video_id, free.lease_run_id
"""
_EXPIRED = _FREE.format(
    which="lease_expires_at < now() AND greatest(pg_postmaster_start_time(), %(back_since)s::timestamptz)"
    " + make_interval(secs => %(grace)s) < now()"
)
_OF_RUN = _FREE.format(which="lease_run_id = %(run_id)s")


def clear_expired_leases(
    connection: Connection, grace_seconds: float = 0.0, back_since: datetime | None = None
) -> dict[str, str]:
    """Frees the videos whose run stopped beating, and fences that run off for good. Returns run ids by video."""
    rows = connection.execute(_EXPIRED.encode(), {"grace": grace_seconds, "back_since": back_since})
    return {row["video_id"]: row["lease_run_id"] for row in rows.fetchall()}


_STORED = """
(SELECT DISTINCT ON (video_id, f.kind) video_id, f.kind AS asset, f.sha256 AS version
   FROM media_files f JOIN videos v USING (video_id)
  WHERE video_id = ANY(%(video_ids)s) AND f.lease_epoch = v.lease_epoch - 1 AND f.kind IN ('raw_video', 'audio_track')
  ORDER BY video_id, f.kind, f.media_file_id)  -- of several audio tracks the asset's own, which is stored first
 UNION ALL
SELECT video_id, 'video_metadata', NULL FROM video_metadata m JOIN videos v USING (video_id)
 WHERE video_id = ANY(%(video_ids)s) AND m.lease_epoch = v.lease_epoch - 1
"""


def stored_by_silent(connection: Connection, video_ids: Collection[str]) -> list[Row]:
    """What the runs had stored whose leases were cleared just now, in this transaction: `video_id`, `asset`, and
    `version`, the SHA-256 of a media file."""
    return connection.execute(_STORED, {"video_ids": list(video_ids)}).fetchall()


def free_leases_of(connection: Connection, run_id: str) -> None:
    """Frees the videos of a run that has ended without giving them up, and fences it off."""
    connection.execute(_OF_RUN.encode(), {"run_id": run_id})


def leased_runs(connection: Connection) -> set[str]:
    """The runs that hold a lease now."""
    rows = connection.execute("SELECT DISTINCT lease_run_id FROM videos WHERE lease_run_id IS NOT NULL").fetchall()
    return {row["lease_run_id"] for row in rows}


_RUNNING = f"{_LOST} FROM ingest_jobs j, {_BACK} WHERE j.status = 'running'"


def running_jobs(connection: Connection, back_since: datetime | None = None) -> list[LostJob]:
    """All jobs that a run has taken up and that have not ended."""
    return [LostJob(**row) for row in connection.execute(_RUNNING, {"back_since": back_since}).fetchall()]


def running_job_of(connection: Connection, run_id: str) -> LostJob | None:
    """The job that is bound to this run and has not ended."""
    values = {"back_since": None, "run_id": run_id}
    row = connection.execute(f"{_RUNNING} AND j.run_id = %(run_id)s", values).fetchone()
    return None if row is None else LostJob(**row)


def dispatched(connection: Connection) -> list[Dispatch]:
    """The attempts that no run has taken up yet: the run of one may have died early. (Since when says nothing: what is
    asked for again is dispatched anew.)"""
    rows = connection.execute("SELECT job_id, attempt FROM ingest_jobs WHERE status = 'dispatched'").fetchall()
    return [Dispatch(row["job_id"], row["attempt"]) for row in rows]


_MOVED_ON = """
SELECT asked.job_id, asked.attempt FROM unnest(%s::uuid[], %s::int[]) AS asked (job_id, attempt)
 WHERE NOT EXISTS (SELECT FROM ingest_jobs j
                    WHERE j.job_id = asked.job_id AND j.attempt = asked.attempt
                      AND j.status IN ('dispatched', 'running'))
"""


def moved_on(connection: Connection, dispatches: Collection[Dispatch]) -> set[Dispatch]:
    """Of these attempts those that nobody works for or waits for: their job ended, is at another one, or gone."""
    asked = list(dispatches)
    rows = connection.execute(_MOVED_ON, ([each.job_id for each in asked], [each.attempt for each in asked]))
    return {Dispatch(row["job_id"], row["attempt"]) for row in rows.fetchall()}
