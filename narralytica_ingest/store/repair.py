"""What the tables do about a stored object that is lost: who builds it anew, and what is served until then.

All of it under the lock on the video, which no run has at work. Two repairs of one video make one job.
"""

from dataclasses import dataclass
from uuid import UUID

from narralytica_ingest.store.database import Connection
from narralytica_ingest.store.verification import Reference


@dataclass(frozen=True)
class Repair:
    """What was done. `job_id` builds the file anew (`fresh`: it was made for that, otherwise it waited already); None
    where nobody is served the file: the video's next attempt makes it."""

    job_id: UUID | None
    fresh: bool = False


_DROP_FILE = "DELETE FROM media_files WHERE media_file_id = %s"
# What is beside the original comes with it: an attempt that finds the original would not fetch the rest again.
_DROP_ORIGINAL = "DELETE FROM media_files WHERE video_id = %s AND generation = %s AND kind = 'raw_video'"
_NOT_READY = "UPDATE videos SET status = 'pending' WHERE video_id = %s AND status = 'ready'"
_WAITING = """
SELECT job_id FROM ingest_jobs
 WHERE video_id = %(video_id)s AND status IN ('queued', 'dispatched', 'running') AND NOT cancel_requested
   AND (NOT %(force)s OR options -> 'force' = 'true'::jsonb)
 ORDER BY created_at LIMIT 1
"""
# The job wishes what the video was fetched with, and has its source from where the video has it now.
_QUEUE = """
INSERT INTO ingest_jobs (source_url, upload_ref, options, idempotency_key, video_id, source_host)
SELECT v.source_url, v.upload_ref, v.options || CASE WHEN %(force)s THEN '{"force": true}'::jsonb ELSE '{}' END,
       'mend:' || gen_random_uuid(), v.video_id,
       coalesce((SELECT j.source_host FROM ingest_jobs j WHERE j.video_id = v.video_id AND j.source_host IS NOT NULL
                  ORDER BY j.created_at DESC LIMIT 1), '')
  FROM videos v WHERE v.video_id = %(video_id)s
RETURNING job_id
"""


def lost_file(connection: Connection, lost: Reference) -> Repair:
    """Sees to a media file whose object is gone. The caller holds the lock on its video.

    A lost audio track makes the video `pending`, since that is what it is: a plain job extracts the sound again from
    the stored original. Of any other file the video is fetched anew by a forced job, and what is left is served until
    the new generation is whole.
    """
    if lost.kind == "audio_track" or not lost.served:
        connection.execute(_DROP_FILE, (lost.media_file_id,))
    if not lost.served:
        if lost.kind != "audio_track":
            connection.execute(_DROP_ORIGINAL, (lost.video_id, lost.generation))
        return Repair(None)
    if lost.kind == "audio_track":
        connection.execute(_NOT_READY, (lost.video_id,))
        return _queue(connection, lost.video_id, force=False)
    return _queue(connection, lost.video_id, force=True)


_BEGIN_REMOVAL = """
INSERT INTO leftover_objects (bucket, object_key, removing_at) VALUES (%s, %s, clock_timestamp())
ON CONFLICT (bucket, object_key) DO UPDATE SET removing_at = excluded.removing_at
"""


def begin_removal(connection: Connection, bucket: str, key: str) -> None:
    """Notes that a corrupt object is about to be removed although it is wanted; see `objects.being_removed`.

    In a transaction of its own, while the caller holds the lock of the key: should we die after the request is sent,
    whoever stores the object waits until it is certain that nothing is removed any more.
    """
    connection.execute(_BEGIN_REMOVAL, (bucket, key))


_LOCK_IDLE = "SELECT FROM videos WHERE video_id = %s AND lease_run_id IS NULL FOR NO KEY UPDATE"


def incomplete_video(connection: Connection, video_id: str) -> Repair | None:
    """Sees to a video that counts as ready and is not: a plain job adds what is missing. None if it is at work."""
    if connection.execute(_LOCK_IDLE, (video_id,)).fetchone() is None:
        return None
    connection.execute(_NOT_READY, (video_id,))
    return _queue(connection, video_id, force=False)


def _queue(connection: Connection, video_id: str, *, force: bool) -> Repair:
    values = {"video_id": video_id, "force": force}
    waiting = connection.execute(_WAITING, values).fetchone()
    if waiting is not None:
        return Repair(waiting["job_id"])
    made = connection.execute(_QUEUE, values).fetchone()
    assert made is not None
    return Repair(made["job_id"], fresh=True)
