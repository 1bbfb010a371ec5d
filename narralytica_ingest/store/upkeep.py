"""What nobody else will notice: runs that died without a word, and leases that nobody holds any more."""

from dataclasses import dataclass
from uuid import UUID

from narralytica_ingest.store.database import Connection


@dataclass(frozen=True)
class LostJob:
    """A job whose run no longer beats."""

    job_id: UUID
    attempt: int
    video_id: str
    run_id: str


_SILENT = """
SELECT j.job_id, j.attempt, j.video_id, j.run_id FROM ingest_jobs j JOIN videos v USING (video_id)
 WHERE j.status = 'running' AND (v.lease_run_id IS DISTINCT FROM j.run_id OR v.lease_expires_at < now())
   FOR UPDATE OF v SKIP LOCKED
"""


def silent_jobs(connection: Connection) -> list[LostJob]:
    """Running jobs whose run lost its lease, or lets it expire. Their videos stay locked, so that no late heartbeat
    comes between this and what follows in the same transaction."""
    return [LostJob(**row) for row in connection.execute(_SILENT).fetchall()]


_EXPIRED = """
WITH expired AS (SELECT video_id, lease_run_id FROM videos WHERE lease_expires_at < now() FOR UPDATE SKIP LOCKED)
UPDATE videos v
   SET lease_run_id = NULL, lease_expires_at = NULL, lease_generation = NULL, lease_epoch = v.lease_epoch + 1,
       status = CASE WHEN v.status = 'ingesting' THEN 'pending' ELSE v.status END
  FROM expired WHERE v.video_id = expired.video_id
RETURNING v.video_id, expired.lease_run_id
"""


def clear_expired_leases(connection: Connection) -> dict[str, str]:
    """Frees the videos whose run stopped beating, and fences that run off for good. Returns run ids by video."""
    return {row["video_id"]: row["lease_run_id"] for row in connection.execute(_EXPIRED).fetchall()}


def leased_runs(connection: Connection) -> set[str]:
    """The runs that hold a lease now."""
    rows = connection.execute("SELECT DISTINCT lease_run_id FROM videos WHERE lease_run_id IS NOT NULL").fetchall()
    return {row["lease_run_id"] for row in rows}


def running_job_of(connection: Connection, run_id: str) -> tuple[UUID, int] | None:
    """The job that is bound to this run and has not ended."""
    row = connection.execute(
        "SELECT job_id, attempt FROM ingest_jobs WHERE run_id = %s AND status = 'running'", (run_id,)
    ).fetchone()
    return None if row is None else (row["job_id"], row["attempt"])


def dispatched_for(connection: Connection, seconds: float) -> list[tuple[UUID, int]]:
    """Jobs that have been dispatched for so long and that no run has taken up: their run may have died early."""
    rows = connection.execute(
        "SELECT job_id, attempt FROM ingest_jobs"
        " WHERE status = 'dispatched' AND dispatched_at < now() - make_interval(secs => %s)",
        (seconds,),
    ).fetchall()
    return [(row["job_id"], row["attempt"]) for row in rows]
