"""What the bucket really holds, against what the tables say of it: one object examined, the whole bucket listed."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.object_store.client import explained
from narralytica_ingest.object_store.media import ObjectRef, blocks, stat

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# S3 copies at most so many bytes in one call.
COPY_BYTES = 5 << 30
# An object that cannot be read is looked at again: the store may just have come back.
LOOKS = 2


class Fault(StrEnum):
    """What can be wrong with an object. `mark` is the SHA-256 that we store beside it."""

    LOST = "lost"
    WRONG_SIZE = "wrong_size"
    WRONG_CONTENT = "wrong_content"
    WRONG_MARK = "wrong_mark"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Wanted:
    """An object as the tables have it."""

    ref: ObjectRef
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Finding:
    """What is wrong with an object, in words, and which version of it (None: there is none)."""

    fault: Fault
    said: str
    etag: str | None = None

    @property
    def is_corrupt(self) -> bool:
        """Whether its bytes are not those that were stored."""
        return self.fault in (Fault.WRONG_SIZE, Fault.WRONG_CONTENT)


@dataclass(frozen=True)
class Listed:
    """An object of the bucket."""

    key: str
    size_bytes: int


def require_bucket(client: "S3Client", bucket: str) -> None:
    """Raises IngestError `bucket_missing` (a HEAD of an object cannot tell that from a lost object), and as `stat`."""
    try:
        with explained(f"bucket {bucket}"):
            client.head_bucket(Bucket=bucket)
    except IngestError as error:
        if error.code == "object_missing":
            raise failure(
                "bucket_missing", f"There is no bucket {bucket}: check NARRALYTICA_S3_BUCKET, or bring the bucket back."
            ) from error
        raise


def examine(client: "S3Client", wanted: Wanted, *, deep: bool) -> Finding | None:
    """What is wrong with the object, by one HEAD; `deep` reads it whole, streaming. None if nothing is.

    Raises IngestError `object_store_away` or `object_store_refused` only if the store as a whole does not answer.
    """
    for _ in range(LOOKS):
        try:
            return _examine(client, wanted, deep)
        except IngestError as error:
            if error.code == "object_missing":
                return Finding(Fault.LOST, "is not in the bucket")
            if error.code not in ("object_store_away", "object_changed"):
                raise
            require_bucket(client, wanted.ref.bucket)  # it answers, so the trouble is this object's
    return Finding(Fault.UNREADABLE, "cannot be read, though the object store answers")


def _examine(client: "S3Client", wanted: Wanted, deep: bool) -> Finding | None:
    found = stat(client, wanted.ref)
    if found.size_bytes != wanted.size_bytes:
        said = f"has {found.size_bytes:,} bytes instead of {wanted.size_bytes:,}"
        return Finding(Fault.WRONG_SIZE, said, found.etag)
    if deep and sha256_of(client, replace(wanted.ref, etag=found.etag)) != wanted.sha256:
        return Finding(Fault.WRONG_CONTENT, "has other bytes than were stored", found.etag)
    if found.sha256 != wanted.sha256:
        said = "is stored without our SHA-256 beside it" if found.sha256 is None else "has a wrong SHA-256 beside it"
        return Finding(Fault.WRONG_MARK, said, found.etag)
    return None


def sha256_of(client: "S3Client", ref: ObjectRef) -> str:
    """The SHA-256 of the object's bytes, which are streamed. Raises as `blocks`."""
    digest = hashlib.sha256()
    for block in blocks(client, ref):
        digest.update(block)
    return digest.hexdigest()


def is_still(client: "S3Client", ref: ObjectRef, etag: str | None) -> bool:
    """Whether the object is still the version that was examined; `etag` None: whether it is still missing."""
    try:
        return stat(client, ref).etag == etag
    except IngestError as error:
        if error.code == "object_missing":
            return etag is None
        raise


def remove(client: "S3Client", ref: ObjectRef) -> None:
    """Removes the object; one that is not there is no error."""
    with explained(f"removing {ref}"):
        client.delete_object(Bucket=ref.bucket, Key=ref.key)


def mark(client: "S3Client", ref: ObjectRef, etag: str, sha256: str, content_type: str) -> None:
    """Puts our SHA-256 beside this version of an object: the server copies it onto itself. Raises as `stat`."""
    from boto3.s3.transfer import TransferConfig

    with explained(f"marking {ref}"):
        client.copy(
            {"Bucket": ref.bucket, "Key": ref.key},
            ref.bucket,
            ref.key,
            ExtraArgs={
                "ContentType": content_type,
                "CopySourceIfMatch": etag,
                "Metadata": {"sha256": sha256},
                "MetadataDirective": "REPLACE",
            },
            Config=TransferConfig(multipart_threshold=COPY_BYTES),
        )


def listed(client: "S3Client", bucket: str, prefix: str) -> Iterator[list[Listed]]:
    """The objects of the bucket below a prefix, a page (at most 1,000) at a time. Raises as `stat`."""
    pages = iter(client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix))
    while True:
        with explained(f"listing bucket {bucket}"):
            page = next(pages, None)
        if page is None:
            return
        yield [Listed(each["Key"], each["Size"]) for each in page.get("Contents", [])]
