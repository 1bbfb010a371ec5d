"""A job whose URL holds several videos becomes the parent of one job for each.

Lock order as in the whole package: rows in `videos` first, then rows in `ingest_jobs`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from narralytica_ingest.failures import failure
from narralytica_ingest.store.database import Connection, Row, as_jsonb, storable_text
from narralytica_ingest.store.leases import Lease, fence
from narralytica_ingest.store.outcomes import canceled


@dataclass(frozen=True)
class Child:
    """A video of a playlist. `video_id` is its identity, by which it is one child however often it is listed."""

    source_url: str
    video_id: str
    title: str | None = None


_PARENT = """
SELECT job_id, parent_job_id, cancel_requested FROM ingest_jobs
 WHERE run_id = %(run_id)s AND video_id = %(video_id)s AND status = 'running' FOR UPDATE
"""
_IS_SERVED = "SELECT FROM videos WHERE video_id = %(video_id)s AND generation > 0"
# The key makes one child of each video, however often the playlist is listed. What the parent wishes, the children do.
_ADD = """
INSERT INTO ingest_jobs (parent_job_id, source_url, title, channel, language, priority, max_attempts, options,
                         idempotency_key)
SELECT p.job_id, c.source_url, left(c.title, 4000), p.channel, p.language, p.priority, p.max_attempts,
       p.options - 'playlist_limit', 'playlist:' || p.job_id || ':' || c.video_id
  FROM ingest_jobs p,
       unnest(%(urls)s::text[], %(video_ids)s::text[], %(titles)s::text[])
           WITH ORDINALITY AS c (source_url, video_id, title, place)
 WHERE p.job_id = %(job_id)s
 ORDER BY c.place
ON CONFLICT (idempotency_key) DO NOTHING
"""
_EXPANDED = """
UPDATE ingest_jobs
   SET status = 'succeeded', outcome = 'expanded', playlist = %(playlist)s, video_id = NULL, finished_at = now(),
       not_before = NULL, progress = NULL, error_class = NULL, error_code = NULL, error_message = NULL
 WHERE job_id = %(job_id)s
"""
_WAITING_LOOK_AGAIN = """
UPDATE ingest_jobs SET video_id = NULL, status = 'queued', run_id = NULL
 WHERE video_id = %(video_id)s AND status IN ('queued', 'dispatched')
"""
_DROP = "DELETE FROM videos WHERE video_id = %(video_id)s AND lease_epoch = %(epoch)s"


def expand(
    connection: Connection, lease: Lease, title: str | None, children: Sequence[Child], *, more: bool, skipped: int = 0
) -> int:
    """Makes the lease's job the parent of one queued job per video, and ends it as expanded; its video goes.

    Returns how many jobs are new: a video that is listed twice, or again, has one. `more`: the limit left others out;
    `skipped`: so many entries have no URL that could be fetched. Other jobs that waited for the same URL look for
    themselves. Raises LeaseLost; IngestError, permanent: `is_playlist` where there is no job to expand or a video of
    this name is served, `nested_playlist`, `no_video_found`; and `canceled`.
    """
    fence(connection, [lease])
    values: Row = {"video_id": lease.video_id, "run_id": lease.run_id, "epoch": lease.epoch}
    parent = _expandable(connection, values)
    if not children:
        raise failure("no_video_found", "This playlist lists no video that can be fetched: check that it is public.")
    values |= {
        "job_id": parent["job_id"],
        "urls": [storable_text(child.source_url) for child in children],
        "video_ids": [child.video_id for child in children],
        "titles": [child.title and storable_text(child.title) for child in children],
        "playlist": as_jsonb(
            {"title": title, "videos": len({child.video_id for child in children}), "more": more, "skipped": skipped}
        ),
    }
    added = connection.execute(_ADD, values).rowcount
    for statement in (_EXPANDED, _WAITING_LOOK_AGAIN, _DROP):
        connection.execute(statement, values)
    return added


def _expandable(connection: Connection, values: Row) -> Row:
    """The job to expand, locked. Raises what says that there is none."""
    if connection.execute(_IS_SERVED, values).fetchone() is not None:
        raise failure(
            "is_playlist",
            "This URL held one video when it was ingested and holds several now: what is stored stays; submit the URLs"
            " of the videos.",
        )
    parent = connection.execute(_PARENT, values).fetchone()
    if parent is None:
        raise failure(
            "is_playlist", "This URL is a playlist, and a run without a job cannot take its videos: submit the URL."
        )
    if parent["cancel_requested"]:
        raise canceled()
    if parent["parent_job_id"] is not None:
        raise failure(
            "nested_playlist", "This entry of a playlist is a playlist itself: submit its URL as a job of its own."
        )
    return parent
