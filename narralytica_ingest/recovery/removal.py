"""Removing an object from the bucket, so that nobody who refers to it, or is about to, ever misses it."""

import time
from typing import TYPE_CHECKING

from narralytica_ingest.failures import IngestError
from narralytica_ingest.object_store.client import explained
from narralytica_ingest.store import objects
from narralytica_ingest.store.database import Database

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The lock on the key is held while the bucket is asked. Postgres takes it from whoever does not come back for so long,
# and who notices that he was away does not ask.
_AWAY_SECONDS = 15.0
_END_IDLE = f"SET LOCAL idle_in_transaction_session_timeout = '{_AWAY_SECONDS:.0f}s'"


def remove_object(database: Database, client: "S3Client", bucket: str, key: str, *, grace_seconds: float = 0.0) -> bool:
    """Removes an object that nothing refers to and that nobody publishes. Repeating it does no harm.

    False if it is wanted, or a leftover for less than `grace_seconds`; it stays, and one that is wanted is no leftover
    any more. `client` must wait for an answer for a few seconds only. Raises IngestError, class local, if database or
    object store are away; then the object is still a leftover.

    The removal is noted before it is asked for, in a transaction of its own: if this process dies in between, a
    publisher knows that the bucket may still carry it out (`objects.being_removed`). Where another remover was at it,
    who may have died so, the note stays, and a later sweep forgets it.
    """
    with database.transaction() as connection:
        objects.lock(connection, bucket, [key])
        alone = not objects.being_removed(connection, bucket, [key])
        if not objects.begin_removal(connection, bucket, key, grace_seconds):
            return False
        mine = objects.removal_begun_at(connection, bucket, key)
    began = time.time()
    with database.transaction() as connection:
        connection.execute(_END_IDLE)
        objects.lock(connection, bucket, [key])
        alone = alone and objects.removal_begun_at(connection, bucket, key) == mine
        if not objects.begin_removal(connection, bucket, key, grace_seconds):
            if alone:
                objects.withdraw_removal(connection, bucket, key)
            return False
        if time.time() - began > _AWAY_SECONDS:
            return False  # the next sweep begins anew
        _delete(client, bucket, key)
        if alone:
            objects.forget_leftover(connection, bucket, key)
    return True


def _delete(client: "S3Client", bucket: str, key: str) -> None:
    """What is gone already is well."""
    try:
        with explained(f"removing s3://{bucket}/{key}"):
            client.delete_object(Bucket=bucket, Key=key)
    except IngestError as error:
        if error.code != "object_missing":
            raise
