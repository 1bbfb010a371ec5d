"""What a run commits: media files (metadata: `metadata_rows.py`), and the one decision when a video is done.

Every commit is fenced by the lease and asks, in the same transaction, whether the generation is complete.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from narralytica_ingest.failures import failure
from narralytica_ingest.store import breaker, objects, pauses
from narralytica_ingest.store.database import Connection, as_jsonb
from narralytica_ingest.store.leases import Lease, fence


@dataclass(frozen=True)
class MediaFile:
    """A stored object of a video: `kind`, where it is, and what it measures. `size_bytes` and `sha256` are of the
    object's bytes; `probe` holds what ffprobe measured, `origin` who made captions, `profile` how an audio track was
    made, and `facts` what was measured and decided then, where that applies."""

    kind: str
    bucket: str
    object_key: str
    size_bytes: int
    sha256: str
    content_type: str
    language: str | None = None
    origin: str | None = None
    probe: dict[str, Any] | None = None
    profile: str | None = None
    facts: dict[str, Any] | None = None


_UPSERT_FILE = """
INSERT INTO media_files (video_id, generation, kind, language, origin, profile, bucket, object_key, size_bytes,
                         sha256, content_type, probe, facts, lease_epoch)
VALUES (%(video_id)s, %(generation)s, %(kind)s, %(language)s, %(origin)s, %(profile)s, %(bucket)s, %(object_key)s,
        %(size_bytes)s, %(sha256)s, %(content_type)s, %(probe)s, %(facts)s, %(epoch)s)
ON CONFLICT (video_id, generation, kind, coalesce(language, ''), coalesce(origin, ''), coalesce(profile, '')) DO UPDATE
   SET bucket = excluded.bucket, object_key = excluded.object_key, size_bytes = excluded.size_bytes,
       sha256 = excluded.sha256, content_type = excluded.content_type, probe = excluded.probe,
       facts = excluded.facts, lease_epoch = excluded.lease_epoch
 WHERE media_files.lease_epoch <= excluded.lease_epoch
"""

# A ready video states the content that is served, which `complete` says.
_CONTENT = "UPDATE videos SET content_sha256 = %s WHERE video_id = %s AND status <> 'ready'"

_HAS_ORIGINAL = """
SELECT FROM media_files
 WHERE video_id = %(video_id)s AND generation = %(generation)s AND kind = 'raw_video' AND sha256 = %(sha256)s
