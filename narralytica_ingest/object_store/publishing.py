"""Making a file an object, under its content: sent with checksums, never over an object that is there, and checked.

The caller announces it in the tables before, and commits the row that refers to it after.
"""

from dataclasses import dataclass
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.object_store.capabilities import CHECKSUM, capabilities
from narralytica_ingest.object_store.client import explained, our_own_fault
from narralytica_ingest.object_store.media import ObjectRef, OnBytes, Stat, blocks, stat

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# boto3's own defaults are 8 MiB and 10 threads; fewer threads keep memory at some 50 MB for a file of any size.
PART_BYTES = 8 * 1024 * 1024
THREADS = 4


@dataclass(frozen=True)
class Content:
    """The bytes of a file, and what they are."""

    path: Path
    size_bytes: int
    sha256: str
    content_type: str


def publish(
    client: "S3Client",
    content: Content,
    ref: ObjectRef,
    *,
    copy_from: ObjectRef | None = None,
    on_bytes: OnBytes = lambda _: None,
) -> bool:
    """Makes a file the object `ref`; returns False if it was there already, which costs one HEAD.

    Sends it in parts with checksums that the server verifies, or lets the server copy `copy_from`, the same bytes in
    the same store. From a server that verifies nothing it is read back, also where it was there already. `on_bytes`
    gets a negative count for what was sent in vain. Raises IngestError, class local: `object_store_away`,
    `object_store_refused`, `bucket_missing`, `published_size_differs` or `published_bytes_differ`.
    """
    with our_own_fault(f"storing {ref}", ref.bucket):
        able = capabilities(client, ref.bucket)
        there = _find(client, ref)
        if _is_right(client, ref, there, content, verified=able.checksums):
            return False
        writer: Any = _CarefulWriter(client, there) if able.conditional_writes else client
        extra = {"ContentType": content.content_type, "Metadata": {"sha256": content.sha256}}
        if copy_from is None or not _copied(writer, copy_from, ref, extra):
            checksum = {"ChecksumAlgorithm": CHECKSUM} if able.checksums else {}
            _send(writer, content, ref, extra | checksum, on_bytes)
        _require_right(client, ref, content, verified=able.checksums)
    return True


def _require_right(client: "S3Client", ref: ObjectRef, content: Content, *, verified: bool) -> None:
    there, size = _find(client, ref), content.size_bytes
    if there is None or there.size_bytes != size:
        raise failure("published_size_differs", f"{ref} is not there with {size} bytes after storing it.")
    if not _is_right(client, ref, there, content, verified=verified):
        raise failure("published_bytes_differ", f"{ref} is not what was sent: check the object store.")


def _find(client: "S3Client", ref: ObjectRef) -> Stat | None:
    try:
        return stat(client, ref)
    except IngestError as error:
        if error.code == "object_missing":
            return None
        raise


def _is_right(client: "S3Client", ref: ObjectRef, there: Stat | None, content: Content, *, verified: bool) -> bool:
    """Whether the object is this content, stored by us. Where the server did not verify it, we do: whoever stored it
    may have died before he could."""
    if there is None or (there.size_bytes, there.sha256) != (content.size_bytes, content.sha256):
        return False
    if verified:
        return True
    digest = new_sha256()
    for block in blocks(client, ref):
        digest.update(block)
    return digest.hexdigest() == content.sha256


# ---- writing ---------------------------------------------------------------------------------------------------------


class _CarefulWriter:
    """The client, whose writes are refused (412) if the object is not what was seen: nothing, or one to be replaced.

    boto3's transfers know no such conditions, but use whatever client they are given.
    """

    def __init__(self, client: "S3Client", seen: Stat | None) -> None:
        self._client: Any = client
        self._condition = {"IfNoneMatch": "*"} if seen is None else {"IfMatch": seen.etag}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, **request: Any) -> Any:
        return self._client.put_object(**request, **self._condition)

    def copy_object(self, **request: Any) -> Any:
        return self._client.copy_object(**request, **self._condition)

    def complete_multipart_upload(self, **request: Any) -> Any:
        return self._client.complete_multipart_upload(**request, **self._condition)


def _send(writer: Any, content: Content, ref: ObjectRef, extra: dict[str, Any], on_bytes: OnBytes) -> None:
    from boto3.s3.transfer import ProgressCallbackInvoker

    sent = 0

    def count(more: int) -> None:
        nonlocal sent
        sent += more
        on_bytes(more)

    try:
        with explained(f"storing {ref}"), _manager(writer) as manager:
            progress = [ProgressCallbackInvoker(count)]
            manager.upload(str(content.path), ref.bucket, ref.key, extra, progress).result()
    except BaseException as error:
        on_bytes(-sent)
        # A condition that is not met is no failure: somebody stored the object meanwhile; a look at it tells how well.
        if not (isinstance(error, IngestError) and error.code == "object_changed"):
            raise


def _copied(writer: Any, source: ObjectRef, target: ObjectRef, extra: dict[str, Any]) -> bool:
    """Whether the server copied it, in parts if it is too large for one request. False if the source is no longer
    what it was, or the target is there: the file at hand is the same in any case."""
    condition = {} if source.etag is None else {"CopySourceIfMatch": source.etag}
    extra = extra | {"MetadataDirective": "REPLACE"} | condition
    try:
        with explained(f"copying {source} to {target}"), _manager(writer) as manager:
            manager.copy({"Bucket": source.bucket, "Key": source.key}, target.bucket, target.key, extra).result()
    except IngestError as error:
        if error.code in ("object_missing", "object_changed", "object_refused"):
            return False
        raise
    return True


def _manager(writer: Any) -> Any:
    """What transfers files. Left by an exception, also by an interrupt, it aborts what it began to send in parts."""
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    config = TransferConfig(
        multipart_threshold=PART_BYTES,
        multipart_chunksize=PART_BYTES,
        max_concurrency=THREADS,
        preferred_transfer_client="classic",  # the other one makes a client of its own, without conditions
    )
    return create_transfer_manager(writer, config)
