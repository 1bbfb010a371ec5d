"""What extraction reveals about a video's name, while other runs do the same: in the end it is one video."""

from narralytica_ingest.failures import failure
from narralytica_ingest.store.database import Connection
from narralytica_ingest.store.dispatch import answer_ready, lock_names
from narralytica_ingest.store.leases import Lease, fence

_LOCK = "SELECT video_id FROM videos WHERE video_id IN (%s, %s) ORDER BY video_id FOR UPDATE"
_TRIES = 3


def learn(connection: Connection, lease: Lease, alias: str) -> str:
    """Records another name for the lease's video; a video that has the name already takes its jobs over, and it goes.

    Returns the video that has the name now: the lease's own, or the known one. The known one may vanish (it joins a
    third, or turns out to be a playlist) between the question and the lock; then the question is asked again. Raises
    LeaseLost, and IngestError `database_conflict` (local) if that goes on.
    """
    lock_names(connection, [alias, lease.video_id])
    for _ in range(_TRIES):
        owner = learn_alias(connection, alias, lease.video_id)
        if owner == lease.video_id:
            fence(connection, [lease])  # not before: two videos are locked in the order of their ids
            return owner
        locked = {row["video_id"] for row in connection.execute(_LOCK, (lease.video_id, owner)).fetchall()}
        if owner in locked and learn_alias(connection, alias, lease.video_id) == owner:
            join_known_video(connection, lease, owner)
            return owner
    raise failure("database_conflict", "Two transactions collided in Postgres; it is tried again.")


_LEARN = """
INSERT INTO video_aliases (alias, video_id) SELECT %s, video_id FROM videos WHERE video_id = %s FOR KEY SHARE
ON CONFLICT (alias) DO NOTHING
"""
_OWNER = """
SELECT coalesce((SELECT video_id FROM video_aliases WHERE alias = %(alias)s),
                (SELECT video_id FROM videos WHERE video_id = %(alias)s)) AS owner
"""


def learn_alias(connection: Connection, alias: str, video_id: str) -> str:
    """Records another name for a video, and returns whose name it is: `video_id`, or the video that had it first."""
    row = connection.execute(_OWNER, {"alias": alias}).fetchone()
    owner = row["owner"] if row else None
    if owner is None:
        connection.execute(_LEARN, (alias, video_id))
        row = connection.execute(_OWNER, {"alias": alias}).fetchone()
        owner = row["owner"] if row else video_id
    return str(owner)


_MOVE_HINTS = """
UPDATE videos known SET hints = stray.hints || known.hints
  FROM videos stray WHERE known.video_id = %(known)s AND stray.video_id = %(stray)s
"""
_MOVE = """
UPDATE ingest_jobs SET video_id = %(known)s, status = 'queued', run_id = NULL, not_before = NULL, progress = NULL,
       source_host = coalesce((SELECT o.source_host FROM ingest_jobs o WHERE o.video_id = %(known)s
                                  AND o.source_host IS NOT NULL ORDER BY o.created_at LIMIT 1), source_host)
 WHERE video_id = %(stray)s AND status IN ('queued', 'dispatched', 'running')
"""
_MOVE_ENDED = "UPDATE ingest_jobs SET video_id = %(known)s WHERE video_id = %(stray)s"
_DROP_STRAY = "DELETE FROM videos WHERE video_id = %(stray)s AND lease_epoch = %(epoch)s"


def join_known_video(connection: Connection, lease: Lease, known: str) -> None:
    """Extraction showed that the lease's video is `known`: its jobs move there to wait or be answered; its row goes.

    The stray's id stays as an alias, so that the same URL leads to the known video at once next time. Raises LeaseLost.
    """
    stray = lease.video_id
    values = {"stray": stray, "known": known, "epoch": lease.epoch}
    connection.execute("SELECT FROM videos WHERE video_id IN (%s, %s) ORDER BY video_id FOR UPDATE", (stray, known))
    fence(connection, [lease])
    connection.execute(_MOVE_HINTS, values)
    connection.execute(_MOVE, values)
    connection.execute(_MOVE_ENDED, values)
    connection.execute("UPDATE video_aliases SET video_id = %(known)s WHERE video_id = %(stray)s", values)
    connection.execute(_DROP_STRAY, values)
    connection.execute(_LEARN, (stray, known))
    answer_ready(connection)
