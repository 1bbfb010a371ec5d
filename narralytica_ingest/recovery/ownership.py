"""Whose bucket it is: a sweeper removes what its tables do not know, so it must never sweep another installation's.

The bucket bears the name of the installation that it belongs to, in one small object. The name stands in the tables and
goes with their backups: tables that were restored know their bucket, and new ones never clear an old bucket.
"""

from typing import TYPE_CHECKING

from narralytica_ingest.failures import IngestError
from narralytica_ingest.object_store.client import explained
from narralytica_ingest.object_store.media import ObjectRef, read_small
from narralytica_ingest.store import objects
from narralytica_ingest.store.database import Database

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MARK = "narralytica-installation"


def is_ours(database: Database, client: "S3Client", bucket: str) -> bool:
    """Whether these tables may sweep the bucket; one that bears no name yet is given ours.

    Raises IngestError `database_away`, `object_store_away`, and `object_missing` where there is no such bucket.
    """
    with database.transaction() as connection:
        ours = objects.installation_id(connection)
    owner = _owner(client, bucket)
    if owner is None:
        _name(client, bucket, ours)
        owner = _owner(client, bucket)
    return owner == ours


def _owner(client: "S3Client", bucket: str) -> str | None:
    try:
        return read_small(client, ObjectRef(bucket, MARK)).decode(errors="replace").strip()
    except IngestError as error:
        if error.code == "object_missing":
            return None
        raise


def _name(client: "S3Client", bucket: str, installation: str) -> None:
    """Of two that name it at once one is refused, and reads the other's name."""
    try:
        with explained(f"naming bucket {bucket}"):
            client.put_object(Bucket=bucket, Key=MARK, Body=installation.encode(), IfNoneMatch="*")
    except IngestError as error:
        if error.code != "object_changed":
            raise
