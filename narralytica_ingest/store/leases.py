"""The lease on a video: who may write about it now.

A run takes the lease by one conditional UPDATE, which raises `lease_epoch`; every later write carries that epoch.
Jobs come from the table, runs also from the UI, backfills and re-executions, so the fence belongs to the video.

Lock order in this package, always: the row in `videos` first, of several in the order of their ids, then rows in
`ingest_jobs`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.store.database import Connection, as_jsonb


@dataclass(frozen=True)
class Dispatch:
    """What a run says it was started for. Tags are copied by re-executions, so `bind` believes none of it unseen."""

    job_id: UUID
    attempt: int


@dataclass(frozen=True)
class Lease:
    """The right of one run to write about one video, until somebody else raises the epoch."""

    video_id: str
    run_id: str
    epoch: int
    generation: int


@dataclass(frozen=True)
class Renewal:
    """What a heartbeat learned."""

    lost: frozenset[str]
    cancel_requested: bool


class LeaseLost(IngestError):
    """Somebody else has the video now: this run must stop without another write."""

    def __init__(self, video_ids: Collection[str]) -> None:
        names = ", ".join(sorted(video_ids)[:3])
        super().__init__(
            FailureClass.LOCAL,
            "lease_lost",
            f"Another run took over {names}, or it was deleted; this run stops and changes nothing more.",
        )


class NothingToDo(Exception):
    """The run has no work: its job moved on, or was answered already. It ends without touching anything."""


_TAKE = """
WITH free AS (
    SELECT video_id FROM videos
     WHERE video_id = ANY(%(video_ids)s) AND (lease_run_id IS NULL OR lease_expires_at < now())
     ORDER BY video_id FOR NO KEY UPDATE)
UPDATE videos v
   SET lease_run_id = %(run_id)s, lease_epoch = v.lease_epoch + 1,
       lease_expires_at = now() + make_interval(secs => %(seconds)s),
       lease_generation = CASE WHEN %(force)s THEN v.generation + 1 ELSE greatest(v.generation, 1) END,
       status = CASE WHEN v.status = 'ready' THEN 'ready' ELSE 'ingesting' END
  FROM free WHERE v.video_id = free.video_id
RETURNING v.video_id, v.lease_run_id AS run_id, v.lease_epoch AS epoch, v.lease_generation AS generation
"""


def take(
    connection: Connection, run_id: str, video_ids: Collection[str], seconds: float, *, force: bool = False
) -> dict[str, Lease]:
    """Takes the leases that are free. A video that is missing from the answer is at work elsewhere, or unknown."""
    rows = connection.execute(
        _TAKE, {"run_id": run_id, "video_ids": list(video_ids), "seconds": seconds, "force": force}
    ).fetchall()
    return {row["video_id"]: Lease(**row) for row in rows}


_HELD = """
SELECT video_id, lease_run_id AS run_id, lease_epoch AS epoch, lease_generation AS generation FROM videos
 WHERE video_id = ANY(%s) AND lease_run_id = %s
"""


def held(connection: Connection, run_id: str, video_ids: Collection[str]) -> dict[str, Lease]:
    """The leases that the run has on these videos: for a run whose `take` may have been committed without an answer."""
    rows = connection.execute(_HELD, (list(video_ids), run_id)).fetchall()
    return {row["video_id"]: Lease(**row) for row in rows}


# What the job wishes of the fetch is wished of the video now. A forced job begins anew: what an earlier, unfinished
# generation left behind is not what it asks for.
_WISH = """
UPDATE videos v SET options = j.options - 'force'
  FROM ingest_jobs j WHERE j.job_id = %(job_id)s AND v.video_id = j.video_id
"""
_DROP_LEFTOVERS = """
DELETE FROM media_files f USING videos v, ingest_jobs j
 WHERE j.job_id = %(job_id)s AND j.options -> 'force' = 'true'::jsonb AND v.video_id = j.video_id
   AND f.video_id = v.video_id AND f.generation > v.generation AND f.created_at < j.created_at
"""
_BIND = """
UPDATE ingest_jobs
   SET status = 'running', run_id = %(run_id)s, started_at = now(), heartbeat_at = now(), progress = NULL
 WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND status = 'dispatched' AND video_id = %(video_id)s
   AND run_id IS NULL
