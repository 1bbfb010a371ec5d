"""What is done about a stored object that is not what the tables say.

Corrupt bytes are removed from the bucket, so that nobody is served them, and so that storing the right ones is not
taken for done. Everything happens in one transaction under the lock of the key, which keeps publishers away, and then
the locks of the videos; what a run is at work on is left alone.
"""

from typing import TYPE_CHECKING

from narralytica_ingest.object_store import audit
from narralytica_ingest.object_store.audit import Fault, Finding, Wanted
from narralytica_ingest.object_store.media import ObjectRef
from narralytica_ingest.store import objects, repair, verification
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.repair import Repair
from narralytica_ingest.store.verification import Reference, StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A mender that is stopped half-way must not keep a video, or the key, for ever.
_END_IDLE = "SET LOCAL idle_in_transaction_session_timeout = '60s'"

AT_WORK = "left alone: run {run_id} is at work on it. Verify again when that has ended"
BEING_STORED = "left alone: a run is storing this object now. Verify again when that has ended"
CHANGED = "left alone: the object has changed since it was looked at. Verify again"
UNREADABLE = "left alone: what cannot be read may be sound. Look at the object store's log"


def wanted(stored: StoredObject) -> Wanted:
    """The object as whoever examines the bucket wants it."""
    return Wanted(ObjectRef(stored.bucket, stored.object_key), stored.size_bytes, stored.sha256)


def mend(database: Database, client: "S3Client", stored: StoredObject, finding: Finding) -> dict[int, str]:
    """Mends what was found, and says for each media file (by id) that refers to the object what was done.

    Raises IngestError `object_store_away` and `database_away`; then nothing is changed in the tables.
    """
    if finding.fault is Fault.UNREADABLE:
        with database.transaction() as connection:
            return dict.fromkeys(_ids(verification.references(connection, stored)), UNREADABLE)
    if finding.fault is Fault.WRONG_MARK:
        finding = _look_closer(client, stored, finding)
    with database.transaction() as connection:
        files, refused = _lock(connection, client, stored, finding)
        if refused is not None:
            return dict.fromkeys(_ids(files), refused)
        if finding.fault is Fault.WRONG_MARK:
            _mark(client, stored, finding)
            return dict.fromkeys(_ids(files), "mended: its bytes are right, and our SHA-256 is beside them again")
        if finding.is_corrupt:
            with database.transaction() as noted:
                repair.begin_removal(noted, stored.bucket, stored.object_key)
        done = {file.media_file_id: _repair(connection, file, finding) for file in files}
        if finding.is_corrupt:  # last: if it fails, the tables stay as they are
            audit.remove(client, wanted(stored).ref)
            objects.forget_leftover(connection, stored.bucket, stored.object_key)
        return done


def incomplete(database: Database, video_id: str) -> str:
    """Mends a video that counts as ready and lacks a part; says what was done."""
    with database.transaction() as connection:
        done = repair.incomplete_video(connection, video_id)
    return _queued(done, "adds what is missing") if done else "left alone: a run is at work on it. Verify again later"


def _lock(
    connection: Connection, client: "S3Client", stored: StoredObject, finding: Finding
) -> tuple[list[Reference], str | None]:
    """Locks the key and the videos of the media files that refer to it; or says why all must be left alone."""
    connection.execute(_END_IDLE)
    objects.lock(connection, stored.bucket, [stored.object_key])
    files = verification.references(connection, stored, lock=True)
    if objects.keys_in_publication(connection, stored.bucket, [stored.object_key]):
        return files, BEING_STORED
    busy = next((file.lease_run_id for file in files if file.lease_run_id), None)
    if busy is not None:
        return files, AT_WORK.format(run_id=busy)
    if not audit.is_still(client, wanted(stored).ref, finding.etag):
        return files, CHANGED
    return files, None


def _mark(client: "S3Client", stored: StoredObject, finding: Finding) -> None:
    assert finding.etag is not None
    audit.mark(client, wanted(stored).ref, finding.etag, stored.sha256, stored.content_type)


def _repair(connection: Connection, file: Reference, finding: Finding) -> str:
    done = repair.lost_file(connection, file)
    what = "extracts the sound again" if file.kind == "audio_track" else "fetches the video anew"
    said = _queued(done, what) if done.job_id else "the video's next attempt makes it anew"
    return f"the corrupt object is removed; {said}" if finding.is_corrupt else said


def _queued(done: Repair, what: str) -> str:
    return f"job {done.job_id} is queued and {what}" if done.fresh else f"job {done.job_id} was queued already"


def _look_closer(client: "S3Client", stored: StoredObject, finding: Finding) -> Finding:
    """An object without our mark may hold the right bytes: then it is marked, and otherwise it is corrupt."""
    closer = audit.examine(client, wanted(stored), deep=True)
    return finding if closer is None else closer


def _ids(files: list[Reference]) -> list[int]:
    return [file.media_file_id for file in files]
