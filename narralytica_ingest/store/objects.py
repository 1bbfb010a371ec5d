"""Which objects of the bucket are wanted: publications on their way, leftovers, and the lock on a key.

A publication says that a run is about to store an object; it is written before the first byte is sent and ends with the
commit of the media file. Whoever removes an object holds the lock on its key, and looks under it whether anybody refers
to the object or publishes it. So nothing that is committed, or about to be, is ever removed, and nothing that a dead
run left is ever forgotten.

Lock order, always: keys, then rows in `videos`, then rows in `ingest_jobs`; rows in `leftover_objects` last.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from narralytica_ingest.store.database import Connection
from narralytica_ingest.store.leases import Lease, fence

# A request to remove an object whose sender died, or gave up waiting for the answer, may still be carried out. So long
# nobody believes that what is in the bucket stays there.
REMOVAL_SECONDS = 30.0


@dataclass(frozen=True)
class Leftover:
    """An object that may be nobody's any more."""

    bucket: str
    object_key: str
    video_id: str | None


# Numbers of 64 bits, so that two keys hardly ever have the same one; those that have only wait for each other. Taken
# in the order of the numbers, so that two runs that want the same keys never wait for each other in a circle.
_LOCK = """
SELECT pg_advisory_xact_lock(number)
  FROM (SELECT DISTINCT hashtextextended(%(bucket)s || '/' || key, 7264003) AS number
          FROM unnest(%(keys)s::text[]) AS key ORDER BY number) AS ordered
"""


def lock(connection: Connection, bucket: str, keys: Collection[str]) -> None:
    """The locks on these keys, until the end of the transaction."""
    connection.execute(_LOCK, {"bucket": bucket, "keys": list(keys)})


# ---- publications ----------------------------------------------------------------------------------------------------

_BEGIN = """
INSERT INTO publications (bucket, object_key, video_id, run_id, lease_epoch)
SELECT DISTINCT %(bucket)s, key, %(video_id)s, %(run_id)s, %(epoch)s::bigint FROM unnest(%(keys)s::text[]) AS key
ON CONFLICT DO NOTHING
"""


def begin_publications(connection: Connection, lease: Lease, bucket: str, keys: Collection[str]) -> None:
    """States that the run is about to store these objects; from the commit on nobody begins to remove them.

    Waits for whoever is removing one of them just now; look at `being_removed` afterwards. Raises LeaseLost if the
    video is somebody else's now.
    """
    lock(connection, bucket, keys)  # before the video is locked: a heartbeat must not wait for a slow removal
    fence(connection, [lease])
    connection.execute(_BEGIN, _publications_of(lease) | {"bucket": bucket, "keys": list(keys)})


_BEING_REMOVED = """
SELECT FROM leftover_objects
 WHERE bucket = %s AND object_key = ANY(%s) AND removing_at > clock_timestamp() - make_interval(secs => %s)
"""


def being_removed(connection: Connection, bucket: str, keys: Collection[str]) -> bool:
    """Whether a removal of one of these was begun and, for all we know, may still happen: wait until it is not so.

    A remover that is alive ends it at once; for one that died it takes REMOVAL_SECONDS.
    """
    return connection.execute(_BEING_REMOVED, (bucket, list(keys), REMOVAL_SECONDS)).fetchone() is not None


_END = """
DELETE FROM publications
 WHERE video_id = %(video_id)s AND run_id = %(run_id)s AND lease_epoch = %(epoch)s AND object_key = ANY(%(keys)s)
"""


def end_publications(connection: Connection, lease: Lease, keys: Collection[str]) -> None:
    """Their media files are committed in this transaction."""
    connection.execute(_END, _publications_of(lease) | {"keys": list(keys)})


_ABANDONED = """
DELETE FROM publications p
 WHERE NOT EXISTS (SELECT FROM videos v WHERE v.video_id = p.video_id AND v.lease_run_id = p.run_id
                                          AND v.lease_epoch = p.lease_epoch)
RETURNING bucket, object_key, video_id
"""


def end_abandoned_publications(connection: Connection) -> list[Leftover]:
    """Ends the publications whose run has lost its lease, which it never gets back; the trigger notes what it may have
    left in the bucket."""
    return [Leftover(**row) for row in connection.execute(_ABANDONED).fetchall()]


_PUBLISHED = "SELECT DISTINCT object_key FROM publications WHERE bucket = %s AND object_key = ANY(%s)"


def keys_in_publication(connection: Connection, bucket: str, keys: Collection[str]) -> set[str]:
    """Those of these keys that somebody publishes."""
    return {row["object_key"] for row in connection.execute(_PUBLISHED, (bucket, list(keys))).fetchall()}


def _publications_of(lease: Lease) -> dict[str, object]:
    return {"video_id": lease.video_id, "run_id": lease.run_id, "epoch": lease.epoch}


# ---- removal ---------------------------------------------------------------------------------------------------------

_LOCK_LEFTOVER = "SELECT FROM leftover_objects WHERE bucket = %(bucket)s AND object_key = %(key)s FOR UPDATE"
_WANTED = """
SELECT EXISTS (SELECT FROM media_files WHERE bucket = %(bucket)s AND object_key = %(key)s)
    OR EXISTS (SELECT FROM publications WHERE bucket = %(bucket)s AND object_key = %(key)s) AS wanted
"""