RETURNING job_id
"""


def bind(connection: Connection, dispatch: Dispatch, lease: Lease) -> bool:
    """Makes the dispatched job the work of this run. False if the job has moved on: the tags were a copy, or late."""
    params = {
        "run_id": lease.run_id,
        "video_id": lease.video_id,
        "job_id": dispatch.job_id,
        "attempt": dispatch.attempt,
    }
    if connection.execute(_BIND, params).rowcount == 0:
        return False
    connection.execute(_WISH, params)
    connection.execute(_DROP_LEFTOVERS, params)
    return True


_WAIT = """
UPDATE ingest_jobs SET status = 'queued' WHERE job_id = %s AND attempt = %s AND status = 'dispatched'
"""


def wait_for_video(connection: Connection, dispatch: Dispatch) -> None:
    """Puts a dispatched job back: its video is at work elsewhere, and the claim passes it over until that ends."""
    connection.execute(_WAIT, (dispatch.job_id, dispatch.attempt))


_FORCED = "SELECT options -> 'force' = 'true'::jsonb AS force FROM ingest_jobs WHERE job_id = %s AND attempt = %s"


def is_forced(connection: Connection, dispatch: Dispatch) -> bool:
    """Whether the job asks for a new generation of a video that is ready."""
    row = connection.execute(_FORCED, (dispatch.job_id, dispatch.attempt)).fetchone()
    return bool(row and row["force"])


_RENEW = """
WITH held AS (
    SELECT v.video_id FROM videos v
      JOIN unnest(%(video_ids)s::text[], %(epochs)s::bigint[]) AS mine (video_id, epoch)
        ON v.video_id = mine.video_id AND v.lease_epoch = mine.epoch AND v.lease_run_id = %(run_id)s
     ORDER BY v.video_id FOR NO KEY UPDATE OF v)
UPDATE videos v SET lease_expires_at = now() + make_interval(secs => %(seconds)s)
  FROM held WHERE v.video_id = held.video_id
RETURNING v.video_id
"""

_BEAT = """
UPDATE ingest_jobs SET heartbeat_at = now(), progress = coalesce(%(progress)s, progress)
 WHERE run_id = %(run_id)s AND status = 'running' AND video_id = ANY(%(held)s)
RETURNING cancel_requested
"""


def renew(
    connection: Connection, leases: Mapping[str, Lease], run_id: str, seconds: float, progress: dict[str, Any] | None
) -> Renewal:
    """One heartbeat: prolongs the leases, dates the job, stores its progress, and looks for a cancel."""
    held = connection.execute(
        _RENEW,
        {
            "seconds": seconds,
            "run_id": run_id,
            "video_ids": list(leases),
            "epochs": [lease.epoch for lease in leases.values()],
        },
    ).fetchall()
    jobs = connection.execute(
        _BEAT,
        {
            "run_id": run_id,
            "held": [row["video_id"] for row in held],  # the job of a lost lease is not this run's any more
            "progress": as_jsonb(progress) if progress else None,
        },
    ).fetchall()
    return Renewal(
        lost=frozenset(leases) - {row["video_id"] for row in held},
        cancel_requested=any(row["cancel_requested"] for row in jobs),
    )


_FENCE = """
SELECT v.video_id FROM videos v
  JOIN unnest(%(video_ids)s::text[], %(epochs)s::bigint[]) AS mine (video_id, epoch)
    ON v.video_id = mine.video_id AND v.lease_epoch = mine.epoch AND v.lease_run_id = %(run_id)s
 ORDER BY v.video_id FOR UPDATE OF v
"""


def fence(connection: Connection, leases: Collection[Lease]) -> None:
    """Locks the videos for this transaction, and raises LeaseLost unless every lease still holds.

    Every commit of a run begins with it, so a run that lost its lease can write nothing.
    """
    for run_id in {lease.run_id for lease in leases}:
        mine = [lease for lease in leases if lease.run_id == run_id]
        held = connection.execute(
            _FENCE,
            {"run_id": run_id, "video_ids": [x.video_id for x in mine], "epochs": [x.epoch for x in mine]},
        ).fetchall()
        lost = {lease.video_id for lease in mine} - {row["video_id"] for row in held}
        if lost:
            raise LeaseLost(lost)


_RELEASE = """
WITH held AS (
    SELECT v.video_id FROM videos v
      JOIN unnest(%(video_ids)s::text[], %(run_ids)s::text[], %(epochs)s::bigint[]) AS mine (video_id, run_id, epoch)
        ON v.video_id = mine.video_id AND v.lease_run_id = mine.run_id AND v.lease_epoch = mine.epoch
     ORDER BY v.video_id FOR NO KEY UPDATE OF v)
UPDATE videos v
   SET lease_run_id = NULL, lease_expires_at = NULL, lease_generation = NULL,
       status = CASE WHEN v.status = 'ingesting' THEN 'pending' ELSE v.status END
  FROM held WHERE v.video_id = held.video_id
"""


def release(connection: Connection, leases: Collection[Lease]) -> None:
    """Gives the leases up; one that was lost is left alone. Files and metadata that are committed stay."""
    values = {
        "video_ids": [x.video_id for x in leases],
        "run_ids": [x.run_id for x in leases],
        "epochs": [x.epoch for x in leases],
    }
    connection.execute(_RELEASE, values)
