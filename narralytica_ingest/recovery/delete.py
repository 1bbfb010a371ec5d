"""The end of a video: its rows, then its objects, then its partition and what this machine keeps of it.

The rows go first, in one transaction; from then on the video does not exist, and whatever is still there is known as a
leftover of it. So every step may be interrupted: the same call again finishes what is left, and if nobody calls again,
the sweeper and the upkeep sensor do.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.engine.partials import hold_partial, partials_root
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.object_store.media import ObjectRef, stat
from narralytica_ingest.recovery.partitions import drop_partition
from narralytica_ingest.recovery.removal import remove_object
from narralytica_ingest.store import deletion, objects
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.deletion import DeletedRows
from narralytica_ingest.store.objects import Leftover

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A run that was at work stops at its next heartbeat; ending takes it some seconds more.
ENDING_SECONDS = 15.0
POLL_SECONDS = 0.25
TRIES = 5


@dataclass(frozen=True)
class Deletion:
    """What was done. `finished`: the rows were gone already, and an earlier deletion was finished.

    `objects_kept` are those that another video has; `objects_left` those that a run was storing and that had not
    stopped when this ended: the sweeper removes them. `run_stopped` is None where no run was at work.
    """

    video_id: str
    finished: bool
    jobs_ended: tuple[UUID, ...]
    objects_removed: int
    bytes_removed: int
    objects_kept: int
    objects_left: int
    run_id: str | None
    run_stopped: bool | None
    partition_removed: bool
    partial_removed: bool


@dataclass(frozen=True)
class _Removed:
    objects: int = 0
    size_bytes: int = 0
    kept: int = 0


NOTHING = DeletedRows(jobs_ended=(), run_id=None, on_their_way=frozenset())


def delete_video(
    settings: Settings,
    endpoints: Endpoints,
    client: "S3Client",
    video_id: str,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Deletion | None:
    """Deletes the video of this id, or finishes an interrupted deletion of it; None if nothing of it is there.

    `on_wait` is called with the run's id where one was at work and is waited for. Raises IngestError: `database_away`
    and `database_conflict`, where nothing has changed, and `delete_unfinished` after the rows are gone.
    """
    database = Database(endpoints.postgres_url)
    rows = delete_rows(database, video_id)
    gone = rows or NOTHING
    try:
        stopped = _wait_for_end(settings, database, gone.run_id, on_wait)
        arriving = gone.on_their_way if stopped is False else frozenset()
        found = leftovers(database, video_id, arriving)
        removed = remove_objects(database, client, found)
        left = len(leftovers(database, video_id))
        partition = drop_partition(endpoints, video_id)
    except IngestError as error:
        raise failure(
            "delete_unfinished",
            f"{video_id} is deleted from the tables, but not all that it left is removed yet: {error.message} Then "
            f"repeat `narralytica-ingest delete {video_id}`.",
        ) from error
    partial = remove_partial(settings, video_id)
    if rows is None and not (found or partition or partial):
        return None
    return Deletion(
        video_id=video_id,
        finished=rows is None,
        jobs_ended=gone.jobs_ended,
        objects_removed=removed.objects,
        bytes_removed=removed.size_bytes,
        objects_kept=removed.kept,
        objects_left=left,
        run_id=gone.run_id,
        run_stopped=stopped,
        partition_removed=partition,
        partial_removed=partial,
    )


def delete_rows(database: Database, video_id: str) -> DeletedRows | None:
    """The transaction that is the deletion. Two that share objects may collide at the notes about these: once more."""
    for tries in range(1, TRIES + 1):
        try:
            with database.transaction() as connection:
                return deletion.delete_rows(connection, video_id)
        except IngestError as error:
            if error.code != "database_conflict" or tries == TRIES:
                raise
    raise AssertionError("unreachable")


def leftovers(database: Database, video_id: str, besides: frozenset[tuple[str, str]] = frozenset()) -> list[Leftover]:
    """What the video left in the bucket, without what a run may still be storing."""
    with database.transaction() as connection:
        found = objects.leftovers_of(connection, video_id)
    return [each for each in found if (each.bucket, each.object_key) not in besides]


def remove_objects(database: Database, client: "S3Client", found: list[Leftover]) -> _Removed:
    """Removes those that nothing refers to, each under the lock of its key. Raises IngestError `object_store_away`."""
    count = size = kept = 0
    for each in found:
        there = _size(client, ObjectRef(each.bucket, each.object_key))
        if not remove_object(database, client, each.bucket, each.object_key):
            kept += 1
        elif there is not None:
            count, size = count + 1, size + there
    return _Removed(count, size, kept)


def remove_partial(settings: Settings, video_id: str) -> bool:
    """Removes what this machine has of an unfinished download. Where a run still holds it, it removes it itself."""
    if not (partials_root(settings.home) / video_id).is_dir():
        return False
    held = hold_partial(settings.home, video_id)
    if held is None:
        return False
    held.remove()
    held.close()
    return True


def _size(client: "S3Client", ref: ObjectRef) -> int | None:
    """Bytes; None if the object is not there."""
    try:
        return stat(client, ref).size_bytes
    except IngestError as error:
        if error.code == "object_missing":
            return None
        raise


def _wait_for_end(
    settings: Settings, database: Database, run_id: str | None, on_wait: Callable[[str], None]
) -> bool | None:
    """Whether the run that was at work has ended, as it does within seconds; None where there was none.

    One that Dagster does not know is not waited for.
    """
    if run_id is None:
        return None
    on_wait(run_id)
    deadline = time.monotonic() + 2 * settings.heartbeat_seconds + ENDING_SECONDS
    while True:
        with database.transaction() as connection:
            ended = deletion.run_has_ended(connection, run_id)
        if ended is not False or time.monotonic() > deadline:
            return bool(ended)
        time.sleep(POLL_SECONDS)