def lock_if_unwanted(connection: Connection, bucket: str, key: str) -> bool:
    """Takes the lock on the key; False if a media file refers to the object, or somebody publishes it.

    The row of the leftover is locked first: whoever lets go of the object meanwhile waits, and notes it anew.
    """
    lock(connection, bucket, [key])
    connection.execute(_LOCK_LEFTOVER, {"bucket": bucket, "key": key})
    row = connection.execute(_WANTED, {"bucket": bucket, "key": key}).fetchone()
    return not (row and row["wanted"])


# Without a grace period also what is no leftover, or no longer: whoever asks for that wants it gone.
_BEGIN_REMOVAL = """
INSERT INTO leftover_objects AS known (bucket, object_key, removing_at)
SELECT %(bucket)s, %(key)s, clock_timestamp()
 WHERE %(grace)s = 0 OR EXISTS (SELECT FROM leftover_objects WHERE bucket = %(bucket)s AND object_key = %(key)s)
ON CONFLICT (bucket, object_key) DO UPDATE SET removing_at = excluded.removing_at
 WHERE known.since <= clock_timestamp() - make_interval(secs => %(grace)s)
"""


def begin_removal(connection: Connection, bucket: str, key: str, grace_seconds: float) -> bool:
    """Whether the object may be removed now: nobody wants it, and its grace period is over. Holds the key's lock.

    Notes that the removal has begun. A leftover that is wanted again is forgotten, unless somebody was removing it:
    whoever wants it must know.
    """
    if not lock_if_unwanted(connection, bucket, key):
        if not being_removed(connection, bucket, [key]):
            forget_leftover(connection, bucket, key)
        return False
    values = {"bucket": bucket, "key": key, "grace": float(grace_seconds)}
    return connection.execute(_BEGIN_REMOVAL, values).rowcount > 0


_REMOVAL_BEGUN = "SELECT removing_at FROM leftover_objects WHERE bucket = %s AND object_key = %s"
_WITHDRAW = "UPDATE leftover_objects SET removing_at = NULL WHERE bucket = %s AND object_key = %s"


def removal_begun_at(connection: Connection, bucket: str, key: str) -> datetime | None:
    """When somebody began to remove the object last."""
    row = connection.execute(_REMOVAL_BEGUN, (bucket, key)).fetchone()
    return row["removing_at"] if row else None


def withdraw_removal(connection: Connection, bucket: str, key: str) -> None:
    """It was begun, and the bucket was not asked."""
    connection.execute(_WITHDRAW, (bucket, key))


# ---- leftovers -------------------------------------------------------------------------------------------------------

# What could not be removed lately comes last, so that it keeps nothing else from being removed.
_DUE = """
SELECT bucket, object_key, video_id FROM leftover_objects
 WHERE since <= now() - make_interval(secs => %(grace)s) AND (%(bucket)s::text IS NULL OR bucket = %(bucket)s)
 ORDER BY removing_at NULLS FIRST, since LIMIT %(limit)s
"""


def due_leftovers(
    connection: Connection, grace_seconds: float, limit: int, bucket: str | None = None
) -> list[Leftover]:
    """The leftovers (of one bucket, if it is given) whose grace period is over, oldest first."""
    values = {"grace": grace_seconds, "limit": limit, "bucket": bucket}
    return [Leftover(**row) for row in connection.execute(_DUE, values).fetchall()]


def leftovers_of(connection: Connection, video_id: str) -> list[Leftover]:
    """What a video left, whatever its age."""
    rows = connection.execute(
        "SELECT bucket, object_key, video_id FROM leftover_objects WHERE video_id = %s ORDER BY object_key",
        (video_id,),
    )
    return [Leftover(**row) for row in rows.fetchall()]


def forget_leftover(connection: Connection, bucket: str, key: str) -> None:
    """It is gone from the bucket, or wanted again."""
    connection.execute("DELETE FROM leftover_objects WHERE bucket = %s AND object_key = %s", (bucket, key))


_UNKNOWN = """
SELECT key FROM unnest(%(keys)s::text[]) AS key
 WHERE NOT EXISTS (SELECT FROM media_files WHERE bucket = %(bucket)s AND object_key = key)
   AND NOT EXISTS (SELECT FROM publications WHERE bucket = %(bucket)s AND object_key = key)
   AND NOT EXISTS (SELECT FROM leftover_objects WHERE bucket = %(bucket)s AND object_key = key)
"""


def unknown_keys(connection: Connection, bucket: str, keys: Sequence[str]) -> list[str]:
    """Of these keys of the bucket, those that no table knows."""
    rows = connection.execute(_UNKNOWN, {"bucket": bucket, "keys": list(keys)}).fetchall()
    return [row["key"] for row in rows]


_NOTE = """
INSERT INTO leftover_objects (bucket, object_key) SELECT DISTINCT %s::text, key FROM unnest(%s::text[]) AS key
 ORDER BY key ON CONFLICT DO NOTHING
"""


def note_leftovers(connection: Connection, bucket: str, keys: Iterable[str]) -> None:
    """Objects that were found in the bucket and that no table knows: their grace period begins now."""
    connection.execute(_NOTE, (bucket, list(keys)))


def installation_id(connection: Connection) -> str:
    """The name of these tables, which goes with their backups: a bucket is swept by its own installation alone."""
    row = connection.execute("SELECT installation_id FROM installation").fetchone()
    assert row is not None
    return str(row["installation_id"])


def buckets_with_leftovers(connection: Connection) -> set[str]:
    """Where there is something to remove; a bucket that is no longer in the settings, too."""
    return {row["bucket"] for row in connection.execute("SELECT DISTINCT bucket FROM leftover_objects").fetchall()}
