"""The sweep of the bucket: what nothing refers to goes, after its grace period, and nothing else ever does.

Every step may be repeated, left half-way, and done by two at once. `say` is told of each thing in a sentence.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from narralytica_ingest.failures import IngestError
from narralytica_ingest.object_store.client import explained
from narralytica_ingest.object_store.media import PREFIX, ObjectRef, is_our_key, stat
from narralytica_ingest.recovery.removal import remove_object
from narralytica_ingest.store import objects
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.objects import Leftover

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Say = Callable[[str], object]

# Seconds that a sweep gives to each; the next one goes on.
REMOVAL_SECONDS = 20.0
WALK_SECONDS = 10.0
THREADS = 4  # that remove: each mostly waits for an answer
BATCH = 1000  # leftovers in one sweep, and keys on a page of the walk: most that S3 lists at once

PASS_SECONDS = 3600.0  # from the beginning of one walk through the bucket to the next
STALE_UPLOAD = timedelta(hours=1)


@dataclass(frozen=True)
class Walk:
    """How far the walk through the bucket has come: `after` is the last key seen, None at the end of a pass; `began` is
    when the pass began (seconds since 1970)."""

    after: str | None = None
    began: float = 0.0


def end_publications(database: Database, say: Say) -> None:
    """Ends the publications of runs that lost their lease. What they left in the bucket becomes a leftover."""
    with database.transaction() as connection:
        for ended in objects.end_abandoned_publications(connection):
            say(f"the run that was storing {_name(ended)} is gone: what it left is removed after the grace period")


def remove_leftovers(database: Database, client: "S3Client", bucket: str, grace_seconds: float, say: Say) -> None:
    """Removes the leftovers whose grace period is over. Raises IngestError if database or object store are away."""
    with database.transaction() as connection:
        due = objects.due_leftovers(connection, grace_seconds, BATCH, bucket)
    deadline = time.monotonic() + REMOVAL_SECONDS
    pool = ThreadPoolExecutor(THREADS)
    try:
        for sentence in pool.map(lambda leftover: _remove(database, client, leftover, grace_seconds), due):
            if sentence is not None:
                say(sentence)
            if time.monotonic() > deadline:
                say("more leftovers are due than one sweep removes; the next one goes on")
                break
    finally:
        pool.shutdown(cancel_futures=True)


def _remove(database: Database, client: "S3Client", leftover: Leftover, grace_seconds: float) -> str | None:
    """Says what was done; nothing where there was nothing to do."""
    bucket, key = leftover.bucket, leftover.object_key
    try:
        size = _size(client, leftover)
        removed = remove_object(database, client, bucket, key, grace_seconds=grace_seconds)
    except IngestError as error:
        if error.code in ("object_store_away", "database_away"):
            raise
        return f"{_name(leftover)} could not be removed: {error}"
    return (
        f"{_name(leftover)}, {size:,} bytes, is removed: nothing refers to it" if removed and size is not None else None
    )


def _size(client: "S3Client", leftover: Leftover) -> int | None:
    try:
        return stat(client, ObjectRef(leftover.bucket, leftover.object_key)).size_bytes
    except IngestError as error:
        if error.code == "object_missing":
            return None
        raise


def find_unknown(database: Database, client: "S3Client", bucket: str, walk: Walk, say: Say) -> Walk:
    """Goes on with the walk through the bucket, and notes the objects that no table knows: the grace period of each
    begins now. An object on its way is known by its publication, however young it is.

    They come from runs that went on after they had lost their lease, and from tables that were restored from a backup.
    """
    now = time.time()
    if walk.after is None:
        if 0 <= now - walk.began < PASS_SECONDS:
            return walk
        walk = Walk("", now)
    deadline = time.monotonic() + WALK_SECONDS
    while walk.after is not None:
        keys, more = _page(client, bucket, walk.after)
        with database.transaction() as connection:
            unknown = objects.unknown_keys(connection, bucket, [key for key in keys if is_our_key(key)])
            objects.note_leftovers(connection, bucket, unknown)
        for key in unknown:
            say(f"s3://{bucket}/{key} is in no table: it is removed after the grace period")
        walk = Walk(keys[-1] if more else None, walk.began)
        if time.monotonic() > deadline:
            break
    return walk


def _page(client: "S3Client", bucket: str, after: str) -> tuple[list[str], bool]:
    """Keys in their order, and whether more follow."""
    since: Any = {"StartAfter": after} if after else {}
    with explained(f"listing bucket {bucket}"):
        page = client.list_objects_v2(Bucket=bucket, Prefix=PREFIX, MaxKeys=BATCH, **since)
    keys = [each["Key"] for each in page.get("Contents", [])]
    return keys, bool(keys) and page["IsTruncated"]


def abort_stale_uploads(database: Database, client: "S3Client", bucket: str, say: Say) -> None:
    """Aborts multipart uploads that began over an hour ago, by the store's own clock, and whose key nobody publishes.

    Their parts are in no listing of objects, and cost the same.
    """
    with explained(f"listing uploads to bucket {bucket}"):
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=PREFIX):
            now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
            ours = [each for each in page.get("Uploads", []) if is_our_key(each["Key"])]
            old = [each for each in ours if now - each["Initiated"] > STALE_UPLOAD]
            with database.transaction() as connection:
                live = objects.keys_in_publication(connection, bucket, {each["Key"] for each in old})
            for upload in old:
                if upload["Key"] not in live:
                    _abort(client, bucket, upload["Key"], upload["UploadId"])
                    say(f"the upload of s3://{bucket}/{upload['Key']} is aborted: nobody goes on with it")


def _abort(client: "S3Client", bucket: str, key: str, upload_id: str) -> None:
    try:
        with explained(f"aborting an upload of s3://{bucket}/{key}"):
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    except IngestError as error:
        if error.code != "object_missing":  # another sweeper was first, or it was completed
            raise


def _name(leftover: Leftover) -> str:
    video = f" (video {leftover.video_id})" if leftover.video_id else ""
    return f"s3://{leftover.bucket}/{leftover.object_key}{video}"