"""
_IS_SERVED = "SELECT FROM videos WHERE video_id = %(video_id)s AND status = 'ready' AND generation = %(generation)s"
_DROP_OF_OTHER_ORIGINAL = (
    "DELETE FROM media_files WHERE video_id = %(video_id)s AND generation = %(generation)s",
    "DELETE FROM video_metadata WHERE video_id = %(video_id)s AND generation = %(generation)s",
)

# A track that was stored under another language before, or without one, is the same sound: it is not kept twice.
_DROP_RENAMED = """
DELETE FROM media_files old USING media_files new
 WHERE new.video_id = %(video_id)s AND new.generation = %(generation)s AND new.kind = 'audio_track'
   AND new.lease_epoch = %(epoch)s AND old.lease_epoch < new.lease_epoch
   AND (old.video_id, old.generation, old.kind, old.profile)
     = (new.video_id, new.generation, new.kind, new.profile)
   AND coalesce(old.facts #> '{source_stream,index}', new.facts #> '{source_stream,index}')
     = new.facts #> '{source_stream,index}'
"""


def commit_media_files(connection: Connection, lease: Lease, files: Sequence[MediaFile]) -> None:
    """Makes stored objects the video's files, all or none, and ends their publications.

    With another original than before the generation begins anew: nothing that was made of the old one stays in it.
    Raises LeaseLost if the video is somebody else's now, and IngestError `object_missing` if another original would
    replace the served one.
    """
    fence(connection, [lease])
    for original in (file for file in files if file.kind == "raw_video"):
        _begin_anew(connection, lease, original)
    for file in files:
        values = vars(file) | {"video_id": lease.video_id, "generation": lease.generation, "epoch": lease.epoch}
        for name in ("probe", "facts"):
            values[name] = None if values[name] is None else as_jsonb(values[name])
        connection.execute(_UPSERT_FILE, values)
        if file.kind == "raw_video":
            connection.execute(_CONTENT, (file.sha256, lease.video_id))
    connection.execute(
        _DROP_RENAMED, {"video_id": lease.video_id, "generation": lease.generation, "epoch": lease.epoch}
    )
    objects.end_publications(connection, lease, [file.object_key for file in files])
    complete(connection, [lease])
    pauses.succeeded(connection)


def _begin_anew(connection: Connection, lease: Lease, original: MediaFile) -> None:
    values = {"video_id": lease.video_id, "generation": lease.generation, "sha256": original.sha256}
    if connection.execute(_HAS_ORIGINAL, values).fetchone() is not None:
        return
    if connection.execute(_IS_SERVED, values).fetchone() is not None:
        raise failure(
            "object_missing",
            "The stored original is lost, and its source serves another one now, which would not fit what is served: "
            "ingest the video anew (`submit --force`).",
        )
    for statement in _DROP_OF_OTHER_ORIGINAL:
        connection.execute(statement, values)


# ------------------------------------------------------------------------------------------------------------------
# Done is decided here and nowhere else: original, audio and metadata of one generation are there.
# ------------------------------------------------------------------------------------------------------------------
_COMPLETE = """
UPDATE videos v
   SET status = 'ready', generation = v.lease_generation, ready_at = CASE WHEN v.status = 'ready'
           AND v.generation = v.lease_generation THEN v.ready_at ELSE now() END,
       content_sha256 = (SELECT f.sha256 FROM media_files f
                          WHERE f.video_id = v.video_id AND f.generation = v.lease_generation AND f.kind = 'raw_video'),
       error_class = NULL, error_code = NULL, error_message = NULL
 WHERE v.video_id = ANY(%(video_ids)s)
   AND EXISTS (SELECT FROM media_files f
                WHERE f.video_id = v.video_id AND f.generation = v.lease_generation AND f.kind = 'raw_video')
   AND EXISTS (SELECT FROM media_files f
                WHERE f.video_id = v.video_id AND f.generation = v.lease_generation AND f.kind = 'audio_track')
   AND EXISTS (SELECT FROM video_metadata m
                WHERE m.video_id = v.video_id AND m.generation = v.lease_generation)
RETURNING v.video_id
"""

# A job that began when the video was ready already has only added to it. Whose wishes are still open goes on, or waits.
_SUCCEED = """
UPDATE ingest_jobs j
   SET status = 'succeeded',
       outcome = CASE WHEN j.status = 'running' AND j.started_at <= v.ready_at THEN 'ingested' ELSE 'deduplicated' END,
       finished_at = now(), not_before = NULL, progress = NULL,
       error_class = NULL, error_code = NULL, error_message = NULL
  FROM videos v
 WHERE v.video_id = j.video_id AND v.video_id = ANY(%(video_ids)s)
   AND ((j.status = 'running' AND j.run_id = v.lease_run_id)
        OR (j.status = 'queued' AND j.options -> 'force' IS DISTINCT FROM 'true'::jsonb))
   AND NOT asks_for_more(j.options, v.video_id, v.generation)
RETURNING j.outcome, j.source_host
"""

_DROP_OLD_FILES = """
DELETE FROM media_files f USING videos v
 WHERE f.video_id = v.video_id AND f.generation < v.generation AND v.video_id = ANY(%(video_ids)s)
"""

_DROP_OLD_METADATA = """
DELETE FROM video_metadata m USING videos v
 WHERE m.video_id = v.video_id AND m.generation < v.generation AND v.video_id = ANY(%(video_ids)s)
"""


def complete(connection: Connection, leases: Collection[Lease]) -> None:
    """Makes the videos ready whose generation is whole, and their jobs succeeded; the trigger announces both.

    The caller holds the fence. Rows of older generations go; their objects are swept when nothing refers to them. The
    hosts that the videos came from just now are trusted again.
    """
    rows = connection.execute(_COMPLETE, {"video_ids": [lease.video_id for lease in leases]}).fetchall()
    if not rows:
        return
    done = {"video_ids": [row["video_id"] for row in rows]}
    jobs = connection.execute(_SUCCEED, done).fetchall()
    for statement in (_DROP_OLD_FILES, _DROP_OLD_METADATA):
        connection.execute(statement, done)
    breaker.trust(
        connection, {job["source_host"] for job in jobs if job["outcome"] == "ingested" and job["source_host"]}
    )
